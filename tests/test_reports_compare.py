from __future__ import annotations

import numpy as np
import pytest
from fakes import naive, no_steps, one_step, pipelined, record, steps_of, without_consumer

from pipeline_opt.accounting import account
from pipeline_opt.errors import UsageError
from pipeline_opt.record import Record
from pipeline_opt.reports.compare import (
    FEWEST_STEPS,
    Comparison,
    compare,
    fails_below,
    steady_steps,
    throughput,
    utilization,
)


def run(seconds: list[float], batch: int = 4) -> Record:
    """Steps of given lengths, all of it waiting."""
    ends = np.cumsum(seconds)
    return record(steps=steps_of([(e - s, e, e, e) for s, e in zip(seconds, ends, strict=True)], batch=batch))


def test_ratio_by_hand_leaves_the_first_step_out() -> None:
    comparison = compare([run([9.0, 1.0, 3.0])], [run([1.0, 1.0, 1.0])])
    assert comparison.baseline == pytest.approx(8 / 4)
    assert comparison.candidate == pytest.approx(8 / 2)
    assert comparison.ratio == pytest.approx(2.0)


def test_rates_are_those_of_the_account() -> None:
    for each in (naive(steps=30, jitter=0.3), without_consumer(jitter=0.3)):
        estimate, figures = throughput([each]), account(each)
        assert estimate is not None
        assert estimate.value == pytest.approx(figures.elements_per_s)
        used = utilization([each])
        assert (used and used.value) == (figures.utilization_percent and pytest.approx(figures.utilization_percent))


def test_steady_steps_begin_after_the_warm_up() -> None:
    elements, seconds = steady_steps(run([9.0, 1.0, 3.0]))
    assert (elements.tolist(), seconds.tolist()) == ([4.0, 4.0], [1.0, 3.0])
    assert [len(part) for part in steady_steps(no_steps())] == [0, 0]


def test_one_run_each_takes_its_interval_from_steps_and_says_so() -> None:
    comparison = compare([naive(steps=100, jitter=0.3)], [pipelined(steps=100, jitter=0.3, seed=1)])
    assert comparison.low is not None
    assert comparison.high is not None
    assert 2.0 < comparison.low < comparison.ratio < comparison.high < 2.6
    assert comparison.basis.startswith("1 run against 1 run")
    assert "how much one run differs from the next is not in it" in comparison.basis
    assert comparison.verdict.startswith("faster: 2.2")


def test_several_runs_take_it_from_the_spread_between_them() -> None:
    slow = [run([1.0] + [step] * 20) for step in (1.0, 1.1, 0.9)]
    fast = [run([1.0] + [step] * 20) for step in (0.5, 0.55, 0.45)]
    comparison = compare(slow, fast)
    assert comparison.ratio == pytest.approx(2.0)
    assert comparison.low is not None
    assert 1.2 < comparison.low < 1.9
    assert comparison.basis == "3 runs against 3 runs; 95 % interval from the spread between runs"


def test_more_runs_narrow_the_interval_and_a_single_one_is_taken_to_vary_like_the_others() -> None:
    steps = (1.0, 1.1, 0.9, 1.05, 0.95, 1.02)

    def width(count: int, other: int) -> float:
        sides = [[run([1.0] + [step] * 20) for step in steps[:n]] for n in (count, other)]
        comparison = compare(*sides)
        assert comparison.low is not None
        assert comparison.high is not None
        return comparison.high / comparison.low

    assert width(6, 6) < width(3, 3) < width(2, 2)
    assert width(1, 3) > width(3, 3)


def test_steps_that_hang_together_count_for_less() -> None:
    apart, together = [1.0, 2.0] * 50, [1.0] * 50 + [2.0] * 50
    widths = []
    for steps in (apart, together):
        comparison = compare([run([1.0] * 101)], [run([1.0, *steps])])
        assert comparison.low is not None
        assert comparison.high is not None
        widths.append(comparison.high / comparison.low)
    assert widths[1] > 2 * widths[0]


def test_the_same_runs_give_the_same_interval() -> None:
    sides = [naive(steps=40, jitter=0.3)], [naive(steps=40, jitter=0.3, seed=1)]
    assert compare(*sides) == compare(*sides)
    assert "within the noise" in compare(*sides).verdict


def test_slower_is_called_slower() -> None:
    comparison = compare([pipelined(steps=40)], [naive(steps=40)])
    assert comparison.verdict.startswith("slower: 0.44x")


def test_few_steps_give_no_interval_and_never_fail() -> None:
    short = run([1.0] * FEWEST_STEPS)
    comparison = compare([short], [run([2.0] * FEWEST_STEPS)])
    assert (comparison.ratio, comparison.low, comparison.high) == (pytest.approx(0.5), None, None)
    assert "too few steps" in comparison.verdict
    assert not fails_below(comparison, 0.95)


@pytest.mark.parametrize(("high", "fails"), [(0.94, True), (0.95, False), (0.96, False), (None, False)])
def test_only_a_clear_loss_fails(high: float | None, fails: bool) -> None:
    comparison = Comparison(0.9, 0.8, high, 1.0, 0.9, "", "")
    assert fails_below(comparison, 0.95) is fails


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan"), float("inf")])
def test_a_threshold_that_means_nothing_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="valid: a ratio above 0"):
        fails_below(Comparison(1.0, 0.9, 1.1, 1.0, 1.0, "", ""), threshold)


def test_sides_without_runs_or_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="the baseline has no run"):
        compare([], [naive()])
    with pytest.raises(UsageError, match="the candidate has no run"):
        compare([naive()], [])
    with pytest.raises(UsageError, match="has 1 step, none of them after its warm-up; valid: at least 2 steps"):
        compare([naive()], [one_step()])
    with pytest.raises(UsageError, match="has 0 steps"):
        compare([no_steps()], [naive()])
    assert throughput([one_step(), no_steps()]) is None
    assert utilization([without_consumer()]) is None
