"""Rows of CSV, decoded one by one, as in TensorFlow's guide to input pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline_opt.synth import make_csv
from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, scaled, settings

BATCH = 256
SHUFFLE = 5000
COLUMNS = 20
DEFAULTS = [0, *[0.0] * COLUMNS, "", 0]
COLORS = ["red", "green", "blue", "grey"]


def make(folder: Path, scale: float) -> None:
    make_csv(folder, scaled(60_000, scale, least=1000), files=4, columns=COLUMNS)


def decode(line: Any) -> tuple[Any, Any]:
    """The numbers of a row with its colour one-hot, and its label; or of many rows at once."""
    _, *numbers, color, label = tf.io.decode_csv(line, DEFAULTS)
    features = tf.stack(numbers, axis=-1)
    colors = tf.cast(color[..., tf.newaxis] == COLORS, tf.float32)
    return tf.concat([features, colors], axis=-1), label


def lines(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/*.csv", shuffle=False)
    return files.interleave(lambda path: tf.data.TextLineDataset(path).skip(1), **knobs.interleave)


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    rows = lines(place, knobs).map(decode, **knobs.map).shuffle(SHUFFLE)
    return knobs.finished(rows.batch(BATCH))


def batched(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Lines are shuffled, and each batch of them is decoded as a whole."""
    return knobs.finished(lines(place, knobs).shuffle(SHUFFLE).batch(BATCH).map(decode, **knobs.map))


WORKLOAD = Workload(
    name="csv_rows",
    sentence="Lines of CSV decoded to 20 numbers and a one-hot colour, shuffled, in batches of 256.",
    family="tabular",
    make=make,
    dataset=dataset,
    forms={"batched": batched},
    by_hand=Setting("batched", Knobs(calls=AUTO, prefetch=AUTO)),
    grid=settings(forms=(WRITTEN, "batched"), cycle=(None, 2, AUTO)),
)
