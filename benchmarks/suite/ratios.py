"""Ratios of paired rates with their intervals, and their geometric mean over workloads."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from intervals import RESAMPLES, Estimate, Values, median_interval


def paired(rates: Sequence[float], base: Sequence[float]) -> list[float]:
    """The ratio of each round."""
    return [rate / other for rate, other in zip(rates, base, strict=True)]


def ratio(rates: Sequence[float], base: Sequence[float]) -> Estimate:
    """The median of the rounds' ratios."""
    return median_interval(paired(rates, base))


def geometric_mean(ratios: Sequence[Values], seed: int = 0) -> Estimate:
    """Geometric mean over workloads of the medians of their rounds; the interval is that of rounds drawn anew in each."""
    rng = np.random.default_rng(seed)
    drawn = [np.median(rng.choice(np.asarray(values), (RESAMPLES, len(values))), axis=1) for values in ratios]
    means = np.exp(np.mean(np.log(drawn), axis=0))
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(np.exp(np.mean(np.log([median(values) for values in ratios])))), float(low), float(high))


def change(after: Sequence[float], before: Sequence[float], seed: int = 0) -> Estimate:
    """The ratio of two medians of values that were not taken in turns, each drawn anew for the interval."""
    rng = np.random.default_rng(seed)
    medians = [
        np.median(rng.choice(np.asarray(values), (RESAMPLES, len(values))), axis=1) for values in (after, before)
    ]
    low, high = np.percentile(medians[0] / medians[1], [2.5, 97.5])
    return Estimate(median(after) / median(before), float(low), float(high))
