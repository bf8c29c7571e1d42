"""Which datasets go on for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pipeline_opt as po
from pipeline_opt.ingest.graph import nodes_of
from pipeline_opt.profiler import profile as module
from pipeline_opt.profiler.endless import is_endless

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]


def numbers() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.range(10)


def odd(dataset: Any) -> Any:
    return dataset.filter(lambda x: x % 2 == 1)


def sampled(*datasets: Any, stop: bool = False) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.sample_from_datasets(list(datasets), stop_on_empty_dataset=stop)


def zipped(*datasets: Any) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.zip(*datasets)


def random() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.random(seed=1)


ENDLESS: dict[str, Callable[[], Any]] = {
    "known": lambda: numbers().repeat(),
    "filter": lambda: odd(numbers().repeat()),
    "filter and batch": lambda: odd(numbers().shuffle(4).repeat()).map(lambda x: x + 1, num_parallel_calls=2).batch(2),
    "repeat of a filter": lambda: odd(odd(numbers()).repeat()),
    "flat_map": lambda: numbers().repeat().flat_map(lambda _: numbers()),
    "repeat of a take": lambda: odd(numbers().take(3).repeat()),
    "take all": lambda: odd(numbers().repeat()).take(-1),
    "repeat of something endless": lambda: odd(numbers().repeat()).repeat(3),
    "concatenate": lambda: odd(numbers()).concatenate(numbers().repeat()),
    "zip of two": lambda: zipped(odd(numbers().repeat()), odd(numbers().repeat())),
    "sample": lambda: odd(sampled(numbers(), numbers().repeat())),
    "random numbers": lambda: odd(random()),
}

ENDING: dict[str, Callable[[], Any]] = {
    "known": numbers,
    "filter": lambda: odd(numbers()),
    "take": lambda: odd(numbers().repeat()).take(5),
    "take before a filter": lambda: odd(numbers().repeat().take(5)),
    "take_while": lambda: odd(numbers().repeat().take_while(lambda x: x < 3)),
    "repeat with a count": lambda: odd(numbers().repeat(3)),
    "zip with one that ends": lambda: zipped(odd(numbers().repeat()), odd(numbers())),
    "sample that ends with the first": lambda: odd(sampled(numbers(), numbers().repeat(), stop=True)),
    "sample of two that end": lambda: odd(sampled(numbers(), numbers())),
}


@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS.keys())
def test_data_without_end(make: Callable[[], Any]) -> None:
    dataset = make()
    assert is_endless(dataset, nodes_of(dataset))


@pytest.mark.parametrize("make", ENDING.values(), ids=ENDING.keys())
def test_data_that_ends(make: Callable[[], Any]) -> None:
    dataset = make()
    assert not is_endless(dataset, nodes_of(dataset))


def test_endless_data_behind_a_filter_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENDLESS_S", 0.2)
    dataset = odd(numbers().repeat()).batch(2).prefetch(1)
    run = po.profile(dataset, trace="off")
    assert not run.partial
    assert len(run.steps) > 0
    with pytest.raises(po.UsageError, match="epochs=1: the data is endless; valid: steps or seconds"):
        po.profile(dataset, epochs=1)
    pipe = po.Pipeline.from_dataset(numbers).repeat().filter(lambda x: x > 3).batch(2).prefetch()
    with pytest.raises(po.UsageError, match="epochs=2: the data is endless"):
        po.profile(pipe, epochs=2)
