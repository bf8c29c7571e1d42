"""Functions whose results vary in length, as functions from a batch to a ragged batch; and its rows as tensors again."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from test_forms_batched import Maker, dataset, sparse_ids
from test_forms_padded import EXACT

from pipeline_opt.build.forms import Derived, Refused, derive
from pipeline_opt.build.forms.batched import batched, ragged
from pipeline_opt.build.forms.verify import compare, compare_rows
from pipeline_opt.build.ragged_rows import dense_rows
from pipeline_opt.build.traced import traced

DENSE: dict[str, tuple[str, Maker, dict[str, Any]]] = {
    "of_one_shape": ("vector", lambda tf: lambda x: (x + 1, x[0]), {}),
    "alone": ("line", lambda tf: lambda s: tf.strings.length(s), {}),
    "in_a_tuple": ("line", lambda tf: lambda s: (tf.strings.split(s),), {}),
    "in_a_dictionary": (
        "line",
        lambda tf: lambda s: {"b": (tf.strings.split(s), s), "a": tf.strings.bytes_split(s)},
        {},
    ),
}
DEEPER = ("features", "features_to_lengths", "one_hot", "masked", "one_shape")
BOTH = {name: told for name, told in (EXACT | DENSE).items() if name not in DEEPER}


@pytest.mark.parametrize("name", BOTH)
def test_a_ragged_batch_has_the_same_bits(tf: Any, name: str) -> None:
    data, maker, _ = BOTH[name]
    elements = dataset(tf, data)
    function = traced(maker(tf), elements.element_spec)
    derived = derive(function, "ragged")
    assert isinstance(derived, Derived), derived
    assert derived.rounding == ()
    for size, drop in ((2, False), (3, True)):
        expected = elements.map(function).ragged_batch(size, drop)
        assert elements.batch(size, drop).map(derived).element_spec == expected.element_spec
    kept = list(elements.as_numpy_iterator())
    agreement = compare(function, derived, kept, lambda ds, size: ds.ragged_batch(size))
    assert agreement.exact, agreement
    agreement = compare_rows(function, derived, kept)
    assert agreement.exact, agreement


@pytest.mark.parametrize("name", BOTH)
def test_its_rows_are_what_the_function_gives(tf: Any, name: str) -> None:
    data, maker, _ = BOTH[name]
    elements = dataset(tf, data)
    function = traced(maker(tf), elements.element_spec)
    rows, expected = dense_rows(elements.batch(3).map(ragged(function))), elements.map(function)
    assert rows.element_spec == expected.element_spec
    pairs = list(zip(rows.as_numpy_iterator(), expected.as_numpy_iterator(), strict=True))
    assert pairs
    for found, wanted in pairs:
        tf.nest.map_structure(np.testing.assert_array_equal, found, wanted)


REFUSED: dict[str, tuple[str, Maker, str]] = {
    "ragged": ("line", lambda tf: lambda s: tf.strings.split([s]), "not a tensor"),
    "two_axes": ("whole", lambda tf: lambda x: tf.zeros([x[0], x[1]]), "not vectors"),
    "pairs": ("whole", lambda tf: lambda x: tf.zeros([x[0], 2]), "not vectors"),
    "nothing": ("line", lambda tf: lambda s: tf.zeros([0]), "without any values"),
    "any_rank": ("whole", lambda tf: lambda x: tf.py_function(lambda t: t, [x], tf.int32), "not vectors"),
    "sparse": (
        "example",
        lambda tf: lambda s: sparse_ids(tf, s),
        "sparse, of which a row would be as wide as the widest",
    ),
    "random": ("line", lambda tf: lambda s: tf.random.shuffle(tf.strings.split(s)), "RandomShuffle"),
    "unique": ("line", lambda tf: lambda s: tf.unique(tf.strings.split(s))[0], "Unique"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_ragged_batch_is_refused(tf: Any, name: str) -> None:
    data, maker, reason = REFUSED[name]
    refused = ragged(traced(maker(tf), dataset(tf, data).element_spec))
    assert isinstance(refused, Refused), refused
    assert re.search(reason, refused.reason), refused.reason


def test_rows_that_are_wider_than_what_the_function_gives_are_seen(tf: Any) -> None:
    elements = dataset(tf, "example")
    function = traced(lambda s: sparse_ids(tf, s), elements.element_spec)
    derived = batched(function)
    assert isinstance(derived, Derived), derived
    kept = list(elements.as_numpy_iterator())
    # A batch is as wide as the widest of it, in either way; so are its rows, which the function gives as they are.
    assert compare(function, derived, kept, lambda ds, size: ds.ragged_batch(size)).exact
    agreement = compare_rows(function, derived, kept)
    assert not agreement.exact
    assert agreement.mismatch is not None


@pytest.mark.parametrize("lengths", [[0, 0, 0], [2, 0, 3, 0, 0], [0], [1], [5, 0, 7, 64, 1]])
@pytest.mark.parametrize("kind", ["int64", "string", "float32"])
def test_rows_without_values_are_rows(tf: Any, lengths: list[int], kind: str) -> None:
    values = tf.range(sum(lengths))
    values = tf.strings.as_string(values) if kind == "string" else tf.cast(values, kind)
    batch = tf.RaggedTensor.from_row_lengths(values, lengths)
    rows = dense_rows(tf.data.Dataset.from_tensors((batch, tf.range(len(lengths)))).repeat(2))
    # What is given can be computed with, wherever its values stand in memory.
    sums = [row + row for row, _ in rows]
    expected = [row + row for row in batch] * 2
    assert len(sums) == len(expected)
    assert all(
        (one == other).numpy().all() and one.shape == other.shape for one, other in zip(sums, expected, strict=True)
    )


def test_batches_of_tensors_are_taken_apart_as_ever(tf: Any) -> None:
    rows = dense_rows(tf.data.Dataset.range(10).batch(4), "rows")
    assert rows.element_spec == tf.TensorSpec((), tf.int64)
    assert list(rows.as_numpy_iterator()) == list(range(10))
