"""Large volumes of which little is used, as for a 3D U-Net on tomographies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from suite.workload import AUTO, Knobs, Workload, scaled, settings

BATCH = 2
SHAPE = (96, 128, 128)
PART = 64
FEATURES = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "label")}


def make(folder: Path, scale: float) -> None:
    """Cases of 6.3 MB of float32 and 1.6 MB of labels, a file each."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(SHAPE, np.float32)
    for number in range(scaled(128, scale, least=8)):
        image = np.roll(noise, tuple(rng.integers(0, SHAPE)), axis=(0, 1, 2))
        label = (image > 1.5).astype(np.uint8)
        example = tf.train.Example()
        example.features.feature["image"].bytes_list.value.append(image.tobytes())
        example.features.feature["label"].bytes_list.value.append(label.tobytes())
        with tf.io.TFRecordWriter(f"{folder}/case-{number:05}.tfrecord") as writer:
            writer.write(example.SerializeToString(deterministic=True))


def parse(record: Any) -> tuple[Any, Any]:
    example = tf.io.parse_single_example(record, FEATURES)
    image = tf.reshape(tf.io.decode_raw(example["image"], tf.float32), SHAPE)
    return image, tf.reshape(tf.io.decode_raw(example["label"], tf.uint8), SHAPE)


def crop(image: Any, label: Any) -> tuple[Any, Any]:
    begin = [tf.random.uniform([], 0, side - PART + 1, tf.int32) for side in SHAPE]
    return tf.slice(image, begin, [PART] * 3), tf.slice(label, begin, [PART] * 3)


def flip(image: Any, label: Any) -> tuple[Any, Any]:
    for axis in range(3):
        mirrored = tf.random.uniform([]) < 1 / 3
        image, label = tf.cond(
            mirrored,
            lambda image=image, label=label, axis=axis: (tf.reverse(image, [axis]), tf.reverse(label, [axis])),
            lambda image=image, label=label: (image, label),
        )
    return image, label


def brighten(image: Any, label: Any) -> tuple[Any, Any]:
    return (image * tf.random.uniform([], 0.7, 1.3))[..., tf.newaxis], tf.cast(label, tf.int32)[..., tf.newaxis]


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/case-*", shuffle=True)
    cases = files.interleave(tf.data.TFRecordDataset, **knobs.interleave)
    for step in (parse, crop, flip, brighten):
        cases = cases.map(step, **knobs.map)
    return knobs.finished(cases.batch(BATCH))


WORKLOAD = Workload(
    name="volumes",
    sentence="Volumes of 8 MB in TFRecords: decoded, a random part of 64 x 64 x 64 flipped and brightened, batches of 2.",
    family="volumes",
    make=make,
    dataset=dataset,
    grid=settings(calls=(1, 2, 3, AUTO), cycle=(None, 2, AUTO)),
    rows="shape",
)
