"""Which batch the host's work was for: the numbers on the blocks of the overlap figure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline_opt.accounting.intervals import Spans, covered, total, union
from pipeline_opt.record import Floats, Record, Window
from pipeline_opt.reports.spans import Span, clip, gaps, pairs
from pipeline_opt.reports.stage_costs import batch_size, batch_wise, work_in
from pipeline_opt.reports.timeline import phase_intervals, window_set

SEQUENTIAL = 0.02
"""Below this ratio of work while the consumer computes to work while it waits, nothing overlaps."""


ANCHOR = 16
"""Steps between two estimates of how far ahead of the consumer a phase is."""


class Block(NamedTuple):
    """Work of one phase for one batch. `number` counts batches from 1; in the spans `busy` a thread worked."""

    number: int
    start_s: float
    end_s: float
    busy: tuple[Span, ...]


def host_blocks(record: Record, phase: str, span: Span) -> tuple[Block, ...]:
    """The blocks of extract or transform that touch `span`, from the trace windows.

    In a run without overlap, work belongs to the batch that the consumer is waiting for. With overlap, the phase's
    thread-seconds are laid end to end and cut into equal parts, one for each batch made between two counts of
    the stage's elements; a cut moves to the longest pause near it. So the numbers are exact in the first case and
    good to a batch or so in the second.
    """
    start, end = phase_intervals(record, phase)
    waits = record.steps.wait_end
    sequential = is_sequential(record)
    blocks: list[Block] = []
    for window in record.windows:
        inside = clip(start, end, window.start_s, window.end_s)
        if window.start_s >= span[1] or window.end_s <= span[0] or not len(inside[0]):
            continue
        if sequential:
            first = int(np.searchsorted(waits, window.start_s, side="right"))
            edges = waits[first:][waits[first:] < window.end_s]
        else:
            edges, first = _edges(_batches_made(record, phase, window), *inside)
        blocks += _cut(union(*inside), edges, first + 1, span)
    return tuple(blocks)


def is_sequential(record: Record) -> bool:
    """Whether the host works only while the consumer waits; False where the record cannot tell."""
    windows, waits = window_set(record), union(record.steps.wait_start, record.steps.wait_end)
    watched_wait = float(covered(*waits, windows).sum())
    elsewhere = total(windows) - watched_wait
    if watched_wait <= 0 or elsewhere <= 0.02 * watched_wait:
        return False
    busy = union(record.intervals.start, record.intervals.end)
    while_waiting = float(covered(*waits, busy).sum())
    return (total(busy) - while_waiting) / elsewhere < SEQUENTIAL * while_waiting / watched_wait


def _edges(made: tuple[Floats, Floats], start: Floats, end: Floats) -> tuple[Floats, int]:
    """Times at which the work for one batch ends and that for the next begins, and the batches made before them."""
    at, count = made
    times, work = _cumulative(start, end)
    count, kept = np.unique(count, return_index=True)
    whole = np.arange(np.floor(count[0]) + 1, np.ceil(count[-1]))
    done = np.interp(whole, count, np.interp(at, times, work)[kept])
    pauses = gaps(union(start, end), float(start[0]), float(np.max(end)))
    edges = _snapped(done, np.interp(pauses[0], times, work), *pauses)
    inside = np.isnan(edges)
    edges[inside] = np.interp(done[inside], work, times)
    return edges, int(np.floor(count[0]))


def _snapped(done: Floats, work: Floats, start: Floats, end: Floats) -> Floats:
    """The start of the longest pause within half a batch's work of each cut; NaN where there is none worth it."""
    chosen = np.full(len(done), np.nan)
    if len(done) < 2 or not len(start):
        return chosen
    batch = float(np.median(np.diff(done)))
    longest = np.quantile(end - start, 1 - min(1.0, 2 * len(done) / len(start))) if len(start) else 0.0
    for i, at in enumerate(done):
        near = np.arange(np.searchsorted(work, at - batch / 2), np.searchsorted(work, at + batch / 2))
        near = near[end[near] - start[near] >= max(longest, batch / 50)]
        if len(near):
            chosen[i] = start[near[np.argmax(end[near] - start[near])]]
    return chosen


def _cumulative(start: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Thread-seconds done by each time at which a thread began or ended."""
    times = np.concatenate((start, end))
    change = np.concatenate((np.ones(len(start)), -np.ones(len(end))))
    order = np.argsort(times, kind="stable")
    times, active = times[order], np.cumsum(change[order])
    work = np.concatenate(([0.0], np.cumsum(active[:-1] * np.diff(times))))
    work, kept = np.unique(work, return_index=True)
    return times[kept], work


def _batches_made(record: Record, phase: str, window: Window) -> tuple[Floats, Floats]:
    """Times in a window, its start and end among them, and how many batches the phase had made by then.

    From the sampled counts of the stage's elements where there are any. Else what was delivered by then plus what was
    made in excess at the end of the run: buffers that are full stay so, and empty ones too.
    """
    stage = _main_stage(record, phase)
    per_batch = 1.0 if stage in batch_wise(record) else batch_size(record)
    counted = next((k for k in record.knobs if k.stage == stage and k.knob == "elements"), None)
    ends = np.concatenate(([0.0], record.steps.wait_end))
    if counted is not None and len(counted.value) and np.all(np.diff(counted.value) >= 0):
        times, made = counted.time_s, counted.value / per_batch
    else:
        total = next((s.elements for s in record.stages if s.name == stage), None)
        lead = max(0.0, (total or 0) / per_batch - len(record.steps))
        every = np.unique(np.append(np.arange(0, len(ends), ANCHOR), len(ends) - 1))
        times, made = ends[every], every + lead * (every > 0)
    at = np.concatenate(([window.start_s], times[(times > window.start_s) & (times < window.end_s)], [window.end_s]))
    # Nothing can be delivered before it is made: counts are sampled a few times a second and lag behind.
    delivered = np.floor(np.interp(at, ends, np.arange(len(ends))))
    return at, np.maximum.accumulate(np.maximum(np.interp(at, times, made), delivered))


def _main_stage(record: Record, phase: str) -> str | None:
    stages = [s for s in record.stages if work_in(s, phase)]
    return max(stages, key=lambda s: work_in(s, phase)).name if stages else None


def _cut(busy: Spans, edges: Floats, first: int, span: Span) -> list[Block]:
    start, end = busy
    bounds = np.concatenate(([-np.inf], edges, [np.inf]))
    skipped = int(np.searchsorted(bounds[1:], span[0], side="right"))
    until = int(np.searchsorted(bounds[:-1], span[1], side="left"))
    blocks = []
    for i in range(skipped, until):
        low, high = bounds[i], bounds[i + 1]
        near = slice(np.searchsorted(end, low, side="right"), np.searchsorted(start, high, side="left"))
        found = pairs(clip(start[near], end[near], low, high))
        if found and found[0][0] < span[1] and found[-1][1] > span[0]:
            blocks.append(Block(first + i, found[0][0], found[-1][1], found))
    return blocks
