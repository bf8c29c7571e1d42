"""Sentences for a classifier, as in TensorFlow's tutorial on loading text."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from suite.text_data import label_and_words, labels_and_words, make, vocabulary
from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, settings

BATCH = 128
SHUFFLE = 10_000


def lines(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/part-*.txt", shuffle=False)
    return files.interleave(tf.data.TextLineDataset, **knobs.interleave)


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    table = vocabulary(place)
    rows = lines(place, knobs).map(lambda line: label_and_words(line, table), **knobs.map)
    return knobs.finished(rows.shuffle(SHUFFLE).padded_batch(BATCH))


def batched(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Lines are shuffled, and each batch of them is split and looked up as a whole."""
    table = vocabulary(place)

    def words(batch: Any) -> tuple[Any, Any]:
        rows, labels = labels_and_words(batch, table)
        return rows.to_tensor(), labels

    batches = lines(place, knobs).shuffle(SHUFFLE).batch(BATCH).map(words, **knobs.map)
    return knobs.finished(batches)


WORKLOAD = Workload(
    name="text_classification",
    sentence="Lines split into a label and words, looked up in a vocabulary, shuffled, in padded batches of 128.",
    family="text",
    make=make,
    dataset=dataset,
    forms={"batched": batched},
    by_hand=Setting("batched", Knobs(calls=AUTO, prefetch=AUTO)),
    grid=settings(forms=(WRITTEN, "batched"), cycle=(None, 2, AUTO)),
    data="text",
)
