"""Fine-tuning for several epochs on few images: what is decoded fits into memory, and what follows is random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline_opt.synth import make_jpeg_shards
from suite.jpeg_data import parse
from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, scaled, settings

BATCH = 32
SIZE = [112, 112]


def make(folder: Path, scale: float) -> None:
    make_jpeg_shards(folder, scaled(1000, scale, least=32), shards=4, size=(500, 375), seed=3)


def decode(record: Any) -> tuple[Any, Any]:
    encoded, label = parse(record)
    image = tf.image.resize(tf.io.decode_jpeg(encoded, channels=3), SIZE)
    return tf.cast(image, tf.uint8), label


def augment(image: Any, label: Any) -> tuple[Any, Any]:
    image = tf.image.random_flip_left_right(image)
    image = tf.image.random_crop(image, [96, 96, 3])
    return tf.cast(image, tf.float32) / 127.5 - 1.0, label


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Caches: `records`, or the `decoded` images."""
    files = tf.data.Dataset.list_files(f"{place}/*.tfrecord", shuffle=False)
    records = knobs.cached(files.interleave(tf.data.TFRecordDataset, **knobs.interleave), "records")
    images = knobs.cached(records.map(decode, **knobs.map), "decoded")
    return knobs.finished(images.shuffle(1000).map(augment, **knobs.map).batch(BATCH))


WORKLOAD = Workload(
    name="cache_pays",
    sentence="1,000 JPEGs for five epochs: decoded and resized to 38 MB in all, then shuffled, flipped and cropped at random.",
    family="multi-epoch",
    make=make,
    dataset=dataset,
    by_hand=Setting(WRITTEN, Knobs(AUTO, AUTO, AUTO, cache="decoded")),
    grid=settings(calls=(1, 2, AUTO), cycle=(None, AUTO), cache=("", "records", "decoded")),
    epochs=5,
    rows="shape",
)
