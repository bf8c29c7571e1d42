"""The measuring loop on a fake clock: every number is known beforehand."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_clock import FakeClock
from fake_data import BYTES, Data, FailingData, TranslatingData, measure, spans

from pipeline_opt.errors import UsageError
from pipeline_opt.profiler.accelerator import Accelerator
from pipeline_opt.profiler.consumers import as_consumer
from pipeline_opt.profiler.loop import Limits, run_loop
from pipeline_opt.profiler.step_log import LoopResult


def loop(
    clock: FakeClock,
    sizes: list[int],
    consumer: Any = None,
    data: type[Data] = Data,
    make: Callable[[], Iterator[Any]] | None = None,
    buffer_ahead: int = 0,
    each: float = 2.0,
    hooks: dict[str, Any] | None = None,
    **limits: Any,
) -> LoopResult:
    return run_loop(
        make or (lambda: data(clock, sizes, each)),
        as_consumer(consumer, clock),
        clock,
        Limits(**limits),
        measure,
        buffer_ahead=buffer_ahead,
        **(hooks or {}),
    )


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_fetch_load_and_train_follow_each_other() -> None:
    # GIVEN batches of 4, 4 and 2, two seconds each; a link of 100 bytes a second, steps of three seconds
    clock = FakeClock(1000.0)
    consumer = Accelerator(3.0, link_bytes_per_s=400.0)
    result = loop(clock, [4, 4, 2], consumer)
    # THEN a step is 2 s of wait, 1 s of load (0.5 s for the partial batch), 3 s of train
    steps = result.steps
    assert spans(steps.wait_start, steps.wait_end) == [(0, 2), (6, 8), (12, 14)]
    assert spans(steps.load_start, steps.load_end) == [(2, 3), (8, 9), (14, 14.5)]
    assert spans(steps.train_start, steps.train_end) == [(3, 6), (9, 12), (14.5, 17.5)]
    assert steps.elements.tolist() == [4, 4, 2]
    assert steps.bytes.tolist() == [400, 400, 200]
    # AND the wait that ended with the data counts as time, not as a step
    assert spans(result.epochs.last_wait_start, result.epochs.last_wait_end) == [(17.5, 18.0)]
    assert (result.start, result.wall_s, result.first_batch_s) == (1000.0, 18.0, 2.0)
    assert (result.epoch_starts, result.partial, result.partial_reason, result.error) == ((0,), False, None, None)


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("buffer_ahead", [0, 1])
@pytest.mark.parametrize("consumer", [None, "3s", "3s@1KB/s"])
def test_every_batch_is_counted_once(count: int, buffer_ahead: int, consumer: str | None) -> None:
    result = loop(FakeClock(), [3] * count, consumer, buffer_ahead=buffer_ahead)
    assert len(result.steps) == count
    assert int(result.steps.elements.sum()) == 3 * count
    assert (result.first_batch_s is None) == (count == 0)
    assert not result.partial


def test_without_data_there_is_the_wait_for_its_end() -> None:
    result = loop(FakeClock(), [])
    assert (len(result.steps), result.wall_s, result.first_batch_s, result.epoch_starts) == (0, 0.5, None, (0,))


def test_a_callable_trains_for_as_long_as_it_runs_and_nothing_is_loaded() -> None:
    clock = FakeClock()
    result = loop(clock, [1, 1], lambda batch: clock.sleep(3))
    steps = result.steps
    assert spans(steps.train_start, steps.train_end) == [(2, 5), (7, 10)]
    assert steps.load_start.tolist() == steps.load_end.tolist() == [2, 7]


def test_without_a_consumer_only_waits_take_time() -> None:
    steps = loop(FakeClock(), [1, 1]).steps
    assert spans(steps.wait_start, steps.wait_end) == [(0, 2), (2, 4)]
    assert spans(steps.train_start, steps.train_end) == [(2, 2), (4, 4)]


def test_steps_in_flight_let_the_host_fetch_while_the_device_computes() -> None:
    # GIVEN 2 s a batch and 3 s a step: with one step in flight the device is never idle after the first batch
    result = loop(FakeClock(), [1] * 4, Accelerator(3.0, in_flight=1))
    steps = result.steps
    assert spans(steps.train_start, steps.train_end) == [(2, 5), (5, 8), (8, 11), (11, 14)]
    assert spans(steps.wait_start, steps.wait_end) == [(2 - 2, 2), (2, 4), (5, 7), (8, 10)]
    assert result.wall_s == 14.0


def test_double_buffering_loads_the_next_batch_while_the_device_computes() -> None:
    # GIVEN 2 s a batch, 1 s to load it, 4 s a step
    result = loop(FakeClock(), [1] * 3, Accelerator(4.0, link_bytes_per_s=float(BYTES)), buffer_ahead=1)
    # THEN only the first batch is waited for: while step 0 runs from 3 to 7, batch 1 is fetched (3 to 5) and
    # loaded (5 to 6), and batch 2 is asked for once step 0 has given its buffer back
    steps = result.steps
    assert spans(steps.load_start, steps.load_end) == [(2, 3), (5, 6), (9, 10)]
    assert spans(steps.wait_start, steps.wait_end) == [(0, 3), (7, 7), (11, 11)]
    assert spans(steps.train_start, steps.train_end) == [(3, 7), (7, 11), (11, 15)]
    assert (result.wall_s, result.first_batch_s) == (15.0, 3.0)


def test_double_buffering_of_a_slow_pipeline_waits_for_loaded_batches() -> None:
    # GIVEN 5 s a batch, 1 s to load it, 2 s a step
    result = loop(FakeClock(), [1] * 3, Accelerator(2.0, float(BYTES)), buffer_ahead=1, each=5.0)
    steps = result.steps
    assert spans(steps.load_start, steps.load_end) == [(5, 6), (11, 12), (17, 18)]
    assert spans(steps.wait_start, steps.wait_end) == [(0, 6), (8, 12), (14, 18)]
    assert spans(result.epochs.last_wait_start, result.epochs.last_wait_end) == [(20, 20)]


def test_a_larger_buffer_runs_further_ahead() -> None:
    result = loop(FakeClock(), [1] * 4, Accelerator(8.0, float(BYTES)), buffer_ahead=2)
    # Two batches wait at most: the fourth is asked for when the first step ends, at 11.
    assert spans(result.steps.load_start, result.steps.load_end) == [(2, 3), (5, 6), (8, 9), (13, 14)]


def test_a_buffer_in_flight_is_free_when_the_device_is_done_with_it() -> None:
    result = loop(FakeClock(), [1] * 4, Accelerator(8.0, float(BYTES), in_flight=1), buffer_ahead=1)
    steps = result.steps
    assert spans(steps.train_start, steps.train_end) == [(3, 11), (11, 19), (19, 27), (27, 35)]
    assert spans(steps.load_start, steps.load_end) == [(2, 3), (5, 6), (13, 14), (21, 22)]


def test_several_epochs_make_an_iterator_each_and_their_teardown_is_timed() -> None:
    clock = FakeClock()
    made: list[Data] = []
    closed: list[float] = []

    def make() -> Data:
        clock.sleep(0.25)
        return Data(clock, [1, 1])

    def close(iterator: Iterator[Any]) -> None:
        clock.sleep(1.0)
        closed.append(clock.now())

    hooks = {"on_iterator": made.append, "close_iterator": close}
    result = loop(clock, [], "3s", make=make, hooks=hooks, epochs=2)
    assert (result.epoch_starts, len(made), closed) == ((0, 2), 2, [11.75, 23.5])
    assert result.epochs.start.tolist() == [0, 11.75]
    assert spans(result.epochs.close_start, result.epochs.close_end) == [(10.75, 11.75), (22.5, 23.5)]
    assert (result.teardown_s, result.wall_s, result.first_batch_s) == (2.0, 22.5, 2.25)


@pytest.mark.parametrize(
    ("limits", "steps", "epoch_starts"),
    [
        ({}, 3, (0,)),
        ({"epochs": 2}, 6, (0, 3)),
        ({"steps": 0}, 0, ()),
        ({"steps": 1}, 1, (0,)),
        ({"steps": 3}, 3, (0,)),
        ({"steps": 4}, 4, (0, 3)),
        ({"steps": 9, "epochs": 2}, 6, (0, 3)),
        # A step is 5 s, an end of data 0.5 s: a step begins at 0, 5, 10 | 15.5, 20.5
        ({"seconds": 20}, 4, (0, 3)),
        ({"seconds": 5}, 1, (0,)),
        ({"seconds": 5.1}, 2, (0,)),
        ({"seconds": 100, "steps": 2}, 2, (0,)),
        ({"max_seconds": 100}, 3, (0,)),
    ],
)
def test_limits_reached_as_asked_are_not_partial(
    limits: dict[str, Any], steps: int, epoch_starts: tuple[int, ...]
) -> None:
    result = loop(FakeClock(), [1, 1, 1], "3s", **limits)
    assert (len(result.steps), result.epoch_starts, result.partial) == (steps, epoch_starts, False)


def test_the_safeguard_makes_a_run_partial() -> None:
    result = loop(FakeClock(), [1] * 9, "3s", steps=9, max_seconds=10)
    assert (len(result.steps), result.partial, result.error) == (2, True, None)
    assert result.partial_reason == "the time limit of 10 s was reached after 2 steps"


@pytest.mark.parametrize("limits", [{"steps": 5}, {"seconds": 60}])
def test_data_without_a_batch_ends_a_run_that_would_go_round(limits: dict[str, Any]) -> None:
    result = loop(FakeClock(), [], **limits)
    assert (result.partial, result.partial_reason) == (True, "the pipeline gave no batch after 0 steps")


@pytest.mark.parametrize(
    "limits",
    [
        {"steps": -1},
        {"steps": 1.5},
        {"steps": True},
        {"epochs": 0},
        {"seconds": 0},
        {"seconds": math.nan},
        {"seconds": "10"},
        {"max_seconds": -1},
        {"max_seconds": math.inf},
    ],
)
def test_limits_out_of_range_are_refused(limits: dict[str, Any]) -> None:
    name, value = next(iter(limits.items()))
    with pytest.raises(UsageError, match=rf"{name}={value!r} is out of range; valid: "):
        Limits(**limits)


@pytest.mark.parametrize("buffer_ahead", [0, 1, 3])
def test_an_error_in_the_pipeline_keeps_the_steps_before_it(buffer_ahead: int) -> None:
    result = loop(FakeClock(), [1, 1], "3s@1KB/s", FailingData, buffer_ahead=buffer_ahead)
    assert (len(result.steps), result.partial, result.failed_in) == (2, True, "pipeline")
    assert result.partial_reason == "the pipeline failed after 2 steps: ValueError: bad record"
    assert isinstance(result.error, ValueError)
    # The wait that it broke off is kept.
    assert result.epochs.last_wait_end[0] == result.wall_s > result.steps.train_end[-1] - 1e-9


def test_an_error_while_the_iterator_is_made_is_a_partial_run_too() -> None:
    def make() -> Iterator[Any]:
        raise OSError("no such file")

    result = loop(FakeClock(), [], make=make)
    assert (len(result.steps), result.failed_in, result.first_batch_s) == (0, "pipeline", None)
    assert result.partial_reason == "the pipeline failed after 0 steps: OSError: no such file"


@pytest.mark.parametrize("buffer_ahead", [0, 1])
def test_an_error_in_the_step_keeps_the_steps_before_it(buffer_ahead: int) -> None:
    clock = FakeClock()
    calls: list[int] = []

    def step(batch: Any) -> None:
        calls.append(len(calls))
        clock.sleep(3)
        if len(calls) == 2:
            raise RuntimeError

    result = loop(clock, [1] * 5, step, buffer_ahead=buffer_ahead)
    assert (len(result.steps), result.failed_in) == (1, "step")
    assert result.partial_reason == "the step failed after 1 step: RuntimeError"
    assert result.wall_s == 5.0


def test_an_error_in_a_hook_is_told_apart() -> None:
    def on_step(steps: int, seconds: float, elements: int) -> None:
        raise RuntimeError("trace")

    result = loop(FakeClock(), [1] * 5, hooks={"on_step": on_step})
    assert (len(result.steps), result.failed_in) == (1, "profiler")


@pytest.mark.parametrize("buffer_ahead", [0, 1])
@pytest.mark.parametrize(("moment", "steps"), [(1.0, 0), (4.0, 0), (6.0, 1), (13.0, 2)])
def test_ctrl_c_keeps_the_complete_steps(moment: float, steps: int, buffer_ahead: int) -> None:
    # GIVEN 2 s a batch and 3 s a step, one after another at 0, 5, 10
    clock = FakeClock()
    clock.interrupt_at(moment)
    result = loop(clock, [1] * 5, "3s", buffer_ahead=buffer_ahead)
    if buffer_ahead:
        steps = int(moment > 5) + int(moment > 8) + int(moment > 11)
    assert (len(result.steps), result.partial) == (steps, True)
    assert result.partial_reason == f"interrupted after {steps} step" + "s" * (steps != 1)
    assert isinstance(result.error, KeyboardInterrupt)


def test_what_a_device_has_not_finished_by_the_end_does_not_count() -> None:
    clock = FakeClock()
    clock.interrupt_at(6.5)
    result = loop(clock, [1] * 9, Accelerator(3.0, in_flight=8))
    assert spans(result.steps.train_start, result.steps.train_end) == [(2, 5)], "the next is done at 8"
    assert result.partial_reason == "interrupted after 1 step"
    assert result.wall_s == 6.5


def test_the_batch_under_way_is_no_teardown() -> None:
    result = loop(FakeClock(), [1] * 9, "1s", steps=2, buffer_ahead=1, each=5.0)
    assert len(result.steps) == 2
    assert result.teardown_s == 0


def test_ctrl_c_during_a_wait_keeps_the_wait() -> None:
    clock = FakeClock()
    clock.interrupt_at(6.5)
    result = loop(clock, [1] * 5, "3s")
    assert spans(result.epochs.last_wait_start, result.epochs.last_wait_end) == [(5, 6.5)]
    assert result.wall_s == 6.5


def test_an_exit_is_not_kept_back_and_leaves_no_thread() -> None:
    def step(batch: Any) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        loop(FakeClock(), [1] * 5, step, buffer_ahead=1)


@pytest.mark.parametrize("buffer_ahead", [0, 1])
@pytest.mark.parametrize("data", [Data, FailingData, TranslatingData])
def test_the_iterator_is_gone_when_its_teardown_is_over(buffer_ahead: int, data: type[Data]) -> None:
    clock = FakeClock()
    alive: list[weakref.ref[Any]] = []

    class Closing(data):  # type: ignore[valid-type, misc]
        def __del__(self) -> None:
            clock.sleep(1.5)

    gc.disable()
    try:
        result = loop(
            clock,
            [1, 1],
            data=Closing,
            buffer_ahead=buffer_ahead,
            hooks={"on_iterator": lambda iterator: alive.append(weakref.ref(iterator))},
        )
    finally:
        gc.enable()
    assert alive[0]() is None
    assert result.teardown_s == 1.5


def test_on_step_is_called_between_steps() -> None:
    calls: list[tuple[int, float, int]] = []
    loop(FakeClock(7.0), [4, 2], "3s", hooks={"on_step": lambda *step: calls.append(step)})
    assert calls == [(1, 5.0, 4), (2, 10.0, 2)]


def test_a_step_counts_its_own_elements_though_later_batches_are_loaded_ahead() -> None:
    counts: list[int] = []
    accelerator = Accelerator(8.0, float(BYTES))
    hooks = {"on_step": lambda _count, _now, elements: counts.append(elements)}
    loop(FakeClock(), [5, 4, 3, 2], accelerator, buffer_ahead=2, hooks=hooks)
    assert counts == [5, 4, 3, 2]
