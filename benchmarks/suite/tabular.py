"""Wide Examples, one row after another, as in TensorFlow's guide to TFRecord."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline_opt.synth import make_tabular
from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, scaled, settings

BATCH = 256
COLUMNS = [f"x{number}" for number in range(40)]
FEATURES = {
    **{name: tf.io.FixedLenFeature([], tf.float32) for name in COLUMNS},
    "color": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def make(folder: Path, scale: float) -> None:
    make_tabular(folder, scaled(60_000, scale, least=1000), shards=8, columns=40)


def parse(record: Any) -> tuple[dict[str, Any], Any]:
    row = tf.io.parse_single_example(record, FEATURES)
    label = row.pop("label")
    return row, label


def parse_batch(records: Any) -> tuple[dict[str, Any], Any]:
    rows = tf.io.parse_example(records, FEATURES)
    label = rows.pop("label")
    return rows, label


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/*.tfrecord", shuffle=False)
    rows = files.interleave(tf.data.TFRecordDataset, **knobs.interleave).map(parse, **knobs.map)
    return knobs.finished(rows.batch(BATCH))


def batched(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Batches are parsed as a whole."""
    files = tf.data.Dataset.list_files(f"{place}/*.tfrecord", shuffle=False)
    records = files.interleave(tf.data.TFRecordDataset, **knobs.interleave)
    return knobs.finished(records.batch(BATCH).map(parse_batch, **knobs.map))


WORKLOAD = Workload(
    name="tabular",
    sentence="Rows of 42 features in TFRecords, parsed one by one, in batches of 256.",
    family="tabular",
    make=make,
    dataset=dataset,
    forms={"batched": batched},
    by_hand=Setting("batched", Knobs(calls=AUTO, prefetch=AUTO)),
    grid=settings(forms=(WRITTEN, "batched"), cycle=(None, 2, AUTO)),
)
