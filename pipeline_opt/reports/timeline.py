"""A record's times as sets of times."""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline_opt.accounting.intervals import Spans, union
from pipeline_opt.record import PHASES, Floats, Record

HOST: Final = PHASES[:2]
"""The phases that only a trace can see: extract and transform."""


def window_set(record: Record) -> Spans:
    """When a trace was open."""
    return union([w.start_s for w in record.windows], [w.end_s for w in record.windows])


def phase_intervals(record: Record, phase: str) -> Spans:
    """When threads were at work for a phase, as intervals that may overlap; for extract and transform within windows."""
    if phase == "load":
        return record.steps.load_start, record.steps.load_end
    if phase == "train":
        return record.steps.train_start, record.steps.train_end
    chosen = record.intervals.phase == PHASES.index(phase)
    return record.intervals.start[chosen], record.intervals.end[chosen]


def phase_set(record: Record, phase: str) -> Spans:
    """When at least one thread was at work for a phase."""
    return union(*phase_intervals(record, phase))


def step_ends(record: Record) -> Floats:
    """When each step was over: trained, or handed over where nothing trains."""
    steps = record.steps
    return np.maximum(np.maximum(steps.wait_end, steps.load_end), steps.train_end)


def step_seconds(record: Record) -> Floats:
    """Seconds of each step after the warm-up; of all steps where there are none after it."""
    every = np.diff(step_ends(record), prepend=0.0)
    steady = every[max(1, record.warmup) :]
    return steady if len(steady) else every


def has_consumer(record: Record) -> bool:
    """Whether something takes the batches to compute with them."""
    return record.consumer.kind != "none"


def phases_of(record: Record) -> tuple[str, ...]:
    """The phases that the run can have: all four, or extract and transform where nothing takes the batches."""
    return PHASES if has_consumer(record) else HOST
