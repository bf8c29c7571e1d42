"""Ratios of paired rates with their intervals, and their geometric mean over workloads.

Ratios multiply, so means are of their logarithms. Rounds are few: intervals are as wide as Student's t says, and with a single
round they reach from 0 to infinity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from intervals import Estimate, Values

from pipeline_opt.tuner.bootstrap import interval, student_t

UPPER: Final = 0.975
"""The quantile at the upper end of a 95 % interval."""


def paired(rates: Sequence[float], base: Sequence[float]) -> list[float]:
    """The ratio of each round."""
    return [rate / other for rate, other in zip(rates, base, strict=True)]


def ratio(rates: Sequence[float], base: Sequence[float]) -> Estimate:
    """The geometric mean of the rounds' ratios."""
    found = interval([math.log(value) for value in paired(rates, base)])
    return Estimate(found.value, found.low, found.high)


def geometric_mean(ratios: Sequence[Values]) -> Estimate:
    """Geometric mean over workloads of the means of their rounds, which say nothing of each other."""
    return _product([(1 / len(ratios), values) for values in ratios])


def change(after: Values, before: Values) -> Estimate:
    """The ratio of two geometric means of values that were not taken in turns."""
    return _product([(1.0, after), (-1.0, before)])


def _product(samples: Sequence[tuple[float, Values]]) -> Estimate:
    """The product of powers of geometric means of independent samples.

    The interval is Welch's ("The generalization of 'Student's' problem when several different population variances are involved",
    Biometrika 34, 1947): Student's t, with fewer degrees of freedom where one sample varies more than the others.
    """
    logs = [(power, np.log(np.asarray(values, np.float64))) for power, values in samples]
    centre = sum(power * float(values.mean()) for power, values in logs)
    if any(len(values) < 2 for _, values in logs):
        return Estimate(math.exp(centre), 0.0, math.inf)
    parts = [(power**2 * float(values.var(ddof=1)) / len(values), len(values) - 1) for power, values in logs]
    variance, spread = sum(part for part, _ in parts), sum(part**2 / freedom for part, freedom in parts)
    # Rounded down, which is to the safe side.
    freedom = max(1, math.floor(variance**2 / spread)) if spread else 1
    half = student_t(UPPER, freedom) * math.sqrt(variance)
    return Estimate(math.exp(centre), math.exp(centre - half), math.exp(centre + half))
