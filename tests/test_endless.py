"""Which datasets never end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pipeline_opt as po
from pipeline_opt.lazy import lazy_module
from pipeline_opt.profiler.endless import is_endless

tf = lazy_module("tensorflow")

pytestmark = pytest.mark.tf


def numbers() -> Any:
    return tf.data.Dataset.range(6)


def even(number: Any) -> Any:
    return number % 2 == 0


def odd_ones(dataset: Any) -> Any:
    return dataset.filter(lambda number: number % 2 == 1)


ENDLESS: tuple[Callable[[], Any], ...] = (
    lambda: numbers().repeat(),
    lambda: numbers().repeat().filter(even),
    lambda: odd_ones(numbers().repeat()).shuffle(4).batch(2).unbatch().prefetch(2),
    lambda: odd_ones(numbers()).repeat(),
    lambda: tf.data.Dataset.zip((odd_ones(numbers().repeat()), numbers().repeat())),
    lambda: numbers().concatenate(odd_ones(numbers().repeat())),
    lambda: numbers().repeat().filter(even).flat_map(tf.data.Dataset.from_tensors),
)

ENDING: tuple[Callable[[], Any], ...] = (
    numbers,
    lambda: odd_ones(numbers()),
    lambda: odd_ones(numbers().repeat(3)),
    lambda: odd_ones(numbers().repeat()).take(4),
    lambda: odd_ones(numbers().repeat()).take(4).batch(2),
    lambda: numbers().repeat().filter(even).take_while(lambda number: number < 4),
    lambda: tf.data.Dataset.zip((odd_ones(numbers().repeat()), odd_ones(numbers()))),
)


@pytest.mark.parametrize("make", ENDLESS)
def test_endless(make: Callable[[], Any]) -> None:
    assert is_endless(make())


@pytest.mark.parametrize("make", ENDING)
def test_ending(make: Callable[[], Any]) -> None:
    dataset = make()
    assert not is_endless(dataset)
    assert sum(1 for _ in dataset) < 20


def test_endless_data_behind_a_filter_has_no_epochs() -> None:
    dataset = numbers().repeat().filter(even).batch(2)
    with pytest.raises(po.UsageError, match="epochs=1: the data is endless"):
        po.profile(dataset, epochs=1)
    assert len(po.profile(dataset, steps=5, trace="off").steps) == 5
