"""Elements and bytes of a batch, for every kind of component that a dataset can yield."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline_opt.profiler.batches import measurer

pytestmark = pytest.mark.tf

BATCHES: dict[str, tuple[Callable[[Any], Any], tuple[int, int]]] = {
    "dense": (lambda tf: tf.zeros([32, 4, 4]), (32, 32 * 16 * 4)),
    "pair": (lambda tf: (tf.zeros([8, 3]), tf.zeros([8], tf.int64)), (8, 8 * 3 * 4 + 8 * 8)),
    "nested": (lambda tf: {"a": (tf.zeros([5, 2]),), "b": [tf.zeros([5], tf.uint8)]}, (5, 40 + 5)),
    "strings": (lambda tf: tf.constant(["ab", "", "c"]), (3, 3)),
    "ragged": (lambda tf: tf.ragged.constant([[1, 2], [3]], dtype=tf.int32), (2, 3 * 4 + 3 * 8)),
    "ragged strings": (lambda tf: tf.ragged.constant([["ab"], ["c", "d"]]), (2, 4 + 3 * 8)),
    "sparse": (lambda tf: tf.sparse.from_dense([[1, 0], [0, 2], [0, 0]]), (3, 2 * 2 * 8 + 2 * 4 + 2 * 8)),
    "arrays": (lambda _: np.zeros([6, 2], np.float64), (6, 96)),
    "nothing": (lambda _: (), (1, 0)),
    "empty": (lambda tf: tf.zeros([0, 7]), (0, 0)),
}


@pytest.mark.parametrize("name", BATCHES)
def test_rows_and_bytes(tf: Any, name: str) -> None:
    make, expected = BATCHES[name]
    assert measurer(batched=True)(make(tf)) == expected


def test_without_a_batch_everything_is_one_element(tf: Any) -> None:
    assert measurer(batched=False)(tf.zeros([32, 4])) == (1, 512)
    assert measurer(batched=False)(tf.constant("abc")) == (1, 3)


def test_a_dataset_inside_a_batch_has_no_bytes_of_its_own(tf: Any) -> None:
    windows = next(iter(tf.data.Dataset.range(4).window(2)))
    assert measurer(batched=False)(windows) == (1, 0)
