"""Which batch the host's work was for: the numbers on the blocks of the overlap figure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline_opt.accounting.intervals import Spans, covered, total, union
from pipeline_opt.accounting.timeline import read_timeline
from pipeline_opt.record import PHASES, Floats, Record, Window
from pipeline_opt.reports.phases import phase_intervals
from pipeline_opt.reports.spans import Span, clip, gaps, pairs
from pipeline_opt.reports.stage_costs import batch_size, batch_wise, work_in

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

    In a run without overlap, work belongs to the batch that the consumer is waiting for. With overlap, the phase's work
    in a window is cut into equal parts, one for each batch made meanwhile, and a cut moves to the longest pause near it.
    So numbers are exact in the first case, and good to a batch or so in the second.
    """
    sequential = is_sequential(record)
    blocks: list[Block] = []
    for window in record.windows:
        busy = union(*clip(*phase_intervals(record, phase), window.start_s, window.end_s))
        if window.start_s >= span[1] or window.end_s <= span[0] or not len(busy[0]):
            continue
        edges, first = _waits(record, window) if sequential else _edges(record, phase, window, busy)
        blocks += _cut(busy, edges, first + 1, span)
    return tuple(blocks)


def is_sequential(record: Record) -> bool:
    """Whether the host works only while the consumer waits; False where the record cannot tell."""
    windows, waits = read_timeline(record).windows, union(record.steps.wait_start, record.steps.wait_end)
    watched_wait = float(covered(*waits, windows).sum())
    elsewhere = total(windows) - watched_wait
    if watched_wait <= 0 or elsewhere <= 0.02 * watched_wait:
        return False
    busy = union(record.intervals.start, record.intervals.end)
    while_waiting = float(covered(*waits, busy).sum())
    return (total(busy) - while_waiting) / elsewhere < SEQUENTIAL * while_waiting / watched_wait


def _waits(record: Record, window: Window) -> tuple[Floats, int]:
    """When the consumer began to wait for a further batch, and the batches that it had asked for before these."""
    begun = record.steps.wait_start
    first = max(1, int(np.searchsorted(begun, window.start_s, side="right")))
    return begun[first:][begun[first:] < window.end_s], first - 1


def _edges(record: Record, phase: str, window: Window, busy: Spans) -> tuple[Floats, int]:
    """Times at which the work for one batch ends and that for the next begins, and the batches made before them."""
    stage = _main_stage(record, phase)
    at, made = _batches_made(record, stage, window)
    times, done = _progress(record, phase, stage, window, float(made[-1] - made[0]))
    made, kept = np.unique(made, return_index=True)
    whole = np.arange(np.floor(made[0]) + 1, np.ceil(made[-1]))
    cuts = np.interp(whole, made, np.interp(at, times, done)[kept])
    pauses = gaps(busy, float(busy[0][0]), float(busy[1][-1]))
    edges = _snapped(cuts, np.interp(pauses[0], times, done), pauses)
    rest = np.isnan(edges)
    edges[rest] = np.interp(cuts[rest], done, times)
    return edges, int(np.floor(made[0]))


def _snapped(cuts: Floats, done: Floats, pauses: Spans) -> Floats:
    """The start of the longest pause within half a batch of each cut; NaN where there is none worth it."""
    chosen = np.full(len(cuts), np.nan)
    if len(cuts) < 2 or not len(done):
        return chosen
    seconds, batch = pauses[1] - pauses[0], float(np.median(np.diff(cuts)))
    # Of as many pauses as there are cuts, twice over, the shortest; and no shorter than a blink of a batch.
    among = float(np.quantile(seconds, 1 - min(1.0, 2 * len(cuts) / len(seconds))))
    worth = max(among, 0.02 * float(pauses[1][-1] - pauses[0][0]) / len(cuts))
    for i, cut in enumerate(cuts):
        near = np.arange(np.searchsorted(done, cut - batch / 2), np.searchsorted(done, cut + batch / 2))
        near = near[seconds[near] >= worth]
        if len(near):
            chosen[i] = pauses[0][near[np.argmax(seconds[near])]]
    return chosen


def _progress(record: Record, phase: str, stage: int | None, window: Window, batches: float) -> tuple[Floats, Floats]:
    """Times in a window, and what the phase had done by then, in a unit of its own.

    Intervals of the main stage, where there is about one for an element or more: how long each takes varies with what
    else runs. Else thread-seconds.
    """
    every = record.intervals
    mine = (every.stage == stage) & (every.phase == PHASES.index(phase))
    begun = every.start[mine & (every.start >= window.start_s) & (every.start < window.end_s)]
    if stage is not None and len(begun) >= 0.8 * batches * _per_batch(record, stage) > 0:
        times = np.concatenate((begun, [window.end_s]))
        return times, np.arange(len(times), dtype=np.float64)
    return _cumulative(*clip(*phase_intervals(record, phase), window.start_s, window.end_s))


def _cumulative(start: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Thread-seconds done by each time at which a thread began or ended."""
    times = np.concatenate((start, end))
    change = np.concatenate((np.ones(len(start)), -np.ones(len(end))))
    order = np.argsort(times, kind="stable")
    times, active = times[order], np.cumsum(change[order])
    work = np.concatenate(([0.0], np.cumsum(active[:-1] * np.diff(times))))
    work, kept = np.unique(work, return_index=True)
    return times[kept], work


def _batches_made(record: Record, stage: int | None, window: Window) -> tuple[Floats, Floats]:
    """Times in a window, its start and end among them, and how many batches the phase had made by then.

    What was delivered by then plus what was made in excess at the end of the run: buffers that are full stay so, and
    empty ones too.
    """
    ends = np.concatenate(([0.0], record.steps.wait_end))
    total = None if stage is None else record.stages[stage].elements
    lead = max(0.0, total / _per_batch(record, stage) - len(record.steps)) if stage is not None and total else 0.0
    every = np.unique(np.append(np.arange(0, len(ends), ANCHOR), len(ends) - 1))
    times, made = ends[every], every + lead * (every > 0)
    at = np.concatenate(([window.start_s], times[(times > window.start_s) & (times < window.end_s)], [window.end_s]))
    # Nothing can be delivered before it is made: between two anchors the consumer may be ahead of the line through them.
    delivered = np.floor(np.interp(at, ends, np.arange(len(ends))))
    return at, np.maximum.accumulate(np.maximum(np.interp(at, times, made), delivered))


def _main_stage(record: Record, phase: str) -> int | None:
    """The stage, by its place, with most of the phase's work."""
    work = [work_in(stage, phase) for stage in record.stages]
    return int(np.argmax(work)) if any(work) else None


def _per_batch(record: Record, stage: int) -> float:
    """How many of the stage's elements go into a batch."""
    return 1.0 if record.stages[stage].name in batch_wise(record) else batch_size(record)


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
