"""The keys of `group_by_window`, found in the map before it: the same windows, of which the keys can be found many at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from element_equality import epochs

from pipeline_opt.build.dataset import build
from pipeline_opt.functions import Function
from pipeline_opt.ingest import imported
from pipeline_opt.ingest.windows import keyed
from pipeline_opt.stages import Map, OpaqueStage
from pipeline_opt.tuner.reading_in import prepared, with_keys, with_traced

pytestmark = pytest.mark.tf

LENGTHS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]


def sentences() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(LENGTHS).map(lambda length: (tf.range(length), length + 1))


def bucketed() -> tf.data.Dataset:
    return sentences().bucket_by_sequence_length(lambda words, _: tf.shape(words)[0], [3, 5], [3, 2, 2])


def of_single_components() -> tf.data.Dataset:
    numbers, sizes = tf.constant([0, 1], tf.int64), tf.constant([5, 7], tf.int64)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(numbers, sizes), -1)
    rows = tf.data.Dataset.range(20).map(lambda number: number * 3)
    return rows.group_by_window(
        lambda number: table.lookup(number % 2),
        lambda key, window: window.map(lambda number: number + key).batch(key),
        window_size_func=lambda key: key,
    )


def of_mappings() -> tf.data.Dataset:
    rows = tf.data.Dataset.range(20).map(lambda number: {"a": number, "b": (number % 3, number)})
    return rows.group_by_window(lambda row: row["b"][0], lambda key, window: window.batch(4), 4)


@pytest.mark.parametrize("make", [bucketed, of_single_components, of_mappings])
def test_windows_are_the_same_with_their_keys_found_before(make: Callable[[], Any]) -> None:
    dataset = make().prefetch(1)
    plan = with_traced(imported(dataset))
    changed = with_traced(with_keys(plan))
    assert changed != plan
    assert [stage.name for stage in changed.stages] == [stage.name for stage in plan.stages]
    assert epochs(build(changed)) == epochs(dataset)
    assert build(changed).element_spec == dataset.element_spec


def test_a_search_begins_behind_the_change() -> None:
    plan = with_traced(imported(bucketed()))
    (change,) = prepared(plan)
    assert (change.rule, change.stage) == ("keys_in_map", "map")
    (mapped,) = (stage for stage in change.plan.stages if isinstance(stage, Map))
    assert mapped.function.label.endswith("then key")
    assert prepared(with_traced(imported(sentences()))) == []


def test_keys_that_are_drawn_stay_where_they_are() -> None:
    drawn = sentences().group_by_window(
        lambda words, _: tf.random.uniform([], maxval=3, dtype=tf.int64), lambda key, window: window.padded_batch(2), 2
    )
    plan = with_traced(imported(drawn))
    assert with_keys(plan) == plan


def test_other_stages_stay() -> None:
    batched = sentences().padded_batch(2).group_by_window(lambda words, _: tf.constant(0, tf.int64), lambda _, w: w, 2)
    for dataset in (batched, sentences().apply(tf.data.experimental.assert_cardinality(12))):
        plan = with_traced(imported(dataset))
        assert with_keys(plan) == plan
    assert keyed(None) is None
    assert keyed(Function.of(lambda dataset: dataset)) is None
    assert not any(isinstance(stage, OpaqueStage) and keyed(stage.transformation) for stage in plan.stages)
