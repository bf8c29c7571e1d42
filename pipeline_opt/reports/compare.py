"""Whether one pipeline is faster than another, given how much a run varies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pipeline_opt.accounting.timeline import read_timeline
from pipeline_opt.errors import UsageError
from pipeline_opt.record import Floats, Ints, Record
from pipeline_opt.reports import units

RESAMPLES: Final = 2000
FEWEST_STEPS: Final = 8
"""With fewer steps in steady state, a single run says nothing about its own noise."""

_T: Final = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t for 95 % with 1 degree of freedom and more."""

Side = list[tuple[Floats, Floats]]
"""For each run of one side: elements and seconds of its steps."""


class Estimate(NamedTuple):
    """A value with its 95 % interval; the bounds are None where the runs cannot tell. `basis` says where it came from."""

    value: float
    low: float | None
    high: float | None
    basis: str


class Comparison(NamedTuple):
    """How the candidate's throughput in steady state relates to the baseline's.

    `ratio` is candidate / baseline, `low` to `high` its 95 % interval (None where too little was measured for one);
    `baseline` and `candidate` are elements per second. `basis` says what the interval is made from and what it leaves
    out, `verdict` the whole in a sentence.
    """

    ratio: float
    low: float | None
    high: float | None
    baseline: float
    candidate: float
    basis: str
    verdict: str


def compare(baseline: Sequence[Record], candidate: Sequence[Record]) -> Comparison:
    """Compare the elements per second of two pipelines, each measured in one run or several.

    Several runs on a side are resampled (bootstrap). With one run on each side, blocks of neighbouring steps are: steps
    are not independent, as a buffer runs dry for several in a row and AUTOTUNE changes a knob. Then only the noise
    within the runs is known and not that between them, and `basis` says so. Resampling a few things understates how
    much they differ, so the interval is widened as Student's t says. The seed is fixed: the same runs give the
    same interval.

    Raises:
        UsageError: a side has no run, or a run has no steps after its warm-up.
    """
    base, new = _steps_of(baseline, "baseline"), _steps_of(candidate, "candidate")
    ratio, low, high, basis = _estimate([base, new])
    return Comparison(ratio, low, high, _mean_rate(base), _mean_rate(new), basis, _verdict(ratio, low, high))


def fails_below(comparison: Comparison, threshold: float) -> bool:
    """Whether the candidate is clearly slower than `threshold` times the baseline.

    True only if the whole interval lies below it, so that noise does not fail a build. Where there is no interval, too
    little was measured to fail anything, and it is False.

    Raises:
        UsageError: the threshold is not a positive number.
    """
    if not (np.isfinite(threshold) and threshold > 0):
        raise UsageError(f"fail below: {threshold!r} is out of range; valid: a ratio above 0, such as 0.95")
    return comparison.high is not None and comparison.high < threshold


def throughput(records: Sequence[Record]) -> Estimate | None:
    """Elements per second in steady state over one run or several; None without any step after the warm-up."""
    side = [steps for record in records if (steps := steady_steps(record))[1].sum() > 0]
    return _estimate([side]) if side else None


def utilization(records: Sequence[Record]) -> Estimate | None:
    """Accelerator utilization in percent, likewise; None where nothing trains."""
    side = []
    for record in records:
        trained = (record.steps.train_end - record.steps.train_start)[record.skipped :]
        if trained.sum() > 0:
            side.append((100 * trained, steady_steps(record)[1]))
    if not side:
        return None
    found = _estimate([side])
    return found if found.high is None else found._replace(high=min(100.0, found.high))


def steady_steps(record: Record) -> tuple[Floats, Floats]:
    """Elements and seconds of each step after the warm-up, the first step always left out."""
    return record.steps.elements[record.skipped :].astype(np.float64), read_timeline(record).step_s[record.skipped :]


def _steps_of(records: Sequence[Record], name: str) -> Side:
    if not records:
        raise UsageError(f"compare: the {name} has no run; valid: one or more")
    side = [steady_steps(record) for record in records]
    for record, (elements, seconds) in zip(records, side, strict=True):
        if not elements.sum() > 0 or not seconds.sum() > 0:
            raise UsageError(
                f"compare: a run of the {name} ({record.created}) has {units.plural(len(record.steps), 'step')}, none "
                f"of them after its warm-up; valid: at least {units.plural(record.skipped + 1, 'step')}"
            )
    return side


def _mean_rate(side: Side) -> float:
    """Geometric mean, so that a ratio and its inverse agree."""
    return float(np.exp(_log_rates(side).mean()))


def _log_rates(side: Side) -> Floats:
    return np.array([np.log(amount.sum() / seconds.sum()) for amount, seconds in side])


def _estimate(sides: list[Side]) -> Estimate:
    """The rate of the one side, or the last side's over the first's."""
    value = _mean_rate(sides[-1]) / (_mean_rate(sides[0]) if len(sides) > 1 else 1.0)
    runs = [len(side) for side in sides]
    if max(runs) == 1 and min(len(side[0][0]) for side in sides) < FEWEST_STEPS:
        why = f"no interval: fewer than {FEWEST_STEPS} steps in steady state"
        return Estimate(value, None, None, why)
    rng = np.random.default_rng(0)
    draws, free = _from_steps(sides, rng) if max(runs) == 1 else _from_runs(sides, rng)
    low, high = np.quantile(draws, [0.025, 0.975])
    wider = _student(free) / 1.96
    return Estimate(value, value * float(np.exp(wider * low)), value * float(np.exp(wider * high)), _basis(runs))


def _from_runs(sides: list[Side], rng: np.random.Generator) -> tuple[Floats, int]:
    """Deviations of the logarithm when runs are drawn again; a single run is taken to vary as the other side's do."""
    rates = [_log_rates(side) for side in sides]
    residuals = [rate - rate.mean() for rate in rates]
    widest = max(residuals, key=len)
    total = np.zeros(RESAMPLES)
    for rate, residual in zip(rates, residuals, strict=True):
        known = residual if len(residual) > 1 else widest
        picked = rng.integers(0, len(known), (RESAMPLES, len(rate)))
        sign = 1 if rate is rates[-1] else -1
        total += sign * known[picked].mean(axis=1) * np.sqrt(len(known) / (len(known) - 1))
    return total, sum(len(rate) - 1 for rate in rates)


def _from_steps(sides: list[Side], rng: np.random.Generator) -> tuple[Floats, int]:
    """Deviations of the logarithm when blocks of neighbouring steps are drawn again, about n^(2/3) steps each."""
    total = np.zeros(RESAMPLES)
    fewest = RESAMPLES
    for side in sides:
        amount, seconds = side[0]
        length = int(np.ceil(len(amount) ** (2 / 3)))
        blocks = max(3, round(len(amount) / length))
        begin = rng.integers(0, len(amount), (RESAMPLES, blocks))
        rates = np.log(_block_sums(amount, begin, length) / _block_sums(seconds, begin, length))
        sign = 1 if side is sides[-1] else -1
        total += sign * (rates - np.log(amount.sum() / seconds.sum())) * np.sqrt(blocks / (blocks - 1))
        fewest = min(fewest, blocks - 1)
    return total, fewest


def _block_sums(values: Floats, begin: Ints, length: int) -> Floats:
    """Sums over all blocks of a draw; a block that reaches the end goes on at the start."""
    sums = np.concatenate(([0.0], np.cumsum(np.concatenate((values, values)))))
    picked: Floats = (sums[begin + length] - sums[begin]).sum(axis=1)
    least: Floats = np.maximum(picked, 1e-12 * values.sum())
    return least


def _student(free: int) -> float:
    return _T[free - 1] if free <= len(_T) else 1.96 + 2.6 / free


def _basis(runs: list[int]) -> str:
    each = " against ".join(units.plural(count, "run") for count in runs)
    if max(runs) == 1:
        return f"{each}; 95 % interval from blocks of steps: how much one run differs from the next is not in it"
    if min(runs) == 1:
        return f"{each}; 95 % interval from the side with several runs, the other taken to vary as much"
    return f"{each}; 95 % interval from the spread between runs"


def _verdict(ratio: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{units.ratio(ratio)} the throughput, from too few steps to tell it from noise"
    interval = f"{units.ratio(ratio)} the throughput (95 % interval {units.ratio(low)} to {units.ratio(high)})"
    if low > 1:
        return f"faster: {interval}"
    return f"slower: {interval}" if high < 1 else f"within the noise: {interval}"
