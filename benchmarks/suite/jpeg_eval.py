"""Evaluation of an image classifier: nothing is random, and the order is that of the files."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from suite.jpeg_data import make, parse
from suite.workload import AUTO, Knobs, Workload, settings

BATCH = 64
MEAN = [123.675, 116.28, 103.53]
DEVIATION = [58.395, 57.12, 57.375]


def preprocess(record: Any) -> tuple[Any, Any]:
    encoded, label = parse(record)
    image = tf.io.decode_jpeg(encoded, channels=3)
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    ratio = 256.0 / tf.minimum(height, width)
    image = tf.image.resize(image, tf.cast(tf.round([height * ratio, width * ratio]), tf.int32))
    image = tf.image.resize_with_crop_or_pad(image, 224, 224)
    return (image - MEAN) / DEVIATION, label


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/train-*", shuffle=False)
    images = files.interleave(tf.data.TFRecordDataset, **knobs.interleave).map(preprocess, **knobs.map)
    return knobs.finished(images.batch(BATCH))


WORKLOAD = Workload(
    name="jpeg_eval",
    sentence="JPEGs of 95 KB in TFRecords: decoded, resized to 256, the middle 224 x 224 normalised, in batches of 64.",
    family="jpeg-eval",
    make=make,
    dataset=dataset,
    given=Knobs(calls=AUTO, prefetch=AUTO),
    grid=settings(calls=(1, 2, 3, AUTO), cycle=(None, 2, AUTO), prefetch=(1, AUTO)),
    data="jpeg",
)
