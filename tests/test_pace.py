"""How much longer a whole pipeline takes than its stages alone: runs against a clock that only elements move."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import pytest
from fake_clock import FakeClock

from pipeline_opt.optimizer.facts import Facts, Overheads, StageFacts
from pipeline_opt.optimizer.model import predict
from pipeline_opt.plan import Plan
from pipeline_opt.sources import TFRecords
from pipeline_opt.stages import Batch, Options
from pipeline_opt.tuner.pace import MOST, pace

NOTHING = Overheads(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
FACTS = Facts(cores=1.0, stages={"tfrecords": StageFacts(cpu_s=1.0, elements=10**6)}, overheads=NOTHING)
PLAN = Plan(
    TFRecords(paths=("a",)), (Batch(batch_size=2, num_parallel_calls=None), Options(default_optimizations=False))
)
"""Predicted: 2 s for a batch."""

Times = Callable[[int], Iterator[float]]
"""What the elements take, in the run of a number."""


def seen(times: Times, seconds: float = 1000.0, facts: Facts = FACTS, rss: Callable[[], int] = lambda: 0) -> float:
    clock, number = FakeClock(), itertools.count()

    class Dataset:
        def __iter__(self) -> Iterator[int]:
            for each in times(next(number)):
                clock.sleep(each)
                yield 0

    return pace(Dataset, PLAN, facts, seconds, clock, rss)


def test_the_time_of_an_element_is_compared_to_the_one_predicted() -> None:
    assert seen(lambda _: itertools.repeat(6.0)) == pytest.approx(3.0)


def test_the_first_run_and_the_time_in_which_things_settle_do_not_count() -> None:
    def times(number: int) -> Iterator[float]:
        if number == 0:
            return itertools.repeat(50.0)
        return itertools.chain(itertools.repeat(20.0, 18), itertools.repeat(4.0))

    assert seen(times) == pytest.approx(2.0)


def test_a_short_epoch_counts_whole() -> None:
    # All was made before the first element left a shuffle.
    assert seen(lambda _: itertools.chain([40.0], itertools.repeat(0.0, 9))) == pytest.approx(2.0)


def test_making_the_iterator_of_a_short_epoch_does_not_count() -> None:
    facts = dataclasses.replace(FACTS, start_s=20.0)
    assert seen(lambda _: itertools.chain([26.0], itertools.repeat(6.0, 9)), facts=facts) == pytest.approx(3.0)
    # Nothing is told where there was nothing else.
    assert seen(lambda _: itertools.chain([20.0], itertools.repeat(0.0, 9)), facts=facts) == 1.0


def test_of_one_long_run_the_warming_counts() -> None:
    # The first element of all takes most of the time, and nothing is left for a second run.
    assert seen(lambda _: itertools.chain([600.0], itertools.repeat(10.0))) == pytest.approx(5.0)


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_elements_tell_nothing(count: int) -> None:
    assert seen(lambda _: itertools.repeat(6.0, count)) == 1.0


def test_no_more_elements_are_taken_than_tell_enough() -> None:
    taken = 0

    def quick(_: int) -> Iterator[float]:
        nonlocal taken
        while True:
            taken += 1
            yield 1e-3

    assert seen(quick, seconds=1e6) == pytest.approx(1e-3 / 2)
    assert taken <= 2 * (MOST + 1)


def test_a_run_that_takes_more_memory_than_it_may_is_ended_and_tells_nothing() -> None:
    facts, held, taken = dataclasses.replace(FACTS, memory_bytes=1000), itertools.count(0, 400), 0

    def large(_: int) -> Iterator[float]:
        nonlocal taken
        while True:
            taken += 1
            yield 6.0

    assert seen(large, facts=facts, rss=lambda: next(held)) == 1.0
    # In two runs, of which each may grow by two elements.
    assert taken <= 8


def test_what_fails_tells_nothing() -> None:
    def broken(_: int) -> Iterator[float]:
        yield from itertools.repeat(6.0, 2)
        raise OSError("gone")

    assert seen(broken) == 1.0


def test_what_a_loop_in_python_limits_tells_nothing_of_the_pipeline() -> None:
    assert seen(lambda _: itertools.repeat(9.0), facts=dataclasses.replace(FACTS, take_s=9.0)) == 1.0


def test_no_run_is_begun_whose_first_element_takes_too_long() -> None:
    def never(_: int) -> Iterator[float]:
        raise AssertionError("it was run")

    assert seen(never, seconds=3.0) == 1.0


def test_all_but_the_consumer_is_predicted_to_take_so_much_longer() -> None:
    facts = dataclasses.replace(FACTS, step_s=3.0)
    before, after = (predict(PLAN, dataclasses.replace(facts, pace=pace)) for pace in (1.0, 3.0))
    # Nothing is made ahead: reading two records, and the step.
    assert 2 / before.rows_per_s == pytest.approx(2.0 + 3.0)
    assert 2 / after.rows_per_s == pytest.approx(6.0 + 3.0)
    assert {load.name: load.seconds for load in after.loads}["consumer"] == 1.5
    assert after.first_batch_s >= 3 * before.first_batch_s / 2
