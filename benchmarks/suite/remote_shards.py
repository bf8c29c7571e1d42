"""Many small shards on a storage that is far away: 150 ms to the first byte, as of another region's bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import pipeline_opt as po
from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, scaled, settings

BATCH = 32
VALUES = 1024
FEATURES = {
    "embedding": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def make(folder: Path, scale: float) -> None:
    """Shards of 24 embeddings of 4 KB."""
    rng = np.random.default_rng(0)
    shards = scaled(96, scale, least=16)
    for shard in range(shards):
        with tf.io.TFRecordWriter(f"{folder}/train-{shard:05}-of-{shards:05}.tfrecord") as writer:
            for _ in range(24):
                example = tf.train.Example()
                embedding = rng.standard_normal(VALUES, np.float32)
                example.features.feature["embedding"].bytes_list.value.append(embedding.tobytes())
                example.features.feature["label"].int64_list.value.append(int(rng.integers(10)))
                writer.write(example.SerializeToString(deterministic=True))


@contextmanager
def far(folder: Path) -> Iterator[str]:
    """The folder as a bucket, emulated on this machine."""
    with po.emulate(folder, "gs://suite", ttfb="150ms", stream_rate="10MB/s") as store:
        yield store.uri


def parse(record: Any) -> tuple[Any, Any]:
    example = tf.io.parse_single_example(record, FEATURES)
    embedding = tf.io.decode_raw(example["embedding"], tf.float32)
    return tf.math.l2_normalize(tf.ensure_shape(embedding, [VALUES])), example["label"]


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/train-*", shuffle=True)
    rows = files.interleave(tf.data.TFRecordDataset, **knobs.interleave).shuffle(500).map(parse, **knobs.map)
    return knobs.finished(rows.batch(BATCH))


WORKLOAD = Workload(
    name="remote_shards",
    sentence="96 shards of 100 KB in an emulated bucket, 150 ms to the first byte; embeddings normalised, batches of 32.",
    family="remote",
    make=make,
    dataset=dataset,
    by_hand=Setting(WRITTEN, Knobs(calls=AUTO, cycle=96, prefetch=AUTO)),
    grid=settings(calls=(2, AUTO), cycle=(None, 2, 8, 16, 32, 64, 96, AUTO)),
    place=far,
)
