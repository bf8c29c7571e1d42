"""Packing for a language model: documents end to end, cut into blocks, as in TensorFlow's guide to generating text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, scaled, settings

BATCH = 32
BLOCK = 128
CHUNK = 64
END = 1
FEATURES = {"tokens": tf.io.VarLenFeature(tf.int64)}


def make(folder: Path, scale: float) -> None:
    """Documents of some 250 tokens, some short and some long, in four files."""
    documents, shards = scaled(12_000, scale, least=200), 4
    rng = np.random.default_rng(0)
    for shard in range(shards):
        with tf.io.TFRecordWriter(f"{folder}/train-{shard:05}-of-{shards:05}.tfrecord") as writer:
            for _ in range(documents // shards):
                length = 1 + int(rng.gamma(1.5, 170))
                example = tf.train.Example()
                tokens = rng.zipf(1.2, length) % 30_000 + 2
                example.features.feature["tokens"].int64_list.value.extend(tokens.tolist())
                writer.write(example.SerializeToString(deterministic=True))


def parse(record: Any) -> Any:
    tokens = tf.sparse.to_dense(tf.io.parse_single_example(record, FEATURES)["tokens"])
    return tf.concat([tokens, [END]], axis=0)


def split(block: Any) -> tuple[Any, Any]:
    return block[..., :-1], block[..., 1:]


def records(place: str) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(sorted(tf.io.gfile.glob(f"{place}/train-*")))


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    tokens = records(place).map(parse, **knobs.map).unbatch()
    blocks = tokens.batch(BLOCK + 1, drop_remainder=True).map(split, **knobs.map)
    return knobs.finished(blocks.shuffle(1000).batch(BATCH))


def packed(records: Any) -> Any:
    """The tokens of many documents, end to end."""
    tokens = tf.io.parse_example(records, {"tokens": tf.io.RaggedFeature(tf.int64)})["tokens"]
    ends = tf.fill([tf.shape(records)[0], 1], tf.constant(END, tf.int64))
    return tf.concat([tokens, ends], axis=1).values


def rebatched(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Documents are parsed many at once and cut whole: no token is an element of its own."""
    blocks = records(place).batch(CHUNK).map(packed, **knobs.map).rebatch(BLOCK + 1, drop_remainder=True)
    batches = blocks.shuffle(1000).batch(BATCH).map(split, **knobs.map)
    return knobs.finished(batches)


WORKLOAD = Workload(
    name="lm_packing",
    sentence="Documents of tokens end to end, cut into blocks of 129 that are shuffled and split into input and target.",
    family="text",
    make=make,
    dataset=dataset,
    forms={"rebatched": rebatched},
    by_hand=Setting("rebatched", Knobs(calls=AUTO, prefetch=AUTO)),
    grid=settings(forms=(WRITTEN, "rebatched"), cycle=(None,), prefetch=(1, AUTO)),
)
