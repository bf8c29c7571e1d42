"""Sentences for a translator: those of a batch are about as long as each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from suite.text_classification import lines
from suite.text_data import label_and_words, labels_and_words, make, vocabulary
from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, settings

BOUNDARIES = np.array([15, 18, 21, 24, 28])
SIZES = [128, 128, 96, 96, 64, 64]
CHUNK = 1024


def bucketed(rows: tf.data.Dataset) -> tf.data.Dataset:
    return rows.bucket_by_sequence_length(lambda words, label: tf.shape(words)[0], BOUNDARIES.tolist(), SIZES)


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    table = vocabulary(place)
    rows = lines(place, knobs).map(lambda line: label_and_words(line, table), **knobs.map)
    return knobs.finished(bucketed(rows))


def by_length(place: str, knobs: Knobs) -> tf.data.Dataset:
    """The words of a thousand lines at once are counted; lines are bucketed, and each batch is split and looked up whole."""
    table = vocabulary(place)

    def bucket(chunk: Any) -> tuple[Any, Any]:
        words = tf.strings.split(tf.strings.split(chunk, "\t").to_tensor(shape=[None, 2])[:, 1])
        return chunk, tf.searchsorted(BOUNDARIES, words.row_lengths(), side="right", out_type=tf.int64)

    def words(batch: Any, _: Any) -> tuple[Any, Any]:
        rows, labels = labels_and_words(batch, table)
        return rows.to_tensor(), labels

    def size(number: Any) -> Any:
        return tf.gather(tf.constant(SIZES, tf.int64), number)

    rows = lines(place, knobs).batch(CHUNK).map(bucket, **knobs.map).unbatch()
    batches = rows.group_by_window(
        key_func=lambda line, number: number,
        reduce_func=lambda number, window: window.batch(size(number)),
        window_size_func=size,
    )
    return knobs.finished(batches.map(words, **knobs.map))


WORKLOAD = Workload(
    name="text_buckets",
    sentence="Lines split into a label and words, looked up in a vocabulary, batched with others of about their length.",
    family="text",
    make=make,
    dataset=dataset,
    forms={"by_length": by_length},
    by_hand=Setting("by_length", Knobs(calls=AUTO, prefetch=AUTO)),
    grid=settings(forms=(WRITTEN, "by_length"), cycle=(None, 2, AUTO)),
    data="text",
)
