"""Three sources of photographs of different sizes, drawn by weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline_opt.synth import make_jpeg_shards
from suite.jpeg_data import parse
from suite.workload import AUTO, FORGOTTEN, Knobs, Workload, scaled, settings

BATCH = 64
SIZE = [128, 128]
SOURCES = {"thumbs": 0.5, "web": 0.3, "photos": 0.2}


def make(folder: Path, scale: float) -> None:
    sizes = {"thumbs": (2000, (160, 120)), "web": (1200, (320, 240)), "photos": (800, (500, 375))}
    for seed, (name, (images, size)) in enumerate(sizes.items()):
        make_jpeg_shards(folder / name, scaled(images, scale, least=16), shards=4, size=size, seed=seed)


def decode(record: Any) -> tuple[Any, Any]:
    encoded, label = parse(record)
    image = tf.image.convert_image_dtype(tf.io.decode_jpeg(encoded, channels=3), tf.float32)
    return tf.image.resize(image, SIZE), label


def source(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/*.tfrecord", shuffle=False)
    return files.interleave(tf.data.TFRecordDataset, **knobs.interleave).map(decode, **knobs.map)


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    sources = [source(f"{place}/{name}", knobs) for name in SOURCES]
    mixed = tf.data.Dataset.sample_from_datasets(sources, list(SOURCES.values()), seed=1)
    return knobs.finished(mixed.shuffle(200).batch(BATCH))


WORKLOAD = Workload(
    name="mixture",
    sentence="Three sources of JPEGs of 10 to 95 KB drawn by weight, decoded, resized to 128 x 128, shuffled, batches of 64.",
    family="mixture",
    make=make,
    dataset=dataset,
    given=FORGOTTEN,
    grid=settings(calls=(None, 1, 2, AUTO), cycle=(None, 2, AUTO), prefetch=(AUTO,)),
)
