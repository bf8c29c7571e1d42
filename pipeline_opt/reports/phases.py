"""The phases of a record as sets of times."""

from __future__ import annotations

from typing import Final

from pipeline_opt.accounting.intervals import Spans, union
from pipeline_opt.record import PHASES, Record

HOST: Final = PHASES[:2]
"""The phases that only a trace can see: extract and transform."""


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


def phases_of(record: Record) -> tuple[str, ...]:
    """The phases that the run can have: all four, or extract and transform where nothing takes the batches."""
    return PHASES if record.has_consumer else HOST
