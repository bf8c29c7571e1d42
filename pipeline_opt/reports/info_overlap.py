"""What the overlap figure shows: who worked when, for which batch, and where the accelerator waited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from pipeline_opt.accounting import Account, account
from pipeline_opt.accounting.intervals import measure, total
from pipeline_opt.accounting.timeline import read_timeline
from pipeline_opt.errors import UsageError
from pipeline_opt.record import Record
from pipeline_opt.reports.batches import Block, host_blocks
from pipeline_opt.reports.phases import HOST, phase_intervals, phase_set, phases_of
from pipeline_opt.reports.spans import Span, coverage, gaps, pairs, within

FEW_STEPS: Final = 12
"""A run of up to so many steps is shown whole; of a longer one, some steps in steady state."""

BINS: Final = 240
"""Columns of the strip that shows the whole run."""


class Lane(NamedTuple):
    """One phase within the span shown: its blocks, its seconds of work, and where no trace was open."""

    phase: str
    blocks: tuple[Block, ...]
    busy_s: float
    untraced: tuple[Span, ...]


class Strip(NamedTuple):
    """The whole run in equal bins of `bin_s` seconds: for each phase the busy share of each, None where not traced."""

    bin_s: float
    shares: dict[str, tuple[float | None, ...]]


class Panel(NamedTuple):
    """One variant. Times are seconds from the start of its run; `span` is the part that is shown in detail.

    `idle` are the spans in which the accelerator waits, with their sum and its share of `span`; None without a
    consumer. `delivered` are the batches handed over, by number and time. What follows `strip` is of the whole run.
    """

    variant: str
    span: Span
    lanes: tuple[Lane, ...]
    idle: tuple[Span, ...]
    idle_s: float | None
    idle_percent: float | None
    delivered: tuple[tuple[int, float], ...]
    strip: Strip | None
    figures: Account
    partial: bool


class OverlapInfo(NamedTuple):
    """Panels from top to bottom on one axis of `length_s` seconds; `whole` if that begins at the start of the runs.

    `reason` says why there is nothing to draw, if so.
    """

    panels: tuple[Panel, ...]
    length_s: float
    whole: bool
    reason: str | None


def overlap_info(records: Mapping[str, Record], span: Span | None = None) -> OverlapInfo:
    """Lanes over time for each variant, in the order given.

    Args:
        records: Runs by the name of the variant.
        span: Seconds from the start of the run to show of every variant. By default short runs are shown
            whole; of longer ones, equally long spans of some 6 to 12 steps in steady state, inside a trace window.

    Raises:
        UsageError: there are no records, or the span is empty.
    """
    if not records:
        raise UsageError("overlap: no runs given; valid: one or more")
    if span is not None and not 0 <= span[0] < span[1]:
        raise UsageError(f"overlap: span={span!r} is out of range; valid: two times in seconds, 0 <= start < end")
    whole = span is None and all(_is_short(record) for record in records.values())
    if whole:
        span = (0.0, max(record.wall_s for record in records.values()) or 1.0)
    if span is not None:
        spans = dict.fromkeys(records, span)
    else:
        length = _common_length(list(records.values()))
        spans = {name: _steady_span(record, length) for name, record in records.items()}
    panels = tuple(_panel(name, record, spans[name], strip=not whole) for name, record in records.items())
    seen = any(panel.figures.steps or any(lane.blocks for lane in panel.lanes) for panel in panels)
    return OverlapInfo(
        panels,
        length_s=max(end - start for start, end in spans.values()),
        whole=whole or (span is not None and span[0] == 0),
        reason=None if seen else "no batch arrived and no work was traced",
    )


def _panel(name: str, record: Record, span: Span, *, strip: bool) -> Panel:
    consumer = record.has_consumer
    lanes = tuple(_lane(record, phase, span) for phase in phases_of(record))
    end = min(span[1], record.wall_s)
    idle = gaps(phase_set(record, "train"), span[0], end)
    shown = end - span[0]
    idle_s = total(idle)
    ends = record.steps.wait_end
    delivered = tuple((int(k) + 1, float(ends[k])) for k in np.flatnonzero((ends >= span[0]) & (ends <= span[1])))
    return Panel(
        variant=name,
        span=span,
        lanes=lanes,
        idle=pairs(idle) if consumer else (),
        idle_s=idle_s if consumer else None,
        idle_percent=100 * idle_s / shown if consumer and shown > 0 else None,
        delivered=delivered,
        strip=_strip(record) if strip else None,
        figures=account(record),
        partial=record.partial,
    )


def _lane(record: Record, phase: str, span: Span) -> Lane:
    busy_s = total(within(phase_set(record, phase), *span))
    if phase not in HOST:
        return Lane(phase, _step_blocks(record, phase, span), busy_s, ())
    untraced = pairs(gaps(read_timeline(record).windows, span[0], min(span[1], record.wall_s)))
    return Lane(phase, host_blocks(record, phase, span), busy_s, untraced)


def _step_blocks(record: Record, phase: str, span: Span) -> tuple[Block, ...]:
    start, end = phase_intervals(record, phase)
    shown = np.flatnonzero((end > start) & (start < span[1]) & (end > span[0]))
    rows = ((int(k) + 1, float(start[k]), float(end[k])) for k in shown)
    return tuple(Block(number, begin, stop, ((begin, stop),)) for number, begin, stop in rows)


def _strip(record: Record) -> Strip | None:
    if record.wall_s <= 0:
        return None
    edges = np.linspace(0.0, record.wall_s, BINS + 1)
    traced = coverage(read_timeline(record).windows, edges)
    shares: dict[str, tuple[float | None, ...]] = {}
    for phase in phases_of(record):
        share = coverage(phase_set(record, phase), edges)
        seen = traced if phase in HOST else np.ones(BINS)
        shares[phase] = tuple(min(1.0, float(s / t)) if t > 0 else None for s, t in zip(share, seen, strict=True))
    return Strip(record.wall_s / BINS, shares)


def _is_short(record: Record) -> bool:
    """Whether all steps can be told apart on one axis from the start of the run to its end."""
    if len(record.steps) <= 3:
        return True
    return len(record.steps) <= FEW_STEPS and record.wall_s <= 2 * FEW_STEPS * _usual_step_s(record)


def _usual_step_s(record: Record) -> float:
    """Seconds of the median step after the warm-up; of all steps where there are none after it."""
    every = read_timeline(record).step_s
    steady = every[record.skipped :]
    return float(np.median(steady if len(steady) else every))


def _common_length(records: list[Record]) -> float:
    """Seconds that show some 8 steps of a typical variant, 3 of the slowest and no more than 24 of the fastest.

    Less where no trace window is as long, but 2 steps of the slowest.
    """
    steps = [_usual_step_s(record) for record in records if len(record.steps)]
    wanted = 8 * float(np.exp(np.mean(np.log(np.maximum(steps, 1e-9)))))
    length = max(min(wanted, 24 * min(steps)), 3 * max(steps))
    traced = min((_longest_window_s(record) for record in records if record.windows), default=length)
    length = max(min(length, traced), 2 * max(steps))
    return max(min(length, max(record.wall_s for record in records)), 1e-9)


def _longest_window_s(record: Record) -> float:
    """Seconds of the longest trace window, as far as it is after the warm-up."""
    steps = record.steps
    begun = float(steps.wait_start[min(record.skipped, len(steps) - 1)]) if len(steps) else 0.0
    return max(window.end_s - max(window.start_s, begun) for window in record.windows)


def _steady_span(record: Record, length: float) -> Span:
    """`length` seconds from the start of a step: after the warm-up, traced if possible, as idle as the whole run."""
    steps = record.steps
    first = min(record.skipped, max(0, len(steps) - 1))
    starts = steps.wait_start[first:]
    starts = starts[starts + length <= record.wall_s + 1e-9]
    if not len(starts):
        return max(0.0, record.wall_s - length), max(record.wall_s, length)
    traced, busy = measure(read_timeline(record).windows), measure(phase_set(record, "train"))
    seen = traced(starts + length) - traced(starts)
    starts = starts[seen >= seen.max() - 1e-9]
    begun = float(steps.wait_start[first])
    usual = float(np.diff(busy(np.array([begun, record.wall_s])))[0]) / (record.wall_s - begun)
    unlike = np.abs((busy(starts + length) - busy(starts)) / length - usual)
    best = starts[unlike <= unlike.min() + 1e-3]
    start = float(best[len(best) // 2])
    return start, start + length
