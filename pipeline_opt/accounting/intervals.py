"""Sets of times. A set is two arrays, starts and ends, sorted and disjoint; what goes in need be neither."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline_opt.record import Floats

Spans = tuple[Floats, Floats]
"""Starts and ends."""

NOTHING: Spans = (np.empty(0, np.float64), np.empty(0, np.float64))


def union(start: ArrayLike, end: ArrayLike) -> Spans:
    """The times that lie in at least one of the intervals."""
    starts, ends = np.asarray(start, np.float64), np.asarray(end, np.float64)
    real = ends > starts
    starts, ends = starts[real], ends[real]
    if not len(starts):
        return NOTHING
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(ends[order])
    first = np.concatenate(([True], starts[1:] > reached[:-1]))
    last = np.concatenate((first[1:], [True]))
    return starts[first], reached[last]


def measure(spans: Spans) -> Callable[[Floats], Floats]:
    """A function that gives the seconds of the set that lie before each of some times."""
    start, end = spans
    if not len(start):
        return lambda at: np.zeros(np.shape(at), np.float64)
    times = np.column_stack(spans).ravel()
    before = np.concatenate(([0.0], np.cumsum(end - start)))
    covered = np.column_stack((before[:-1], before[1:])).ravel()
    return lambda at: np.interp(at, times, covered)


def covered(start: Floats, end: Floats, spans: Spans) -> Floats:
    """The seconds of each interval that lie in the set."""
    seconds_before = measure(spans)
    return np.maximum(seconds_before(end) - seconds_before(start), 0.0)


def total(spans: Spans) -> float:
    """The length of the set, in seconds."""
    return float(np.sum(spans[1] - spans[0]))


def intersect(a: Spans, b: Spans) -> Spans:
    """The times in both sets."""
    first = np.searchsorted(b[1], a[0], side="right")
    count = np.maximum(np.searchsorted(b[0], a[1], side="left") - first, 0)
    of_a = np.repeat(np.arange(len(a[0])), count)
    within = np.arange(len(of_a)) - np.repeat(np.cumsum(count) - count, count)
    of_b = np.repeat(first, count) + within
    return np.maximum(a[0][of_a], b[0][of_b]), np.minimum(a[1][of_a], b[1][of_b])


def subtract(a: Spans, b: Spans) -> Spans:
    """The times in the first set and not in the second."""
    start = np.concatenate(([-np.inf], b[1]))
    end = np.concatenate((b[0], [np.inf]))
    return intersect(a, (start, end))


def span(start: float, end: float) -> Spans:
    """A set of one interval, or of none."""
    return union([start], [end])


def activity(start: Floats, end: Floats, kind: NDArray[np.integer], kinds: int) -> tuple[Spans, NDArray[np.int64]]:
    """How many intervals of each kind are under way between one change and the next.

    Returns:
        The spans between changes, and the counts, of shape (kinds, spans).
    """
    times = np.concatenate((start, end))
    order = np.argsort(times, kind="stable")
    change = np.concatenate((np.ones(len(start), np.int64), np.full(len(end), -1, np.int64)))[order]
    of = np.concatenate((kind, kind))[order]
    times = times[order]
    counts = np.stack([np.cumsum(np.where(of == k, change, 0)) for k in range(kinds)])
    return (times[:-1], times[1:]), counts[:, :-1]
