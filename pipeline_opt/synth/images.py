"""Data sets of JPEG pictures: TFRecord shards, or one folder a class."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import machine
from pipeline_opt.synth.folders import Progress, new_dataset, require, require_count
from pipeline_opt.synth.pictures import Pictures

tf = lazy_module("tensorflow")

SIZE: Final = (500, 375)
_LARGEST: Final = 8192
_AHEAD: Final = 256
"""Pictures encoded ahead of what is written, so that memory stays bounded."""


def make_jpeg_shards(
    folder: str | Path,
    images: int,
    shards: int = 8,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    force: bool = False,
) -> Path:
    """Make TFRecord shards of `tf.train.Example` with `image/encoded` (JPEG) and `image/class/label` (int64).

    Args:
        folder: Where; must not exist or be empty.
        images: How many pictures.
        shards: How many files; pictures are dealt out as evenly as can be.
        size: Width and height in pixels.
        seed: The same seed gives the same pictures.
        progress: Called with the pictures done and all.
        force: Replace a data set made here before.

    Returns:
        The folder.

    Raises:
        UsageError: an argument is out of range.
        OutputError: the folder cannot be written.
        OutputExistsError: the folder holds something.
    """
    arguments = {"images": images, "shards": shards, "size": list(size), "seed": seed}
    _check(images, size, seed)
    require_count("shards", shards, most=images)
    pictures = Pictures(*size, seed)
    with new_dataset(Path(folder), "jpeg_shards", arguments, force=force) as out:
        encoded = _encoded(pictures, images, progress)
        for shard in range(shards):
            path = out / f"train-{shard:05}-of-{shards:05}.tfrecord"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for _ in range((images + shards - 1 - shard) // shards):
                    number, jpeg = next(encoded)
                    writer.write(_example(jpeg, pictures.label(number)))
    return Path(folder)


def make_image_folder(
    folder: str | Path,
    images: int,
    classes: int = 10,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    force: bool = False,
) -> Path:
    """Make JPEG files in one folder a class, `class_000` and so on; other arguments as for `make_jpeg_shards`."""
    arguments = {"images": images, "classes": classes, "size": list(size), "seed": seed}
    _check(images, size, seed)
    require_count("classes", classes, most=images)
    pictures = Pictures(*size, seed, classes)
    with new_dataset(Path(folder), "image_folder", arguments, force=force) as out:
        for number, jpeg in _encoded(pictures, images, progress):
            path = out / f"class_{number % classes:03}" / f"{number:07}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(jpeg)
    return Path(folder)


def _check(images: int, size: tuple[int, int], seed: int) -> None:
    require_count("images", images)
    require_count("seed", seed, least=0)
    fits = len(size) == 2 and all(isinstance(s, int) and 16 <= s <= _LARGEST for s in size)
    require(fits, "size", size, f"width and height in pixels, each from 16 to {_LARGEST}")


def _encoded(pictures: Pictures, images: int, progress: Progress | None) -> Iterator[tuple[int, bytes]]:
    """Every picture in order, encoded by as many threads as there are cores (Pillow frees the interpreter's lock)."""
    with ThreadPoolExecutor(max(1, round(machine().cores))) as pool:
        for start in range(0, images, _AHEAD):
            numbers = range(start, min(start + _AHEAD, images))
            for number, jpeg in zip(numbers, pool.map(pictures.encode, numbers), strict=True):
                if progress is not None:
                    progress(number + 1, images)
                yield number, jpeg


def _example(jpeg: bytes, label: int) -> Any:
    example = tf.train.Example()
    example.features.feature["image/encoded"].bytes_list.value.append(jpeg)
    example.features.feature["image/class/label"].int64_list.value.append(label)
    return example.SerializeToString(deterministic=True)
