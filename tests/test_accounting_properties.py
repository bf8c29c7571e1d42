"""What holds for the accounts of any run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fakes import intervals, record
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_opt.accounting import account
from pipeline_opt.accounting.intervals import (
    activity,
    covered,
    intersect,
    measure,
    subtract,
    total,
    union,
)
from pipeline_opt.record import ConsumerInfo, Epochs, Record, Steps, Window

quick = settings(max_examples=80, deadline=None)

# Whole numbers of sixteenths: sums are exact, and ends often meet.
ticks = st.integers(0, 160).map(lambda n: n / 16)
pair = st.tuples(ticks, ticks).map(sorted)
pairs = st.lists(pair, max_size=12)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A run of up to 8 steps: of any shape that a loop can make."""
    count = draw(st.integers(0, 8))
    in_flight = draw(st.booleans())
    host = device = 0.0
    rows = []
    for _ in range(count):
        lag, wait, load, delay, train = (draw(ticks) / 4 for _ in range(5))
        wait_start = host + lag
        wait_end = wait_start + wait
        # Loaded by the loop after the wait, or by a thread within it.
        load_start = wait_end - min(load, wait) if draw(st.booleans()) else wait_end
        load_end = max(wait_end, load_start + load) if load_start == wait_end else wait_end
        start = max(load_end + delay, device)
        device = start + train
        rows.append((wait_start, wait_end, load_start, load_end, start, device))
        host = load_end + delay if in_flight else device
    end = max(host, device)
    columns = [np.array(c, np.float64) for c in zip(*rows, strict=True)] or [np.empty(0)] * 6
    sizes = np.array(draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)), np.int64)
    later = sorted(draw(st.sets(st.integers(1, 7), max_size=2)))
    tail = draw(ticks)
    work = [
        (a, b, draw(st.integers(0, 1)), draw(st.integers(-1, 2)), k) for k, (a, b) in enumerate(draw(pairs)) if b > a
    ]
    one = np.array
    epochs = Epochs(one([0.0]), one([end]), one([end + tail]), one([end + tail]), one([end + tail + 1]))
    return record(
        steps=Steps(*columns, sizes, sizes * 7),
        consumer=ConsumerInfo("accelerator" if draw(st.booleans()) else "none"),
        epoch_starts=(0, *(k for k in later if k < count)),
        epochs=epochs if not later else Epochs.empty(),
        wall_s=end + (0 if later else tail),
        first_batch_s=rows[0][1] if rows else None,
        warmup=draw(st.integers(0, 3)),
        windows=tuple(Window(a, b) for a, b in draw(st.lists(pair, max_size=3))),
        intervals=intervals(work),
    )


@quick
@given(records())
def test_every_second_without_training_is_charged_once(it: Record) -> None:
    found = account(it)
    trained = total(union(it.steps.train_start, it.steps.train_end))
    assert sum(found.stalls.values()) == pytest.approx(it.wall_s - trained, abs=1e-9)
    assert min(found.stalls.values()) >= 0


@quick
@given(records())
def test_busy_and_idle_make_the_wall_and_work_is_no_less_than_busy(it: Record) -> None:
    for phase in account(it).phases.values():
        if phase.work_s is None or phase.busy_s is None or phase.idle_s is None:
            assert phase.work_s is phase.busy_s is phase.idle_s is None
            continue
        assert 0 <= phase.busy_s <= it.wall_s + 1e-9
        assert phase.busy_s <= phase.work_s + 1e-9
        assert phase.idle_s == pytest.approx(it.wall_s - phase.busy_s, abs=1e-9)


@quick
@given(records())
def test_the_bound_lies_between_the_first_batch_and_the_wall(it: Record) -> None:
    found = account(it)
    if found.pipelined_bound_s is not None:
        assert float(it.steps.wait_end[0]) <= found.pipelined_bound_s <= it.wall_s + 1e-9
    if found.utilization_percent is not None:
        assert 0 <= found.utilization_percent <= 100 + 1e-9


@quick
@given(records(), st.randoms(use_true_random=False))
def test_the_order_of_intervals_does_not_matter(it: Record, random: object) -> None:
    order = np.arange(len(it.intervals))
    random.shuffle(order)  # type: ignore[attr-defined]
    i = it.intervals
    shuffled = type(i)(i.start[order], i.end[order], i.phase[order], i.stage[order], i.thread[order])
    first, second = account(it), account(type(it)(**{**vars(it), "intervals": shuffled}))
    assert first.stalls == pytest.approx(second.stalls)
    for name, phase in first.phases.items():
        assert phase.work_s == pytest.approx(second.phases[name].work_s)
        assert phase.busy_s == pytest.approx(second.phases[name].busy_s)


@quick
@given(records())
def test_every_number_is_finite(it: Record) -> None:
    found = account(it)
    for value in vars(found).values():
        if isinstance(value, float):
            assert math.isfinite(value)


# -- sets of times, against a count of sixteenths --


def cells(spans: list[list[float]]) -> set[int]:
    return {k for a, b in spans for k in range(round(a * 16), round(b * 16))}


def arrays(spans: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.array(spans, np.float64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def as_cells(spans: tuple[np.ndarray, np.ndarray]) -> set[int]:
    assert np.all(spans[1] > spans[0])
    assert np.all(spans[0][1:] >= spans[1][:-1])
    return cells([list(s) for s in zip(*spans, strict=True)])


@quick
@given(pairs, pairs)
def test_set_operations(a: list[list[float]], b: list[list[float]]) -> None:
    one, two = union(*arrays(a)), union(*arrays(b))
    assert as_cells(one) == cells(a)
    assert as_cells(intersect(one, two)) == cells(a) & cells(b)
    assert as_cells(subtract(one, two)) == cells(a) - cells(b)
    assert total(one) == len(cells(a)) / 16


@quick
@given(pairs, pairs)
def test_measures(a: list[list[float]], b: list[list[float]]) -> None:
    one = union(*arrays(a))
    inside = covered(*arrays(b), one)
    assert inside == pytest.approx([len(cells([x]) & cells(a)) / 16 for x in b])
    assert measure(one)(np.array([-1.0, 99.0])) == pytest.approx([0, len(cells(a)) / 16])


@quick
@given(pairs)
def test_activity_counts_what_is_under_way(a: list[list[float]]) -> None:
    start, end = arrays(a)
    kind = np.arange(len(a)) % 2
    spans, counts = activity(start, end, kind, 2)
    seconds = spans[1] - spans[0]
    for k in range(2):
        assert np.sum(seconds * counts[k]) == pytest.approx(float(np.sum((end - start)[kind == k])))
    assert np.all(counts[:, seconds > 0] >= 0)
