"""A tokenizer in Python, called from the pipeline: its lock lets one thread work at a time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline_opt.synth import make_text
from suite.workload import AUTO, Knobs, Setting, Workload, scaled, settings

BATCH = 64
WORD = re.compile(r"\w+|[^\w\s]")
PIECE = 3
"""Letters of a piece of a word."""


def make(folder: Path, scale: float) -> None:
    """Lines of JSON: a text of some 40 words, and a label."""
    make_text(folder, scaled(10_000, scale, least=500), files=4, words=40)
    for path in sorted(folder.glob("part-*.txt")):
        texts = path.read_text().splitlines()
        lines = [json.dumps({"text": text, "label": len(text) % 5}) for text in texts]
        path.write_text("".join(f"{line}\n" for line in lines))


def tokenize(line: bytes) -> tuple[NDArray[np.int64], np.int64]:
    """The pieces of a text's words, as numbers."""
    row = json.loads(line)
    words = WORD.findall(row["text"].lower())
    pieces = [word[start : start + PIECE] for word in words for start in range(0, len(word), PIECE)]
    return np.array([number_of(piece) for piece in pieces], np.int64), np.int64(row["label"])


def number_of(piece: str) -> int:
    """A piece's number, from 1 to 30,000."""
    number = 0
    for letter in piece:
        number = (number * 131 + ord(letter)) % 30_000
    return 1 + number


def encode(line: Any) -> tuple[Any, Any]:
    tokens, label = tf.numpy_function(tokenize, [line], (tf.int64, tf.int64))
    return tf.ensure_shape(tokens, [None]), tf.ensure_shape(label, [])


def lines(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/part-*.txt", shuffle=False)
    return files.interleave(tf.data.TextLineDataset, **knobs.interleave)


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    return knobs.finished(lines(place, knobs).map(encode, **knobs.map).padded_batch(BATCH))


def batched(place: str, knobs: Knobs) -> tf.data.Dataset:
    """One call of Python for a batch: a user's own change, which no optimizer can make."""

    def tokenize_all(batch: NDArray[np.object_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows, labels = zip(*(tokenize(line) for line in batch), strict=True)
        padded = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for number, row in enumerate(rows):
            padded[number, : len(row)] = row
        return padded, np.array(labels)

    def encode_all(batch: Any) -> tuple[Any, Any]:
        tokens, labels = tf.numpy_function(tokenize_all, [batch], (tf.int64, tf.int64))
        return tf.ensure_shape(tokens, [None, None]), tf.ensure_shape(labels, [None])

    return knobs.finished(lines(place, knobs).batch(BATCH).map(encode_all, **knobs.map))


WORKLOAD = Workload(
    name="python_function",
    sentence="Lines of JSON tokenized by a numpy_function of pure Python, in padded batches of 64.",
    family="python",
    make=make,
    dataset=dataset,
    forms={"batched": batched},
    by_hand=Setting("batched", Knobs(prefetch=AUTO)),
    grid=settings(calls=(None, 1, 2, AUTO), cycle=(None, AUTO), prefetch=(None, AUTO)),
)
