"""Several epochs on images that, once decoded, are larger than the memory that they may take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline_opt.synth import make_jpeg_shards
from suite.jpeg_data import parse
from suite.workload import AUTO, Knobs, Workload, scaled, settings

BATCH = 32
SIZE = [384, 512]


def make(folder: Path, scale: float) -> None:
    make_jpeg_shards(folder, scaled(800, scale, least=32), shards=4, size=(500, 375), seed=4)


def decode(record: Any) -> tuple[Any, Any]:
    encoded, label = parse(record)
    image = tf.image.resize(tf.io.decode_jpeg(encoded, channels=3), SIZE)
    return image / 255.0, label


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Caches: `records`, or the `decoded` images, which is too much."""
    files = tf.data.Dataset.list_files(f"{place}/*.tfrecord", shuffle=False)
    records = knobs.cached(files.interleave(tf.data.TFRecordDataset, **knobs.interleave), "records")
    images = knobs.cached(records.shuffle(200).map(decode, **knobs.map), "decoded")
    return knobs.finished(images.batch(BATCH))


WORKLOAD = Workload(
    name="cache_too_large",
    sentence="800 JPEGs for three epochs, 1.9 GB once decoded, of which 768 MB may be taken.",
    family="multi-epoch",
    make=make,
    dataset=dataset,
    grid=settings(calls=(1, 2, AUTO), cycle=(None, AUTO), cache=("", "records", "decoded")),
    epochs=3,
    memory_bytes=768 << 20,
)
