"""The accounts of hand-made runs, against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import ENVIRONMENT, intervals, record

from pipeline_opt.accounting import Account, account
from pipeline_opt.record import ConsumerInfo, Epochs, Intervals, Record, Steps, Window

EXTRACT, TRANSFORM = 0, 1
READER, MAP = 0, 1
ACCELERATOR = ConsumerInfo("accelerator", "1 s a step", 1.0)
DOUBLE_BUFFERED = replace(ACCELERATOR, double_buffered=True)

Row = tuple[float, float, float, float]
"""Wait start, wait end, load end, train end."""


def steps_of(rows: Sequence[Row], elements: Sequence[int] | None = None) -> Steps:
    a, b, c, d = (np.array([row[i] for row in rows], np.float64) for i in range(4))
    count = np.array(elements if elements is not None else [10] * len(rows), np.int64)
    return Steps(a, b, b, c, c, d, count, count * 100)


def steps_apart(*rows: tuple[float, float, float, float, float, float]) -> Steps:
    """From rows of wait start, wait end, load start, load end, train start, train end, which need not follow each other."""
    columns = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    ones = np.ones(len(rows), np.int64)
    return Steps(*columns, ones, ones)


def epochs_of(*rows: tuple[float, float, float, float, float]) -> Epochs:
    """From rows of start, last wait, close."""
    return Epochs(*(np.array(column, np.float64) for column in zip(*rows, strict=True)))


def run(
    steps: Steps,
    work: Sequence[tuple[float, float, int, int, int]] = (),
    windows: Sequence[tuple[float, float]] | None = None,
    wall_s: float | None = None,
    **changes: Any,
) -> Record:
    """A run with an accelerator, traced whole unless told otherwise."""
    wall = wall_s if wall_s is not None else float(max([*steps.train_end, 0.0]))
    opened = [(0.0, wall)] if windows is None else windows
    defaults: dict[str, Any] = {
        "consumer": ACCELERATOR,
        "steps": steps,
        "epoch_starts": (0,) if len(steps) else (),
        "wall_s": wall,
        "first_batch_s": float(steps.wait_end[0]) if len(steps) else None,
        "windows": tuple(Window(*w) for w in opened),
        "intervals": intervals(work),
    }
    return record(**{**defaults, **changes})


def stalls_of(it: Account) -> dict[str, float]:
    """The stalls that are not zero."""
    return {cause: pytest.approx(s) for cause, s in it.stalls.items() if abs(s) > 1e-9}


def phase(it: Account, name: str) -> tuple[float | None, float | None, float | None]:
    found = it.phases[name]
    return found.work_s, found.busy_s, found.idle_s


def naive(count: int = 4) -> Record:
    """A step is 2 s of extract, 3 s of transform, 1 s of load, 4 s of train: 10 s."""
    rows = [(10.0 * k, 10.0 * k + 5, 10.0 * k + 6, 10.0 * k + 10) for k in range(count)]
    work = []
    for k in range(count):
        work += [(10.0 * k, 10.0 * k + 2, EXTRACT, READER, 0), (10.0 * k + 2, 10.0 * k + 5, TRANSFORM, MAP, 0)]
    return run(steps_of(rows), work)


def test_naive_phases_follow_each_other_and_add_up_to_the_wall() -> None:
    it = account(naive())
    assert phase(it, "extract") == (8, 8, 32)
    assert phase(it, "transform") == (12, 12, 28)
    assert phase(it, "load") == (4, 4, 36)
    assert phase(it, "train") == (16, 16, 24)
    assert it.sequential_s == it.wall_s == 40
    assert it.accelerator_idle_s == 24
    assert it.utilization_percent == pytest.approx(100 * 4 / 10)
    assert (it.steps, it.elements, it.bytes) == (4, 40, 4000)
    assert it.elements_per_s == pytest.approx(1.0)
    assert it.bytes_per_s == pytest.approx(100.0)
    # The first wait is the filling; the other three are charged to who worked.
    assert stalls_of(it) == {"fill": 5, "load": 4, "extract": 6, "transform": 9}
    # After the first batch at 5 s, the accelerator has 16 s to do, transform 9, extract 6, the link 4.
    assert it.pipelined_bound_s == 5 + 16
    assert it.overlap_efficiency == pytest.approx(21 / 40)
    assert (it.traced_share, it.notes) == (1.0, ())


def test_a_perfectly_pipelined_run_reaches_its_bound() -> None:
    # GIVEN batches that are made in 3 s on a thread while the accelerator computes 4 s
    rows = [(0.0, 3.0, 3.0, 7.0), (7.0, 7.0, 7.0, 11.0), (11.0, 11.0, 11.0, 15.0)]
    work = [(0.0, 3.0, TRANSFORM, MAP, 0), (3.0, 6.0, TRANSFORM, MAP, 0), (7.0, 10.0, TRANSFORM, MAP, 0)]
    it = account(run(steps_of(rows), work))
    assert it.utilization_percent == 100
    assert stalls_of(it) == {"fill": 3}
    assert (it.pipelined_bound_s, it.overlap_efficiency) == (15, 1)
    assert it.sequential_s == 9 + 12


def test_a_partial_last_batch_counts_its_own_elements() -> None:
    rows = [(0.0, 1.0, 1.0, 2.0), (2.0, 3.0, 3.0, 4.0), (4.0, 4.5, 4.5, 5.0)]
    it = account(run(steps_of(rows, [8, 8, 3])))
    assert (it.elements, it.bytes) == (19, 1900)
    assert it.elements_per_s == pytest.approx(11 / 3)


@pytest.mark.parametrize(("warmup", "rate"), [(0, 3 / 3), (1, 3 / 3), (2, 2 / 2), (3, 1 / 1), (4, None), (9, None)])
def test_rates_leave_out_the_warmup_and_always_the_first_step(warmup: int, rate: float | None) -> None:
    rows = [(0.0, 9.0, 9.0, 9.5)] + [(9.5 + k, 10.0 + k, 10.0 + k, 10.5 + k) for k in range(3)]
    it = account(run(steps_of(rows, [1] * 4), warmup=warmup))
    assert it.elements_per_s == rate
    assert it.utilization_percent == (None if rate is None else pytest.approx(50))


def test_no_step_at_all() -> None:
    it = account(run(Steps.empty(), wall_s=2.0))
    assert (it.steps, it.elements, it.elements_per_s, it.bytes_per_s) == (0, 0, None, None)
    assert (it.utilization_percent, it.pipelined_bound_s, it.overlap_efficiency) == (None, None, None)
    assert stalls_of(it) == {"fill": 2}
    assert it.accelerator_idle_s == 2


def test_an_empty_record() -> None:
    it = account(record())
    assert (it.wall_s, it.steps, it.overlap_efficiency, stalls_of(it), it.traced_share) == (0, 0, None, {}, 0)


def test_a_single_step_has_no_steady_state() -> None:
    it = account(naive(1))
    assert (it.elements_per_s, it.utilization_percent) == (None, None)
    assert stalls_of(it) == {"fill": 5, "load": 1}
    assert (it.pipelined_bound_s, it.sequential_s, it.accelerator_idle_s) == (9, 10, 6)


def test_a_second_epoch_is_charged_to_ending_the_first_and_filling_again() -> None:
    # GIVEN an epoch that ends at 4, a wait for its end until 5, a teardown until 7, a pause of the user's until 8,
    # and an iterator whose first batch comes at 11
    rows = [(0.0, 1.0, 1.0, 2.0), (2.0, 3.0, 3.0, 4.0), (9.0, 11.0, 11.5, 12.0), (12.0, 13.0, 13.0, 14.0)]
    work = [(2.0, 3.0, TRANSFORM, MAP, 0), (4.0, 5.0, EXTRACT, READER, 0), (12.0, 13.0, TRANSFORM, MAP, 0)]
    epochs = epochs_of((0.0, 4.0, 5.0, 5.0, 7.0), (8.0, 14.0, 14.5, 14.5, 20.0))
    it = account(run(steps_of(rows), work, wall_s=14.5, epoch_starts=(0, 2), epochs=epochs))
    assert stalls_of(it) == {
        "fill": 1,
        "transform": 2,
        "extract": 1,
        "teardown": 2,
        "overhead": 1 + 0.5,
        "refill": 3,
        "load": 0.5,
    }
    assert it.accelerator_idle_s == pytest.approx(sum(it.stalls.values()))


def test_without_word_of_the_iterators_a_refill_begins_where_the_step_before_ends() -> None:
    rows = [(0.0, 1.0, 1.0, 2.0), (4.0, 6.0, 6.0, 7.0)]
    assert stalls_of(account(run(steps_of(rows), epoch_starts=(0, 1)))) == {"fill": 1, "refill": 4}


def test_an_empty_epoch_between_two_others() -> None:
    rows = [(0.0, 1.0, 1.0, 2.0), (6.0, 7.0, 7.0, 8.0)]
    epochs = epochs_of((0.0, 2.0, 2.0, 2.0, 3.0), (3.0, 3.0, 4.0, 4.0, 5.0), (5.0, 8.0, 8.0, 8.0, 8.0))
    it = account(run(steps_of(rows), epoch_starts=(0, 1, 1), epochs=epochs))
    # The wait of the empty one is a wait in which nobody worked.
    assert stalls_of(it) == {"fill": 1, "teardown": 2, "overhead": 1, "refill": 2}


def test_a_load_that_overlaps_training_is_no_stall() -> None:
    # GIVEN double buffering: batch 1 is loaded from 3 to 4, while step 0 runs; batch 2 from 9 to 10, while it is waited for
    steps = steps_apart((0, 2, 1, 2, 2, 5), (5, 5, 3, 4, 5, 8), (8, 10, 9, 10, 10, 13))
    # WHEN batch 2 comes late, for which the loading thread waits since 4
    it = account(run(steps, [(0.0, 1.0, EXTRACT, READER, 0), (6.0, 9.0, EXTRACT, READER, 0)], consumer=DOUBLE_BUFFERED))
    # THEN its copy would have been done under step 1, and the reading is to blame for that second, too
    assert stalls_of(it) == {"fill": 1, "load": 1, "extract": 2}
    assert phase(it, "load") == (3, 3, 10)


def test_a_copy_that_is_too_slow_is_to_blame_for_what_the_batch_is_not() -> None:
    # GIVEN batches that are ready, and copies of 5 s under steps of 3 s; batch 2 is ready 1 s after it was asked for
    steps = steps_apart((0, 5, 0, 5, 5, 8), (8, 10, 5, 10, 10, 13), (13, 16, 11, 16, 16, 19))
    it = account(run(steps, [(10.0, 11.0, TRANSFORM, MAP, 0)], consumer=DOUBLE_BUFFERED))
    # THEN of 2 and 3 s of waiting for the copy, 1 s is that batch's
    assert stalls_of(it) == {"load": 5 + 2 + 2, "transform": 1}


def test_what_makes_all_batches_late_is_to_blame_and_not_their_copies() -> None:
    # GIVEN a pipeline that makes a batch in 10 s, copies of 2 s, and steps of 7 s
    steps = steps_apart(
        *((10 * k + 2.0, 10 * k + 12, 10 * k + 10, 10 * k + 12, 10 * k + 12, 10 * k + 19) for k in range(9))
    )
    it = account(run(steps, [(0.0, 90.0, TRANSFORM, MAP, 0)], consumer=DOUBLE_BUFFERED))
    assert stalls_of(it) == {"fill": 10, "load": 2, "transform": 8 * 3}


def test_the_first_copy_of_another_iterator_cannot_have_been_hidden() -> None:
    steps = steps_apart((0, 2, 1, 2, 2, 5), (6, 9, 7, 9, 9, 12))
    it = account(run(steps, epoch_starts=(0, 1), consumer=DOUBLE_BUFFERED))
    assert stalls_of(it) == {"fill": 1, "load": 1 + 2, "refill": 2}


def test_with_steps_in_flight_only_the_devices_gaps_are_stalls() -> None:
    # GIVEN a host that waits from 2 to 4 while step 0 still runs until 5, then from 4 to 7 for a batch that comes late
    steps = steps_apart((0, 2, 2, 2, 2, 5), (2, 4, 4, 4, 5, 6), (4, 7, 7, 7.5, 7.5, 9))
    it = account(run(steps, [(4.0, 7.0, TRANSFORM, MAP, 0)]))
    # THEN so is the half second of its copy, for which there was time while step 1 ran
    assert stalls_of(it) == {"fill": 2, "transform": 1.5}
    assert it.accelerator_idle_s == pytest.approx(3.5)


def test_what_nobody_works_in_is_overhead() -> None:
    # GIVEN a wait from 2 to 4 in which a thread works from 3 to 3.5, and half a second between wait and training
    rows = [(0.0, 1.0, 1.0, 2.0), (2.0, 4.0, 4.0, 5.5)]
    steps = replace(steps_of(rows), train_start=np.array([1.0, 4.5]))
    it = account(run(steps, [(3.0, 3.5, EXTRACT, READER, 0)]))
    assert stalls_of(it) == {"fill": 1, "extract": 0.5, "overhead": 1.5 + 0.5}


def test_without_a_consumer_there_is_no_accelerator_and_every_second_is_a_wait() -> None:
    rows = [(0.0, 2.0, 2.0, 2.0), (2.0, 4.0, 4.0, 4.0), (4.0, 6.0, 6.0, 6.0)]
    work = [(0.0, 6.0, TRANSFORM, MAP, 0)]
    it = account(run(steps_of(rows), work, consumer=ConsumerInfo()))
    assert (it.accelerator_idle_s, it.utilization_percent) == (None, None)
    assert phase(it, "load") == phase(it, "train") == (0, 0, 6)
    assert stalls_of(it) == {"fill": 2, "transform": 4}
    assert (it.sequential_s, it.pipelined_bound_s) == (6, 6)


# -- who is charged when several work --


def one_wait(*work: tuple[float, float, int, int, int]) -> dict[str, float]:
    """The charges of a wait from 10 to 20; the work is in seconds from its start."""
    rows = [(0.0, 1.0, 1.0, 10.0), (10.0, 20.0, 20.0, 21.0)]
    shifted = [(a + 10, b + 10, *rest) for a, b, *rest in work]
    charges = stalls_of(account(run(steps_of(rows), shifted)))
    del charges["fill"]
    return charges


def test_reading_ahead_is_not_charged_when_transform_is_short() -> None:
    # Transform is at work all the time, extract reads ahead in three of ten seconds.
    assert one_wait((0, 10, TRANSFORM, MAP, 1), (2, 5, EXTRACT, READER, 0)) == {"transform": 10}


def test_transforming_is_not_charged_when_extract_is_short() -> None:
    # Extract is at work all the time, transform only whenever it has something to do.
    work = [(0, 10, EXTRACT, READER, 0), (2, 3, TRANSFORM, MAP, 1), (7, 8, TRANSFORM, MAP, 2)]
    assert one_wait(*work) == {"extract": 10}


def test_the_time_in_which_both_work_is_divided_as_that_in_which_one_does() -> None:
    # 2 s extract alone, 4 s both, 3 s transform alone, 1 s nobody: both is divided 2 to 3.
    work = [(0, 6, EXTRACT, READER, 0), (2, 9, TRANSFORM, MAP, 1)]
    assert one_wait(*work) == {"extract": 2 + 4 * 2 / 5, "transform": 3 + 4 * 3 / 5, "overhead": 1}


def test_where_both_always_work_threads_decide() -> None:
    work = [(0, 10, EXTRACT, READER, 0), *((0, 10, TRANSFORM, MAP, thread) for thread in (1, 2, 3))]
    assert one_wait(*work) == {"extract": 2.5, "transform": 7.5}


def test_a_stage_that_reads_and_transforms_is_charged_by_threads() -> None:
    # Two threads of one map: each reads for 3 s and decodes for 7 s, shifted against each other.
    work = [
        (0, 3, EXTRACT, MAP, 0),
        (3, 10, TRANSFORM, MAP, 0),
        (0, 4, TRANSFORM, MAP, 1),
        (4, 7, EXTRACT, MAP, 1),
        (7, 10, TRANSFORM, MAP, 1),
    ]
    assert one_wait(*work) == {"extract": 3, "transform": 7}


def test_work_of_no_stage_is_charged_by_its_phase() -> None:
    assert one_wait((0, 4, EXTRACT, -1, 0), (4, 10, TRANSFORM, -1, 0)) == {"extract": 4, "transform": 6}


# -- windows that cover a part --


def test_without_windows_nothing_is_guessed() -> None:
    it = account(replace(naive(), windows=(), intervals=Intervals.empty()))
    assert phase(it, "extract") == phase(it, "transform") == (None, None, None)
    assert (it.sequential_s, it.pipelined_bound_s, it.overlap_efficiency) == (None, None, None)
    assert it.stalls == {
        "load": 4,
        "teardown": 0,
        "fill": 5,
        "refill": 0,
        "overhead": 0,
        "unattributed": 15,
    }
    assert it.notes == ("No trace window: extract and transform times, and the causes of waits, are unknown.",)


def test_windows_over_a_part_are_scaled_by_steps() -> None:
    # GIVEN ten steps of 10 s, of which a window sees the first and one the sixth and the seventh
    whole = naive(10)
    seen = [(0.0, 10.0), (50.0, 70.0)]
    inside = [w for w in rows_of(whole) if any(a <= w[0] < b for a, b in seen)]
    it = account(replace(whole, windows=tuple(Window(*w) for w in seen), intervals=intervals(inside)))
    # THEN two steady steps stand for nine, and the first stands for itself
    assert it.phases == account(whole).phases
    assert it.stalls == pytest.approx(account(whole).stalls)
    assert it.traced_share == pytest.approx(0.3)
    assert it.notes == ("Extract and transform times are scaled from trace windows that cover 30.0% of the run.",)


def rows_of(it: Record) -> list[tuple[float, float, int, int, int]]:
    i = it.intervals
    return list(zip(*(a.tolist() for a in (i.start, i.end, i.phase, i.stage, i.thread)), strict=True))


def test_steps_that_a_window_slows_down_are_scaled_by_number_not_by_time() -> None:
    # GIVEN ten steps of 1 s and, inside a window, five steps of 2 s; each is waited for throughout, with 1 s of work
    ends = [1.0 + k for k in range(6)] + [6.0 + 2 * (k + 1) for k in range(5)] + [17.0 + k for k in range(4)]
    starts = [0.0, *ends[:-1]]
    rows = [(a, b - 0.5, b - 0.5, b) for a, b in zip(starts, ends, strict=True)]
    work = [(6.0 + 2 * k, 7.0 + 2 * k, TRANSFORM, MAP, 0) for k in range(5)]
    it = account(run(steps_of(rows), work, [(6.0, 16.0)]))
    # THEN 14 steady steps had 14 s of work, though the window's 10 s would stand for 18 s at 9 s
    assert phase(it, "transform")[:2] == (pytest.approx(14), pytest.approx(14))
    assert it.notes == (
        "Extract and transform times are scaled from trace windows that cover 50.0% of the run.",
        "No trace window covers the time to the first batch: extract and transform in it are left out.",
        "Steps took 100% longer inside trace windows than outside: work found there is too high by up to as much.",
    )
    # Half of the waits' seconds inside were worked in; a steady wait is 0.5 s of 1, or 1.5 s of 2.
    assert it.stalls["transform"] == pytest.approx(12 * 5 / 7.5)


def test_a_refill_that_a_window_saw_stands_for_itself() -> None:
    # GIVEN twelve steps of 2 s, half of it waits in which a thread works, and a refill of 20 s before the seventh; one
    # window sees the end of the first step, another one the seventh to the ninth
    ends = [2.0 * (k + 1) + 20 * (k >= 6) for k in range(12)]
    starts = [0.0, *ends[:-1]]
    rows = [(a, b - 1, b - 1, b) for a, b in zip(starts, ends, strict=True)]
    work = [(rows[k][0], rows[k][1], TRANSFORM, MAP, 0) for k in (6, 7, 8)]
    it = account(run(steps_of(rows), work, [(1.0, 2.0), (12.0, 38.0)], epoch_starts=(0, 6)))
    # THEN the refill's 21 s of work count once, and the 1 s of a steady step ten times
    assert phase(it, "transform")[:2] == (pytest.approx(21 + 10), pytest.approx(21 + 10))
    assert stalls_of(it) == {"fill": 1, "refill": 21, "transform": 10}


def test_a_window_that_sees_only_the_start_says_nothing_of_the_rest() -> None:
    it = account(replace(naive(5), windows=(Window(0.0, 5.0),)))
    assert phase(it, "extract") == (None, None, None)
    assert "unattributed" in stalls_of(it)
    assert "No trace window covers a steady step" in it.notes[0]


def test_busy_time_is_the_union_of_threads_and_work_their_sum() -> None:
    rows = [(0.0, 4.0, 4.0, 5.0)]
    work = [(0.0, 3.0, TRANSFORM, MAP, 0), (1.0, 4.0, TRANSFORM, MAP, 1), (2.0, 2.5, TRANSFORM, MAP, 2)]
    assert phase(account(run(steps_of(rows), work)), "transform") == (6.5, 4, 1)


def test_the_bound_divides_transform_by_threads_but_not_beyond_the_cores() -> None:
    # GIVEN four threads at work for 8 s after the first batch, on 4 cores and on 2
    rows = [(0.0, 1.0, 1.0, 2.0), (2.0, 9.0, 9.0, 10.0)]
    work = [(2.0 + thread, 4.0 + thread, TRANSFORM, MAP, thread) for thread in range(4)]
    work += [(6.0, 8.0, TRANSFORM, MAP, thread) for thread in range(4)]
    four = run(steps_of(rows), work)
    assert account(four).pipelined_bound_s == 1 + 16 / 4
    two = replace(four, environment=replace(ENVIRONMENT, cores=2.0))
    # 16 thread-seconds would take 8 s on 2 cores, but were done within 6.
    assert account(two).pipelined_bound_s == 1 + 6


def test_the_bound_lets_reading_threads_wait_on_any_number_of_cores() -> None:
    rows = [(0.0, 1.0, 1.0, 2.0), (2.0, 9.0, 9.0, 10.0)]
    # Four at once for 2 s, then one for 4 s.
    work = [(2.0, 4.0, EXTRACT, READER, thread) for thread in range(4)] + [(4.0, 8.0, EXTRACT, READER, 0)]
    it = account(run(steps_of(rows), work, environment=replace(ENVIRONMENT, cores=1.0)))
    assert it.pipelined_bound_s == 1 + 12 / 4


def test_a_chance_meeting_of_threads_does_not_count_as_parallelism() -> None:
    rows = [(0.0, 1.0, 1.0, 2.0), (2.0, 9.0, 9.0, 10.0)]
    work = [(2.0, 5.001, TRANSFORM, MAP, 0), (5.0, 8.0, TRANSFORM, MAP, 1)]
    assert account(run(steps_of(rows), work)).pipelined_bound_s == pytest.approx(7.0)
