"""Training of an image classifier: what is read, cropped and flipped at random, as for ResNet-50 on ImageNet."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from suite.jpeg_data import make, parse
from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, settings

BATCH = 64
SIZE = [224, 224]


def window(shape: Any) -> tuple[Any, Any]:
    """Where a random part of an image begins, and its size: of 8 to 100 % of the area, of 3:4 to 4:3."""
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        shape,
        bounding_boxes=tf.zeros([1, 0, 4]),
        min_object_covered=0.1,
        aspect_ratio_range=[3 / 4, 4 / 3],
        area_range=[0.08, 1.0],
        use_image_if_no_bounding_boxes=True,
    )
    return begin, size


def preprocess(image: Any) -> Any:
    image = tf.image.resize(image, SIZE)
    return tf.image.random_flip_left_right(image) / 255.0


def decode(record: Any) -> tuple[Any, Any]:
    encoded, label = parse(record)
    image = tf.io.decode_jpeg(encoded, channels=3)
    begin, size = window(tf.shape(image))
    image = tf.slice(image, begin, size)
    image.set_shape([None, None, 3])
    return preprocess(image), label


def decode_window(record: Any) -> tuple[Any, Any]:
    encoded, label = parse(record)
    begin, size = window(tf.io.extract_jpeg_shape(encoded))
    crop = tf.concat([begin[:2], size[:2]], axis=0)
    return preprocess(tf.image.decode_and_crop_jpeg(encoded, crop, channels=3)), label


def pipeline(place: str, knobs: Knobs, function: Any) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/train-*", shuffle=True)
    records = files.interleave(tf.data.TFRecordDataset, **knobs.interleave).shuffle(512)
    return knobs.finished(records.map(function, **knobs.map).batch(BATCH))


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    return pipeline(place, knobs, decode)


def cropped(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Only the part that is kept is decoded. Its edges differ a little: chroma is interpolated from neighbours."""
    return pipeline(place, knobs, decode_window)


WORKLOAD = Workload(
    name="jpeg_train",
    sentence="JPEGs of 95 KB in TFRecords: decoded, a random part resized to 224 x 224, flipped, in batches of 64.",
    family="jpeg-train",
    make=make,
    dataset=dataset,
    forms={"cropped": cropped},
    by_hand=Setting("cropped", Knobs(AUTO, AUTO, AUTO)),
    grid=settings(forms=(WRITTEN, "cropped"), calls=(1, 2, 3, AUTO), cycle=(None, 2, AUTO)),
    rows="shape",
    data="jpeg",
)
