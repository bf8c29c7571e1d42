"""A record's steps as sets of times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline_opt.accounting.intervals import Spans, intersect, span, subtract, union
from pipeline_opt.accounting.once import once
from pipeline_opt.record import Floats, Record


@dataclass(frozen=True)
class Timeline:
    """The time from the start of a run to its end, cut in several ways.

    Args:
        wall_s: Its length.
        step_start: Where each step begins: where the one before it ends.
        step_end: Where each step ends: with its training.
        whole: All of it.
        windows: Where a trace was open.
        gaps: Where nothing trains: what the consumer, or the accelerator, waits for.
        first_batch: Until the first batch came.
        epochs: The steps, from the second iterator on, at which one began.
    """

    wall_s: float
    step_start: Floats
    step_end: Floats
    whole: Spans
    windows: Spans
    gaps: Spans
    first_batch: Spans
    epochs: tuple[int, ...]

    @property
    def step_s(self) -> Floats:
        """Seconds of each step."""
        return self.step_end - self.step_start


@once
def read_timeline(record: Record) -> Timeline:
    """Cut the time of a run."""
    steps, wall = record.steps, record.wall_s
    whole = span(0.0, wall)
    # A consumer that takes no time still takes its turn: no step ends before its batch came.
    ends = np.maximum.accumulate(np.maximum(steps.train_end, steps.wait_end)) if len(steps) else np.empty(0, np.float64)
    windows = union([w.start_s for w in record.windows], [w.end_s for w in record.windows])
    return Timeline(
        wall_s=wall,
        step_start=np.concatenate(([0.0], ends))[: len(steps)],
        step_end=ends,
        whole=whole,
        windows=intersect(windows, whole),
        gaps=subtract(whole, union(steps.train_start, steps.train_end)),
        first_batch=span(0.0, float(steps.wait_end[0]) if len(steps) else wall),
        epochs=tuple(sorted({k for k in record.epoch_starts if 0 < k < len(steps)})),
    )
