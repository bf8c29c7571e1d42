"""Segmentation: photographs and masks are two lists of files, side by side."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from pipeline_opt.synth.pictures import Pictures
from suite.workload import AUTO, FORGOTTEN, WRITTEN, Knobs, Setting, Workload, scaled, settings

BATCH = 16
SIZE = [256, 256]


def make(folder: Path, scale: float) -> None:
    """Photographs of 500 x 375, each with a mask of three classes: a body with an edge before a background."""
    pictures = Pictures(500, 375, seed=1, classes=16)
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    down, across = np.mgrid[:375, :500]
    for number in range(scaled(600, scale, least=32)):
        (folder / "images" / f"{number:05}.jpg").write_bytes(pictures.encode(number))
        rng = np.random.default_rng(number)
        distance = np.hypot(down - rng.uniform(100, 275), across - rng.uniform(150, 350)) / rng.uniform(50, 120)
        mask = np.select([distance < 0.9, distance < 1.0], [1, 2], 0).astype(np.uint8)
        encoded = io.BytesIO()
        Image.fromarray(mask).save(encoded, "PNG")
        (folder / "masks" / f"{number:05}.png").write_bytes(encoded.getvalue())


def read_image(path: Any) -> Any:
    return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)


def read_mask(path: Any) -> Any:
    return tf.io.decode_png(tf.io.read_file(path), channels=1)


def resize(image: Any, mask: Any) -> tuple[Any, Any]:
    return tf.image.resize(image, SIZE), tf.image.resize(mask, SIZE, method="nearest")


def normalize(image: Any, mask: Any) -> tuple[Any, Any]:
    return tf.cast(image, tf.float32) / 255.0, mask


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    images = tf.data.Dataset.list_files(f"{place}/images/*.jpg", shuffle=False).map(read_image, **knobs.map)
    masks = tf.data.Dataset.list_files(f"{place}/masks/*.png", shuffle=False).map(read_mask, **knobs.map)
    pairs = tf.data.Dataset.zip((images, masks)).map(resize, **knobs.map).map(normalize, **knobs.map)
    return knobs.finished(pairs.shuffle(100).batch(BATCH))


def fused(place: str, knobs: Knobs) -> tf.data.Dataset:
    """One map for all; what is shuffled are the names of files."""

    def load(image_path: Any, mask_path: Any) -> Any:
        return normalize(*resize(read_image(image_path), read_mask(mask_path)))

    images = tf.data.Dataset.list_files(f"{place}/images/*.jpg", shuffle=False)
    masks = tf.data.Dataset.list_files(f"{place}/masks/*.png", shuffle=False)
    pairs = tf.data.Dataset.zip((images, masks)).shuffle(100).map(load, **knobs.map)
    return knobs.finished(pairs.batch(BATCH))


WORKLOAD = Workload(
    name="segmentation",
    sentence="600 JPEGs zipped with their PNG masks; decoded, resized to 256 x 256, shuffled, in batches of 16.",
    family="segmentation",
    make=make,
    dataset=dataset,
    forms={"fused": fused},
    by_hand=Setting("fused", Knobs(calls=AUTO, prefetch=AUTO)),
    given=FORGOTTEN,
    grid=settings(forms=(WRITTEN, "fused"), calls=(None, 1, 2, 3, AUTO), cycle=(None,), prefetch=(1, AUTO)),
)
