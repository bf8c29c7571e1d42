"""Sets of times for figures, on top of the arithmetic of `accounting.intervals`."""

from __future__ import annotations

import numpy as np

from pipeline_opt.accounting.intervals import Spans, intersect, measure, span, subtract
from pipeline_opt.record import Floats

Span = tuple[float, float]
"""A start and an end, in seconds."""


def clip(start: Floats, end: Floats, low: float, high: float) -> Spans:
    """The parts of intervals, which may overlap, that lie between `low` and `high`."""
    keep = (start < high) & (end > low)
    return np.maximum(start[keep], low), np.minimum(end[keep], high)


def within(spans: Spans, low: float, high: float) -> Spans:
    """The times of a set that lie between `low` and `high`."""
    return intersect(spans, span(low, high))


def gaps(spans: Spans, low: float, high: float) -> Spans:
    """The times between `low` and `high` that are not in a set."""
    return subtract(span(low, high), spans)


def coverage(spans: Spans, edges: Floats) -> Floats:
    """The share, 0 to 1, of every bin between `edges` that a set covers."""
    return np.clip(np.diff(measure(spans)(edges)) / np.diff(edges), 0.0, 1.0)


def pairs(spans: Spans) -> tuple[Span, ...]:
    """A set as a tuple of plain numbers."""
    return tuple(zip(spans[0].tolist(), spans[1].tolist(), strict=True))
