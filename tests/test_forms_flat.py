"""Rows of a batch end to end: the same values in the same order as `unbatch` makes of each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline_opt.build.forms import Derived, Refused, derive
from pipeline_opt.build.traced import Traced, traced

pytestmark = pytest.mark.tf

LINES = ["a b c", "", "d", "e f", " ", "g"]


def words(line: Any) -> Any:
    return tf.strings.split(line)


def tagged(line: Any) -> Any:
    found = tf.strings.split(line)
    return {"word": found, "length": tf.strings.length(found)}


def in_a_tuple(line: Any) -> Any:
    return (tf.strings.split(line),)


def bounds(line: Any) -> Any:
    length = tf.strings.length(line)
    return tf.stack([length, length + 1, 7]), tf.reshape(tf.range(6), [3, 2]) + length


def unequal(line: Any) -> Any:
    return tf.strings.split(line), tf.strings.bytes_split(line)


def flat_of(function: Any) -> Derived | Refused:
    ragged = derive(traced(function, tf.TensorSpec([], tf.string)), "ragged")
    assert isinstance(ragged, Traced), ragged
    found = derive(ragged, "flat")
    assert isinstance(found, Derived | Refused)
    return found


@pytest.mark.parametrize("drop_remainder", [False, True])
@pytest.mark.parametrize("function", [words, tagged, in_a_tuple, bounds])
def test_rebatch_cuts_the_same(function: Any, drop_remainder: bool) -> None:
    lines, form = tf.data.Dataset.from_tensor_slices(LINES), flat_of(function)
    assert isinstance(form, Derived), form
    expected = lines.map(function).unbatch().batch(4)
    # Where chunks are all of one size, too, what comes of them is not.
    found = lines.batch(3, drop_remainder).map(form).rebatch(4)
    assert found.element_spec == expected.element_spec
    pairs = list(zip(found.as_numpy_iterator(), expected.as_numpy_iterator(), strict=True))
    assert pairs
    for one, other in pairs:
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_components_of_several_lengths_fail_as_they_do_alone() -> None:
    lines, form = tf.data.Dataset.from_tensor_slices(LINES), flat_of(unequal)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(lines.map(unequal).unbatch())
    with pytest.raises(tf.errors.InvalidArgumentError, match="components of a row differ in length"):
        list(lines.batch(3).map(form))


@pytest.mark.parametrize("function", [tf.strings.length, lambda line: (tf.strings.split(line), line)])
def test_scalars_are_no_sequences(function: Any) -> None:
    refused = flat_of(function)
    assert isinstance(refused, Refused)
    assert "no sequences" in refused.reason
