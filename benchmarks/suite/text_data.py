"""Labelled sentences, their vocabulary, and what the text workloads do with a line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline_opt.synth import make_text
from suite.workload import scaled

VOCABULARY = "vocabulary.txt"


def make(folder: Path, scale: float) -> None:
    """Lines of a label, a tab and some 20 words, in four files; and the words, the most frequent first."""
    make_text(folder, scaled(50_000, scale, least=1000), files=4, words=20)
    rng = np.random.default_rng(0)
    words: Counter[str] = Counter()
    for path in sorted(folder.glob("part-*.txt")):
        sentences = path.read_text().splitlines()
        words.update(word for sentence in sentences for word in sentence.split())
        labels = rng.integers(0, 2, len(sentences)).tolist()
        lines = (f"{label}\t{sentence.capitalize()}" for label, sentence in zip(labels, sentences, strict=True))
        path.write_text("".join(f"{line}\n" for line in lines))
    kept = [word for word, _ in words.most_common(10_000)]
    (folder / VOCABULARY).write_text("".join(f"{word}\n" for word in kept))


def vocabulary(place: str) -> tf.lookup.StaticVocabularyTable:
    """From a word to its number; words that are not in it share some numbers. 0 is left to padding."""
    words = [word.decode() for word in tf.io.gfile.GFile(f"{place}/{VOCABULARY}", "rb").read().splitlines()]
    numbers = tf.range(1, len(words) + 1, dtype=tf.int64)
    return tf.lookup.StaticVocabularyTable(tf.lookup.KeyValueTensorInitializer(words, numbers), num_oov_buckets=16)


def label_and_words(line: Any, table: tf.lookup.StaticVocabularyTable) -> tuple[Any, Any]:
    """The numbers of a line's words, and its label."""
    fields = tf.strings.split(line, "\t")
    words = tf.strings.split(tf.strings.lower(fields[1]))
    return table.lookup(words), tf.strings.to_number(fields[0], tf.int32)


def labels_and_words(lines: Any, table: tf.lookup.StaticVocabularyTable) -> tuple[tf.RaggedTensor, Any]:
    """The same of many lines at once, as ragged rows."""
    fields = tf.strings.split(lines, "\t").to_tensor(shape=[None, 2])
    words = tf.strings.split(tf.strings.lower(fields[:, 1]))
    return tf.ragged.map_flat_values(table.lookup, words), tf.strings.to_number(fields[:, 0], tf.int32)
