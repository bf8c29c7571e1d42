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


@pytest.mark.parametrize("rows", ["known", "unknown"])
@pytest.mark.parametrize("name", BATCHES)
def test_rows_and_bytes(tf: Any, name: str, rows: str) -> None:
    make, expected = BATCHES[name]
    batch = make(tf)
    assert measurer(spec_of(tf, batch, relaxed=rows == "unknown"), batched=True)(batch) == expected


def test_without_a_batch_everything_is_one_element(tf: Any) -> None:
    assert measurer(tf.TensorSpec([32, 4]), batched=False)(tf.zeros([32, 4])) == (1, 512)
    assert measurer(tf.TensorSpec([], tf.string), batched=False)(tf.constant("abc")) == (1, 3)


def test_images_of_different_sizes(tf: Any) -> None:
    measure = measurer(tf.TensorSpec([None, None, 3], tf.uint8), batched=False)
    assert [measure(tf.zeros([n, 2, 3], tf.uint8))[1] for n in (4, 5)] == [24, 30]
    assert measurer(tf.TensorSpec(None, tf.uint8), batched=True)(tf.zeros([4, 2], tf.uint8)) == (4, 8)


def test_components_with_other_numbers_of_rows(tf: Any) -> None:
    spec = (tf.TensorSpec([None, 2]), tf.TensorSpec([None]))
    assert measurer(spec, batched=True)((tf.zeros([4, 2]), tf.zeros([7]))) == (4, 4 * 8 + 7 * 4)


def test_a_dataset_inside_a_batch_has_no_bytes_of_its_own(tf: Any) -> None:
    windows = tf.data.Dataset.range(4).window(2)
    assert measurer(windows.element_spec, batched=False)(next(iter(windows))) == (1, 0)


def spec_of(tf: Any, batch: Any, *, relaxed: bool) -> Any:
    """The type of a batch; relaxed, its number of rows is unknown."""

    def of(part: Any) -> Any:
        spec = tf.type_spec_from_value(part)
        return tf.TensorSpec([None, *part.shape[1:]], spec.dtype) if relaxed and tf.is_tensor(part) else spec

    ragged_or_sparse = isinstance(batch, tf.RaggedTensor | tf.SparseTensor)
    return tf.type_spec_from_value(batch) if ragged_or_sparse else tf.nest.map_structure(of, batch)
