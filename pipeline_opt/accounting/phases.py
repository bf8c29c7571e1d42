"""Work and busy time of extract and transform, scaled from the trace windows to the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline_opt.accounting.intervals import Spans, activity, covered, intersect, subtract, total, union
from pipeline_opt.accounting.timeline import Timeline
from pipeline_opt.record import Floats, Intervals

RARE: Final = 0.01
"""A number of threads at work that holds for less than this share of a phase's busy time is a chance meeting."""


ENOUGH_STEPS: Final = 5
"""Steps that a window must see to stand for others: the work near fewer may be for batches of quite another time."""


@dataclass(frozen=True)
class PhaseWork:
    """Work and busy seconds of a phase over the run, the same after the first batch, and the threads it had at once."""

    work_s: float
    busy_s: float
    later_work_s: float
    later_busy_s: float
    threads: int


@dataclass(frozen=True)
class Scale:
    """How the trace windows stand for the run.

    The time until the first batch, that around the ends of epochs, and the steady steps are scaled apart: the first two by time,
    steady steps by their number where windows saw at least `ENOUGH_STEPS`, else by time too. `None` stands for a part that no
    window saw.

    Args:
        parts: Of each part, the times within windows, its length in seconds, and what to multiply by. The first part
            ends with the first batch.
        slowdown: How much longer a steady step takes inside a window than outside, as a ratio; None if unknown.
    """

    parts: tuple[tuple[Spans, float, float | None], ...]
    slowdown: float | None

    @property
    def sees_steady(self) -> bool:
        """Whether the windows say anything of the steady steps."""
        return self.parts[-1][2] is not None

    @property
    def sees_start(self) -> bool:
        """Whether the windows saw something of the time until the first batch."""
        return self.parts[0][2] is not None


def read_scale(timeline: Timeline) -> Scale | None:
    """How to scale what the windows saw to the run; None without windows."""
    if not len(timeline.windows[0]):
        return None
    steady = _steady_steps(timeline)
    start, end = timeline.step_start[steady], timeline.step_end[steady]
    steady_spans = union(start, end)
    edges = subtract(subtract(timeline.whole, timeline.first_batch), steady_spans)
    seen = covered(start, end, timeline.windows)
    count = len(start)
    steps_seen = float(np.sum(seen / (end - start)))
    parts = [_by_time(part, timeline.windows) for part in (timeline.first_batch, edges, steady_spans)]
    if steps_seen >= ENOUGH_STEPS:
        parts[-1] = (*parts[-1][:2], count / steps_seen)
    return Scale(tuple(parts), _slowdown(float(np.sum(end - start)), float(np.sum(seen)), count, steps_seen))


def scale_phase(intervals: Intervals, phase: int, scale: Scale) -> PhaseWork:
    """Work and busy seconds of one phase over the run."""
    chosen = intervals.phase == phase
    start, end = intervals.start[chosen], intervals.end[chosen]
    busy = union(start, end)
    work_s, busy_s = [], []
    for seen, length, factor in scale.parts:
        work_s.append(float(np.sum(covered(start, end, seen))) * (factor or 0.0))
        busy_s.append(min(length, total(intersect(busy, seen)) * (factor or 0.0)))
    return PhaseWork(sum(work_s), sum(busy_s), sum(work_s[1:]), sum(busy_s[1:]), threads_at_once(start, end))


def threads_at_once(start: Floats, end: Floats) -> int:
    """How many threads work at the same time, chance meetings left out; at least 1."""
    if not len(start):
        return 1
    spans, counts = activity(start, end, np.zeros(len(start), np.int64), 1)
    seconds = np.bincount(np.maximum(counts[0], 0), spans[1] - spans[0])
    seconds[0] = 0.0
    with_more = np.cumsum(seconds[::-1])[::-1]
    often = np.flatnonzero(with_more > RARE * np.sum(seconds))
    return max(1, int(often[-1])) if len(often) else 1


def _steady_steps(timeline: Timeline) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    steady = timeline.step_end > timeline.step_start
    steady[[k for k in (0, *timeline.epochs) if k < len(steady)]] = False
    return steady


def _by_time(part: Spans, windows: Spans) -> tuple[Spans, float, float | None]:
    seen, length = intersect(part, windows), total(part)
    factor = 1.0 if length == 0 else length / total(seen) if total(seen) > 0 else None
    return seen, length, factor


def _slowdown(length: float, seen: float, count: int, steps_seen: float) -> float | None:
    unseen = count - steps_seen
    if min(steps_seen, unseen) < 3 or seen <= 0 or length - seen <= 0:
        return None
    return (seen / steps_seen) / ((length - seen) / unseen)
