"""Confidence intervals for paired measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 5000

Values = Sequence[float] | NDArray[np.float64]


class Estimate(NamedTuple):
    """A median or a mean with its 95 % interval."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.3f} [{self.low:.3f}, {self.high:.3f}]"


def median_interval(values: Values, seed: int = 0) -> Estimate:
    """Median and percentile bootstrap interval."""
    return _interval(values, np.median, seed)


def mean_interval(values: Values, seed: int = 0) -> Estimate:
    """Mean and percentile bootstrap interval."""
    return _interval(values, np.mean, seed)


def _interval(values: Values, middle: Callable[..., Any], seed: int) -> Estimate:
    sample = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).choice(sample, (RESAMPLES, len(sample)))
    low, high = np.percentile(middle(drawn, axis=1), [2.5, 97.5])
    return Estimate(float(middle(sample)), float(low), float(high))
