"""The measuring loop around a loop of the user's own."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from fake_clock import FakeClock
from fake_data import Data, FailingData, measure, spans

from pipeline_opt.errors import UsageError
from pipeline_opt.profiler.recorder import LoopRecorder


def record(clock: FakeClock, **hooks: Any) -> LoopRecorder:
    return LoopRecorder(measure, clock, **hooks)


def test_a_users_own_loop_is_measured_from_batch_to_batch() -> None:
    clock = FakeClock(50.0)
    with record(clock) as recorder:
        for _ in recorder.iterate(Data(clock, [4, 2])):
            clock.sleep(3)
    result = recorder.result
    assert spans(result.steps.wait_start, result.steps.wait_end) == [(0, 2), (5, 7)]
    assert spans(result.steps.train_start, result.steps.train_end) == [(2, 5), (7, 10)]
    assert result.steps.elements.tolist() == [4, 2]
    assert (result.start, result.wall_s, result.epoch_starts, result.partial) == (50.0, 10.5, (0,), False)


def test_what_a_users_loop_does_between_epochs_is_outside_of_them() -> None:
    clock = FakeClock()
    seen: list[tuple[int, int]] = []
    with record(clock, on_step=lambda n, t, elements: seen.append((n, elements))) as recorder:
        for _ in range(2):
            for _ in recorder.iterate(Data(clock, [4, 2])):
                clock.sleep(3)
            clock.sleep(100)
    assert recorder.result.epochs.start.tolist() == [0, 110.5]
    assert recorder.result.epochs.close_end.tolist() == [10.5, 121.0]
    assert (recorder.result.epoch_starts, recorder.result.wall_s) == ((0, 2), 121.0)
    assert seen == [(1, 4), (2, 2), (3, 4), (4, 2)]


def test_a_step_that_ends_in_break_counts() -> None:
    clock = FakeClock()
    alive: list[weakref.ref[Any]] = []
    closed: list[Any] = []
    with record(
        clock, on_iterator=lambda it: alive.append(weakref.ref(it)), close_iterator=lambda it: closed.append(1)
    ) as recorder:
        for _ in recorder.iterate(Data(clock, [1] * 5)):
            clock.sleep(3)
            break
        clock.sleep(9)
        assert alive[0]() is None
    assert spans(recorder.result.steps.train_start, recorder.result.steps.train_end) == [(2, 5)]
    assert (recorder.result.wall_s, recorder.result.partial, closed) == (5.0, False, [1])


def test_a_loop_left_by_the_generators_owner_counts_too() -> None:
    clock = FakeClock()
    with record(clock) as recorder:
        batches = recorder.iterate(Data(clock, [1] * 5))
        next(batches)
        clock.sleep(3)
    assert spans(recorder.result.steps.train_start, recorder.result.steps.train_end) == [(2, 5)]


def train_until(recorder: LoopRecorder, clock: FakeClock, error: BaseException) -> None:
    with recorder:
        for k, _ in enumerate(recorder.iterate(Data(clock, [1] * 5))):
            clock.sleep(3)
            if k == 1:
                raise error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyboardInterrupt(), "interrupted after 1 step"),
        (ValueError("nan loss"), "the step failed after 1 step: ValueError: nan loss"),
    ],
)
def test_a_step_that_raises_does_not_count_and_the_error_goes_on(error: BaseException, reason: str) -> None:
    clock = FakeClock()
    recorder = record(clock)
    with pytest.raises(type(error)):
        train_until(recorder, clock, error)
    assert (len(recorder.result.steps), recorder.result.partial_reason) == (1, reason)
    assert recorder.result.failed_in == "step"


def test_an_error_in_the_pipeline_of_a_users_loop() -> None:
    clock = FakeClock()
    recorder = record(clock)

    def train() -> None:
        with recorder:
            for _ in recorder.iterate(FailingData(clock, [1])):
                clock.sleep(3)

    with pytest.raises(ValueError, match="bad record"):
        train()
    assert (recorder.result.failed_in, len(recorder.result.steps), recorder.result.wall_s) == ("pipeline", 1, 7.0)


def test_a_recorder_has_a_result_only_after_its_block() -> None:
    recorder = record(FakeClock())
    with pytest.raises(UsageError, match="no result before the end"):
        _ = recorder.result
    with recorder:
        pass
    assert (len(recorder.result.steps), recorder.result.wall_s, recorder.result.epoch_starts) == (0, 0.0, ())
