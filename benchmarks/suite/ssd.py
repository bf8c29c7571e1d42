"""Training of a detector: one map a step, as transforms are put together, and a filter on the annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline_opt.synth.pictures import Pictures
from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, scaled, settings

BATCH = 32
WANTED = [2, 3, 5, 7]
"""Classes to be detected: cars, motorcycles, buses and trucks of COCO's 80."""
FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/object/bbox": tf.io.VarLenFeature(tf.float32),
    "image/object/class/label": tf.io.VarLenFeature(tf.int64),
}


def make(folder: Path, scale: float) -> None:
    """Photographs of 640 x 480, each with one to eight objects of which one of 26 is wanted: so one photograph of six has any."""
    pictures = Pictures(640, 480, seed=0, classes=16)
    images, shards = scaled(800, scale, least=64), 4
    for shard in range(shards):
        with tf.io.TFRecordWriter(f"{folder}/train-{shard:05}-of-{shards:05}.tfrecord") as writer:
            for number in range(shard, images, shards):
                writer.write(_example(pictures.encode(number), np.random.default_rng(number)))


def _example(jpeg: bytes, rng: np.random.Generator) -> bytes:
    objects = int(rng.integers(1, 9))
    corners = rng.uniform(0, 0.7, (objects, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0.05, 0.3, (objects, 2))], axis=1)
    labels = np.where(rng.random(objects) < 1 / 26, rng.choice(WANTED, objects), rng.integers(8, 80, objects))
    example = tf.train.Example()
    example.features.feature["image/encoded"].bytes_list.value.append(jpeg)
    example.features.feature["image/object/bbox"].float_list.value.extend(boxes.ravel().tolist())
    example.features.feature["image/object/class/label"].int64_list.value.extend(labels.tolist())
    return bytes(example.SerializeToString(deterministic=True))


def parse(record: Any) -> tuple[Any, Any, Any]:
    example = tf.io.parse_single_example(record, FEATURES)
    boxes = tf.reshape(tf.sparse.to_dense(example["image/object/bbox"]), [-1, 4])
    return example["image/encoded"], boxes, tf.sparse.to_dense(example["image/object/class/label"])


def decode(encoded: Any, boxes: Any, labels: Any) -> tuple[Any, Any, Any]:
    return tf.io.decode_jpeg(encoded, channels=3), boxes, labels


def to_float(image: Any, boxes: Any, labels: Any) -> tuple[Any, Any, Any]:
    return tf.image.convert_image_dtype(image, tf.float32), boxes, labels


def distort(image: Any, boxes: Any, labels: Any) -> tuple[Any, Any, Any]:
    image = tf.image.random_brightness(image, 0.125)
    return tf.image.random_contrast(image, 0.5, 1.5), boxes, labels


def crop(image: Any, boxes: Any, labels: Any) -> tuple[Any, Any, Any]:
    """A random part of the image, half to all of each side, and the boxes in it."""
    part = tf.random.uniform([2], 0.5, 1.0)
    corner = tf.random.uniform([2]) * (1.0 - part)
    pixels = tf.cast(tf.shape(image)[:2], tf.float32)
    begin, size = tf.cast(corner * pixels, tf.int32), tf.cast(part * pixels, tf.int32)
    image = tf.image.crop_to_bounding_box(image, begin[0], begin[1], size[0], size[1])
    moved = (boxes - tf.tile(corner, [2])) / tf.tile(part, [2])
    return image, tf.clip_by_value(moved, 0.0, 1.0), labels


def resize(image: Any, boxes: Any, labels: Any) -> tuple[Any, Any, Any]:
    return tf.image.resize(image, [300, 300]), boxes, labels


def flip(image: Any, boxes: Any, labels: Any) -> tuple[Any, Any, Any]:
    mirrored = tf.random.uniform([]) < 0.5
    top, left, bottom, right = tf.unstack(boxes, axis=1)
    other = tf.stack([top, 1.0 - right, bottom, 1.0 - left], axis=1)
    image = tf.cond(mirrored, lambda: tf.image.flip_left_right(image), lambda: image)
    return image, tf.where(mirrored, other, boxes), labels


def is_wanted(image: Any, boxes: Any, labels: Any) -> Any:
    return tf.reduce_any(labels[:, tf.newaxis] == tf.constant(WANTED, tf.int64))


def records(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/train-*", shuffle=False)
    return files.interleave(tf.data.TFRecordDataset, **knobs.interleave)


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    images = records(place, knobs)
    for step in (parse, decode, to_float, distort, crop, resize, flip):
        images = images.map(step, **knobs.map)
    return knobs.finished(images.filter(is_wanted).padded_batch(BATCH))


def reordered(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Images that nobody wants are dropped before they are decoded."""
    images = records(place, knobs).map(parse, **knobs.map).filter(is_wanted)
    for step in (decode, to_float, distort, crop, resize, flip):
        images = images.map(step, **knobs.map)
    return knobs.finished(images.padded_batch(BATCH))


def fused(place: str, knobs: Knobs) -> tf.data.Dataset:
    """The same in one map."""

    def steps(*image: Any) -> Any:
        for step in (decode, to_float, distort, crop, resize, flip):
            image = step(*image)
        return image

    images = records(place, knobs).map(parse, **knobs.map).filter(is_wanted).map(steps, **knobs.map)
    return knobs.finished(images.padded_batch(BATCH))


WORKLOAD = Workload(
    name="ssd",
    sentence="Photographs with boxes: decoded, to float, distorted, cropped, resized, flipped, and filtered by class at the end.",
    family="ssd",
    make=make,
    dataset=dataset,
    forms={"reordered": reordered, "fused": fused},
    by_hand=Setting("fused", Knobs(AUTO, AUTO, AUTO)),
    grid=settings(forms=(WRITTEN, "reordered", "fused"), calls=(1, 2, AUTO), cycle=(None, AUTO)),
    rows="shape",
)
