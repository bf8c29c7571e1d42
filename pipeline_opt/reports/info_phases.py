"""What extract, transform and load cost in each of several runs, for an element, so that runs of different length compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from pipeline_opt.accounting import account
from pipeline_opt.record import PHASES, Record

SHOWN: Final = tuple(phase for phase in PHASES if phase != "train")


class PhaseCost(NamedTuple):
    """Thread-seconds of a phase for an element, waiting for storage included, and the busy share of the wall in percent."""

    each_s: float | None
    busy_percent: float | None


class PhaseRow(NamedTuple):
    """One run: where it read, and the cost of each phase in `SHOWN`, by name."""

    variant: str
    uri: str
    costs: dict[str, PhaseCost]


def phase_rows(records: Mapping[str, Record]) -> tuple[PhaseRow, ...]:
    """One row a run, in the order given."""
    return tuple(
        PhaseRow(name, record.source.uri, {phase: _cost(record, phase) for phase in SHOWN})
        for name, record in records.items()
    )


def _cost(record: Record, phase: str) -> PhaseCost:
    figures = account(record)
    found = figures.phases[phase]
    each = found.work_s / figures.elements if found.work_s is not None and figures.elements else None
    share = 100 * found.busy_s / figures.wall_s if found.busy_s is not None and figures.wall_s > 0 else None
    return PhaseCost(each, share)
