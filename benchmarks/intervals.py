"""Confidence intervals for paired measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 5000


class Estimate(NamedTuple):
    """A median with its 95 % interval."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.3f} [{self.low:.3f}, {self.high:.3f}]"


def median_interval(values: Sequence[float], seed: int = 0) -> Estimate:
    """Median and percentile bootstrap interval."""
    sample = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).choice(sample, (RESAMPLES, len(sample)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return Estimate(float(np.median(sample)), float(low), float(high))
