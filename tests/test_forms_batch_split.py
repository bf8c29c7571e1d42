"""Functions cut in two: what can be computed for whole batches comes after the cut, as far as nothing before it takes from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from forms_images import jpegs, kinds_of_ops

from pipeline_opt.build.dataset import build
from pipeline_opt.build.forms import Refused, derive
from pipeline_opt.build.forms.batch_split import split_rows
from pipeline_opt.build.traced import Traced, traced
from pipeline_opt.functions import Function
from pipeline_opt.plan import Plan
from pipeline_opt.sources import Tensors
from pipeline_opt.stages import Batch, Map, Prefetch

pytestmark = pytest.mark.tf

SPEC = (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.string))
ROWS = (np.array(jpegs(1, 21)), np.array([f"data/class_{number % 3}/{number}.jpg" for number in range(21)]))


def load(contents: Any, path: Any) -> Any:
    """The image is decoded alone, and resized, as it may have any size; its label and its scale can be had of many at once."""
    image = tf.image.resize(tf.io.decode_jpeg(contents, channels=3), [16, 16])
    label = tf.argmax(tf.strings.split(path, "/")[-2] == tf.constant(["class_0", "class_1", "class_2"]))
    return (image - 100.0) / 255.0, label


def halves(function: Any, spec: Any = SPEC) -> tuple[Traced, Traced]:
    split = split_rows(traced(function, spec))
    assert not isinstance(split, Refused), split.reason
    return split.head, split.tail


def reason(function: Any, spec: Any = SPEC) -> str:
    split = split_rows(traced(function, spec))
    assert isinstance(split, Refused)
    return split.reason


def test_what_is_done_alone_comes_first() -> None:
    head, tail = halves(load)
    assert "DecodeJpeg" in kinds_of_ops(head)
    assert "StringSplitV2" not in kinds_of_ops(head)
    assert "StringSplitV2" in kinds_of_ops(tail)
    assert all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(head.gives))


@pytest.mark.parametrize("looped", [False, True])
@pytest.mark.parametrize("drop_remainder", [False, True])
def test_whole_batches_of_the_second_part_are_those_of_the_function(drop_remainder: bool, looped: bool) -> None:
    function = Function(call=traced(load, SPEC))
    batch = Batch(batch_size=8, drop_remainder=drop_remainder, num_parallel_calls=None)
    head = Map(name="load_row", function=function, forms=("row_part",))
    rows = Map(name="load_row", function=function, forms=("row_part", "looped"), batched=True)
    tail = Map(name="load", function=function, forms=("batch_part", "batched"), batched=True)
    parts = (batch, rows, tail) if looped else (head, batch, tail)
    expected, found = (
        build(Plan(Tensors(value=ROWS), (*stages, Prefetch())))
        for stages in ((Map(name="load", function=function), batch), parts)
    )
    assert found.element_spec == expected.element_spec
    for one, other in zip(expected, found, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


def test_what_has_no_fixed_shape_does_not_cross() -> None:
    def several(contents: Any, path: Any) -> Any:
        image = tf.cast(tf.io.decode_jpeg(contents, channels=3), tf.float32)
        return tf.image.resize(image / 2.0, [16, 16]) + 1.0, tf.strings.length(path)

    head, tail = halves(several)
    assert {"Cast", "RealDiv"} <= set(kinds_of_ops(head))
    assert not {"Cast", "RealDiv"} & set(kinds_of_ops(tail))


def test_ops_that_tensorflow_makes_one_of_are_not_parted() -> None:
    def scaled(contents: Any, path: Any) -> Any:
        image = tf.cast(tf.io.decode_jpeg(contents, channels=3), tf.float32) * 2.0
        return tf.reshape(image, [12]) * 3.0, tf.strings.length(path)

    # The first product has no fixed shape, so that it is above; the second one could be below, but for the first.
    head, tail = halves(scaled)
    assert "Mul" in kinds_of_ops(head)
    assert "Mul" not in kinds_of_ops(tail)
    assert "StringLength" in kinds_of_ops(tail)


def test_a_function_is_called_for_row_after_row() -> None:
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2]), -1)
    factor = tf.constant(3)

    def scaled(row: Any) -> Any:
        return {"word": row["word"] + "!", "number": (table.lookup(row["word"]) * factor, tf.ones([2]))}

    words = tf.data.Dataset.from_tensor_slices({"word": ["a", "b", "c", "a", "b"]})
    whole = traced(scaled, words.element_spec)
    made = derive(whole, "looped")
    assert not isinstance(made, Refused)
    expected, found = words.map(whole).batch(2), words.batch(2).map(made)
    assert found.element_spec == expected.element_spec
    for one, other in zip(expected, found, strict=True):
        for part, same in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(part, same)


def test_rows_of_several_shapes_have_no_loop() -> None:
    made = derive(traced(lambda contents, path: tf.io.decode_jpeg(contents), SPEC), "looped")
    assert isinstance(made, Refused)
    assert "whose rows may be of several shapes" in made.reason
    drawn = derive(traced(lambda contents, path: tf.random.uniform([]), SPEC), "looped")
    assert isinstance(drawn, Refused)
    assert "random op" in drawn.reason


def test_where_nothing_comes_alone_or_nothing_is_left_there_is_no_cut() -> None:
    assert (
        reason(lambda contents, path: tf.strings.length(path)) == "nothing in it is computed for one element at a time"
    )
    assert (
        reason(lambda contents, path: tf.io.decode_jpeg(contents)) == "nothing at its end could be computed for a batch"
    )
