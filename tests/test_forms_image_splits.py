"""Functions cut in two: what is random, or what only makes results larger, comes after the cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from forms_images import jpegs, kinds_of_ops

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.graph_cut import Split
from pipeline_opt.build.forms.smallest_cut import UNCUTTABLE, Network
from pipeline_opt.build.forms.splits import split_random, split_tail
from pipeline_opt.build.traced import Traced, traced

pytestmark = pytest.mark.tf

SPEC = (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64))


def dataset() -> Any:
    return tf.data.Dataset.from_tensor_slices((jpegs(1, 21), np.arange(21)))


def flat(elements: Any) -> list[Any]:
    return [np.asarray(part) for element in elements for part in tf.nest.flatten(element)]


def check(function: Any, split: Split | Refused, cached: bool = False) -> Split:
    """The two parts give what the function gives, also with a cache between them."""
    assert isinstance(split, Split), split
    whole = traced(function, SPEC)
    between = dataset().map(split.head)
    assert between.map(split.tail).element_spec == dataset().map(whole).element_spec
    expected, found = flat(dataset().map(whole)), flat((between.cache() if cached else between).map(split.tail))
    assert all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(expected, found, strict=True))
    return split


def kinds(part: Traced) -> list[tuple[list[int | None], str]]:
    return [(spec.shape.as_list(), spec.dtype.name) for spec in tf.nest.flatten(part.gives)]


def train(contents: Any, label: Any) -> Any:
    image = tf.image.resize(tf.io.decode_jpeg(contents, 3), [32, 32])
    return tf.image.random_flip_left_right(image, seed=1) / 255.0, tf.one_hot(label, 1000)


def crop(contents: Any, label: Any) -> Any:
    image = tf.image.random_crop(tf.io.decode_jpeg(contents, 3), [20, 20, 3], seed=3)
    return {"image": tf.cast(image, tf.float32) / 255.0, "label": label}


def evaluate(contents: Any, label: Any) -> Any:
    image = tf.cast(tf.image.resize(tf.io.decode_jpeg(contents, 3), [24, 24]), tf.uint8)
    return (tf.cast(image, tf.float32) - [1.0, 2.0, 3.0]) / [4.0, 5.0, 6.0], tf.one_hot(label, 10)


def test_what_is_random_comes_last() -> None:
    split = check(train, split_random(traced(train, SPEC)), cached=True)
    assert kinds(split.head) == [([32, 32, 3], "float32"), ([], "int64")]
    assert "RandomUniform" in kinds_of_ops(split.tail)
    assert "DecodeJpeg" in kinds_of_ops(split.head)


def test_the_cut_is_where_the_fewest_bytes_cross_it() -> None:
    split = check(crop, split_random(traced(crop, SPEC)), cached=True)
    assert kinds(split.head) == [([None, None, 3], "uint8"), ([], "int64")]


def test_casts_and_one_hot_are_cut_off() -> None:
    split = check(evaluate, split_tail(traced(evaluate, SPEC)), cached=True)
    assert kinds(split.head) == [([24, 24, 3], "uint8"), ([], "int64")]
    assert kinds_of_ops(split.tail) == ["Cast", "Sub", "RealDiv", "OneHot"]


def test_a_component_may_be_none() -> None:
    def function(contents: Any, label: Any) -> Any:
        return {"x": evaluate(contents, label), "n": None}

    split = check(function, split_tail(traced(function, SPEC)))
    assert kinds_of_ops(split.tail) == ["Cast", "Sub", "RealDiv", "OneHot"]


def test_random_ops_stay_above_a_tail() -> None:
    split = check(crop, split_tail(traced(crop, SPEC)))
    assert kinds(split.head) == [([20, 20, 3], "uint8"), ([], "int64")]


def test_both_splits_one_after_the_other() -> None:
    first = split_random(traced(train, SPEC))
    assert isinstance(first, Split)
    assert isinstance(split_tail(first.head), Refused)
    second = split_tail(first.tail)
    assert isinstance(second, Split)
    assert kinds_of_ops(second.tail) == ["OneHot"]


def test_state_stays_below_in_its_order(tmp_path: Path) -> None:
    log = f"file://{tmp_path / 'log'}"
    total = tf.Variable(0, dtype=tf.int64)

    def function(contents: Any, label: Any) -> Any:
        tf.print("first", label, output_stream=log)
        image = tf.io.decode_jpeg(contents, 3)[:40, :40]
        before = total.assign_add(label)
        tf.print("second", before, output_stream=log)
        return tf.cast(image, tf.float32) + tf.random.uniform([], seed=1), before

    split = split_random(traced(function, SPEC))
    assert isinstance(split, Split)
    assert kinds_of_ops(split.head) == ["DecodeJpeg", "StridedSlice"]
    expected = flat(dataset().map(function))
    lines = (tmp_path / "log").read_text()
    (tmp_path / "log").unlink()
    total.assign(0)
    found = flat(dataset().map(split.head).map(split.tail))
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    assert (tmp_path / "log").read_text() == lines


@pytest.mark.parametrize("can_change", [False, True])
def test_a_table_may_be_above_if_it_cannot_change(can_change: bool) -> None:
    keys = tf.range(21, dtype=tf.int64)
    entries = tf.lookup.KeyValueTensorInitializer(keys, keys * 2)
    table = tf.lookup.StaticHashTable(entries, -1)
    if can_change:
        table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)

    def function(contents: Any, label: Any) -> Any:
        return tf.image.random_flip_left_right(tf.io.decode_jpeg(contents, 3), seed=1), table.lookup(label)

    split = check(function, split_random(traced(function, SPEC)))
    assert ("LookupTableFindV2" in kinds_of_ops(split.head)) != can_change
    assert ("LookupTableFindV2" in kinds_of_ops(split.tail)) == can_change


def test_a_cut_never_parts_what_tensorflow_folds() -> None:
    def function(contents: Any, label: Any) -> Any:
        image = tf.cast(tf.io.decode_jpeg(contents, 3)[:30, :30], tf.float32) * 0.1
        return tf.concat([image * 0.3, image * 0.7], 0), label

    check(function, split_tail(traced(function, SPEC)), cached=True)


def nothing_random(contents: Any, label: Any) -> Any:
    return tf.io.decode_jpeg(contents), label


def only_random(contents: Any, label: Any) -> Any:
    return tf.random.uniform([3]), label + 1


def python(contents: Any, label: Any) -> Any:
    return tf.ensure_shape(tf.numpy_function(lambda data: np.uint8(len(data)), [contents], tf.uint8), []), label


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (nothing_random, "nothing in it is random"),
        (only_random, "all of its work depends on"),
        (python, "all of its work depends on"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_split_random_refuses(function: Any, reason: str) -> None:
    split = split_random(traced(function, SPEC))
    assert isinstance(split, Refused)
    assert reason in split.reason


def as_they_are(contents: Any, label: Any) -> Any:
    return tf.io.decode_jpeg(contents), label


def smaller(contents: Any, label: Any) -> Any:
    return tf.io.decode_jpeg(contents, 3)[:4, :4], label


def by_exp(contents: Any, label: Any) -> Any:
    return tf.exp(tf.image.resize(tf.io.decode_jpeg(contents, 3), [8, 8])), label


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (as_they_are, "nothing at its end is only"),
        (smaller, "nothing at its end is only"),
        (by_exp, "nothing at its end is only"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_split_tail_refuses(function: Any, reason: str) -> None:
    split = split_tail(traced(function, SPEC))
    assert isinstance(split, Refused)
    assert reason in split.reason


def test_the_smallest_cut() -> None:
    network = Network()
    for one, other, capacity in [
        ("s", "a", 9),
        ("a", "b", 2),
        ("a", "c", 3),
        ("b", "t", 9),
        ("c", "t", 9),
        ("b", "c", UNCUTTABLE),
    ]:
        network.join(one, other, capacity)
    assert network.sink_side("s", "t") == {"b", "c", "t"}
    network.join("a", "t", UNCUTTABLE)
    network.join("s", "a", UNCUTTABLE)
    assert network.sink_side("s", "t") == set()


def test_an_uncuttable_way_stays_so_where_other_flow_takes_a_part_of_it() -> None:
    network = Network()
    for one, other in ("sa", "bt", "ac", "cd", "dt"):
        network.join(one, other, UNCUTTABLE)
    network.join("a", "b", 5)
    assert network.sink_side("s", "t") == set()
