"""How sure a ratio is that was measured in few paired rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

LEVEL: Final = 0.95
RESAMPLES: Final = 2000
LARGEST: Final = 700.0
_ANGLES: Final = np.linspace(-math.pi / 2, math.pi / 2, 20_001)


MOST_TOLD: Final = 1000
"""The upper end from which on an interval tells nothing: too few rounds, or too different ones."""


class Interval(NamedTuple):
    """A ratio with its confidence interval.

    `value` is the geometric mean over `rounds` paired rounds, of many without the furthest (`left_out`), `low` to `high` its
    interval at `level`: 0 to infinity with fewer than two rounds, which say nothing of how much a round varies. With no round at
    all `value` is not a number.
    """

    value: float
    low: float
    high: float
    rounds: int
    level: float = LEVEL

    def __str__(self) -> str:
        return f"{self.value:.2f} {self.ends}"

    @property
    def ends(self) -> str:
        """The interval in words."""
        return f"[{self.low:.2f}, {f'{self.high:.2f}' if self.high < MOST_TOLD else 'no end known'}]"

    def to_json(self) -> dict[str, float | None]:
        """As JSON has it, which knows no infinity."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {name: value if math.isfinite(value) else None for name, value in ends.items()}


def left_out(count: int) -> int:
    """How many of the lowest rounds, and of the highest, count no further than those next to them: none of few.

    Other work slows a machine down for seconds, which may be all of one candidate's turn: a round in four tells of nothing else.
    """
    return max(0, count // 4 - 1)


def interval(logs: Sequence[float], *, level: float = LEVEL, seed: int = 0) -> Interval:
    """The interval of the ratio whose logarithm was `logs` in each round.

    Rounds are resampled (bootstrap); the same rounds and seed give the same interval. Resampling few things understates how much
    they differ: the deviations are widened as Student's t says. Of three rounds, resampling knows no mean further off than the
    lowest of them, however high the level; so the interval has at least the width that t gives to the standard error.

    Of many rounds the mean is a trimmed one, and how far it may be off follows from the winsorized rounds, with the degrees of
    freedom of those that are left (Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61, 1974).
    """
    count, values = len(logs), np.sort(np.asarray(logs, np.float64))
    if count < 2:
        return Interval(math.exp(logs[0]) if count else math.nan, 0.0, math.inf, count, level)
    out, tail = left_out(count), (1 - level) / 2
    kept = values[out : count - out]
    centre, near = float(kept.mean()), np.clip(values, kept[0], kept[-1])
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    low, high = np.quantile(near[drawn].mean(axis=1) - near.mean(), [tail, 1 - tail])
    student = student_t(1 - tail, len(kept) - 1)
    # Of the mean of `kept` the error is larger than of that of `near`, which are more, by as much as these are more.
    trimmed = math.sqrt(count * (count - 1) / (len(kept) * (len(kept) - 1)))
    wider = trimmed * student / NormalDist().inv_cdf(1 - tail) * math.sqrt(count / (count - 1))
    least = trimmed * student * float(near.std(ddof=1)) / math.sqrt(count)
    ends = (centre + min(wider * float(low), -least), centre + max(wider * float(high), least))
    return Interval(_exp(centre), _exp(ends[0]), _exp(ends[1]), count, level)


def _exp(log: float) -> float:
    """Infinity where the number would be too large: two rounds that differ much say nothing of the upper end."""
    return math.exp(log) if log < LARGEST else math.inf


def student_t(quantile: float, freedom: int) -> float:
    """The quantile of Student's t with some degrees of freedom, to 1e-3 of itself from 1 to 99.9 %.

    With t = sqrt(freedom) tan(a) the density over a is cos(a) to the power of freedom - 1, which is summed up.
    """
    density = np.cos(_ANGLES) ** (freedom - 1)
    steps = (density[1:] + density[:-1]) / 2
    below = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()
    return math.sqrt(freedom) * math.tan(float(np.interp(quantile, below, _ANGLES)))
