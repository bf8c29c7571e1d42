"""Data sets of text and of tables."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from pipeline_opt.lazy import lazy_module
from pipeline_opt.synth.folders import Progress, new_dataset, require_count

tf = lazy_module("tensorflow")

_SYLLABLES: Final = tuple(c + v for c in ("b", "d", "f", "k", "l", "m", "n", "r", "s", "t", "v", "st") for v in "aeiou")
_VOCABULARY: Final = 20_000
_LEVELS: Final = ("red", "green", "blue", "grey")
_BLOCK: Final = 1000
"""Rows made at a time."""


def make_text(
    folder: str | Path,
    lines: int,
    files: int = 4,
    words: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    force: bool = False,
) -> Path:
    """Make text files of lines of about `words` words, whose frequencies fall as in natural text (Zipf's law).

    Args:
        folder: Where; must not exist or be empty.
        lines: How many lines in all.
        files: How many files; lines are dealt out as evenly as can be.
        words: Mean words a line; a line has at least one.
        seed: The same seed gives the same text.
        progress: Called with the lines done and all.
        force: Replace a data set made here before.

    Returns:
        The folder.

    Raises:
        UsageError: an argument is out of range.
        OutputError: the folder cannot be written.
        OutputExistsError: the folder holds something.
    """
    _check(lines, files, seed, "lines")
    require_count("words", words, most=10_000)
    arguments = {"lines": lines, "files": files, "words": words, "seed": seed}
    vocabulary = _vocabulary(seed)
    chance = 1.0 / np.arange(1, len(vocabulary) + 1)
    chance /= chance.sum()
    with new_dataset(Path(folder), "text", arguments, force=force) as out:
        for number, blocks in _dealt(lines, files, progress):
            with (out / f"part-{number:05}.txt").open("w") as file:
                for start, count in blocks:
                    rng = np.random.default_rng((seed, 1, start))
                    lengths = 1 + rng.poisson(words - 1, count)
                    drawn = iter(rng.choice(vocabulary, int(lengths.sum()), p=chance).tolist())
                    file.writelines(" ".join(next(drawn) for _ in range(n)) + "\n" for n in lengths.tolist())
    return Path(folder)


def make_csv(
    folder: str | Path,
    rows: int,
    files: int = 4,
    columns: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    force: bool = False,
) -> Path:
    """Make CSV files with a header: `id`, `columns` numbers, a `color` and a `label`; arguments as for `make_text`."""
    _check(rows, files, seed, "rows")
    require_count("columns", columns, most=10_000)
    arguments = {"rows": rows, "files": files, "columns": columns, "seed": seed}
    names = [f"x{number}" for number in range(columns)]
    with new_dataset(Path(folder), "csv", arguments, force=force) as out:
        for number, blocks in _dealt(rows, files, progress):
            with (out / f"part-{number:05}.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["id", *names, "color", "label"])
                for start, count in blocks:
                    for row, (numbers, level, label) in enumerate(_rows(seed, start, count, columns), start):
                        writer.writerow([row, *(f"{value:.6g}" for value in numbers), _LEVELS[level], label])
    return Path(folder)


def make_tabular(
    folder: str | Path,
    rows: int,
    shards: int = 4,
    columns: int = 40,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    force: bool = False,
) -> Path:
    """Make TFRecord shards of `tf.train.Example` with `columns` float features, a `color` and a `label`.

    Arguments as for `make_text`.
    """
    _check(rows, shards, seed, "rows", "shards")
    require_count("columns", columns, most=10_000)
    arguments = {"rows": rows, "shards": shards, "columns": columns, "seed": seed}
    with new_dataset(Path(folder), "tabular", arguments, force=force) as out:
        for number, blocks in _dealt(rows, shards, progress):
            path = out / f"train-{number:05}-of-{shards:05}.tfrecord"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for start, count in blocks:
                    for record in _examples(_rows(seed, start, count, columns), columns):
                        writer.write(record)
    return Path(folder)


def _check(items: int, files: int, seed: int, items_name: str, files_name: str = "files") -> None:
    require_count(items_name, items)
    require_count(files_name, files, most=items)
    require_count("seed", seed, least=0)


def _dealt(items: int, files: int, progress: Progress | None) -> Iterator[tuple[int, Iterator[tuple[int, int]]]]:
    """For every file its number and its blocks: the first item of each and how many."""
    start = 0
    for number in range(files):
        count = (items + files - 1 - number) // files
        yield number, _blocks(start, count, items, progress)
        start += count


def _blocks(start: int, count: int, items: int, progress: Progress | None) -> Iterator[tuple[int, int]]:
    for first in range(start, start + count, _BLOCK):
        size = min(_BLOCK, start + count - first)
        yield first, size
        if progress is not None:
            progress(first + size, items)


def _rows(seed: int, start: int, count: int, columns: int) -> Iterator[tuple[list[float], int, int]]:
    """Numbers, a level and a label of each row; the label follows from the first number, with noise."""
    rng = np.random.default_rng((seed, 2, start))
    numbers = rng.standard_normal((count, columns), np.float32)
    levels = rng.integers(0, len(_LEVELS), count)
    labels = (numbers[:, 0] + 0.5 * rng.standard_normal(count) > 0).astype(int)
    return zip(numbers.tolist(), levels.tolist(), labels.tolist(), strict=True)


def _vocabulary(seed: int) -> list[str]:
    rng = np.random.default_rng((seed, 0))
    syllables = np.array(_SYLLABLES)[rng.integers(len(_SYLLABLES), size=(_VOCABULARY, 4))].tolist()
    lengths = rng.integers(1, 5, _VOCABULARY).tolist()
    return list(dict.fromkeys("".join(parts[:n]) for parts, n in zip(syllables, lengths, strict=True)))


def _examples(rows: Iterator[tuple[list[float], int, int]], columns: int) -> Iterator[bytes]:
    """Rows as serialized examples. One message is filled again and again: making one takes ten times longer."""
    example = tf.train.Example()
    feature = example.features.feature
    values = [feature[f"x{number}"].float_list.value for number in range(columns)]
    color, target = feature["color"].bytes_list.value, feature["label"].int64_list.value
    for slot in (*values, color, target):
        slot.append(b"" if slot is color else 0)
    for numbers, level, label in rows:
        for slot, value in zip(values, numbers, strict=True):
            slot[0] = value
        color[0], target[0] = _LEVELS[level].encode(), label
        yield example.SerializeToString(deterministic=True)
