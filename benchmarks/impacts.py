"""What a disturbance costs a pipeline: the elements that it makes meanwhile, against those just before and just after."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GAP_SPANS = 0.2
"""How long before a disturbance the span before it ends, in spans. Who waits for the end of a step to begin more often begins
after a slow one, and that must not count as being slow without the disturbance."""


def lost_s(done: Floats, moments: Floats, span_s: float) -> Floats:
    """Seconds that each disturbance cost, shape (moments whose spans lie within what was measured,).

    What is done in a span from its start on is held against the mean of the spans before and after: a machine that becomes
    faster or slower evenly costs nothing.

    Args:
        done: When each element was done, ascending, in seconds.
        moments: When disturbances began, in seconds on the same clock.
        span_s: A time in which a disturbance is over.
    """
    early = span_s * (1 + GAP_SPANS)
    inside = moments[(moments - early >= done[0]) & (moments + 2 * span_s <= done[-1])]
    before = _done_between(done, inside - early, inside - early + span_s)
    during = _done_between(done, inside, inside + span_s)
    after = _done_between(done, inside + span_s, inside + 2 * span_s)
    return np.asarray(span_s * (1 - 2 * during / (before + after)))


def away_from(moments: Floats, others: Floats, before_s: float, after_s: float) -> Floats:
    """The moments that are not within `before_s` before or `after_s` after one of the others."""
    gaps = moments[:, None] - others[None, :]
    return moments[~np.any((gaps > -before_s) & (gaps < after_s), axis=1)]


def _done_between(done: Floats, start: Floats, end: Floats) -> Floats:
    """How many elements were done, those under way by their part."""
    count = np.arange(len(done), dtype=np.float64)
    return np.asarray(np.interp(end, done, count) - np.interp(start, done, count))
