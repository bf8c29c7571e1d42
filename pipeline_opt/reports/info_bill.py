"""What the bill shows: the seconds for which the consumer waited, by cause."""

from __future__ import annotations

from typing import NamedTuple

from pipeline_opt.accounting import account
from pipeline_opt.record import Record
from pipeline_opt.reports.words import MEANINGS


class BillItem(NamedTuple):
    """Seconds charged to one cause, and their share of the wall time."""

    cause: str
    seconds: float
    percent: float
    meaning: str


class BillInfo(NamedTuple):
    """Items from the largest to the smallest, those without a second left out; `reason` says why there are none."""

    items: tuple[BillItem, ...]
    total_s: float
    wall_s: float
    reason: str | None


def bill_info(record: Record) -> BillInfo:
    """The stalls of a run as a bill."""
    stalls = {cause: seconds for cause, seconds in account(record).stalls.items() if seconds > 0}
    wall = record.wall_s
    items = tuple(
        BillItem(cause, seconds, 100 * seconds / wall if wall > 0 else 0.0, MEANINGS.get(cause, "other"))
        for cause, seconds in sorted(stalls.items(), key=lambda item: -item[1])
    )
    return BillInfo(items, sum(stalls.values()), wall, None if items else _reason(record))


def _reason(record: Record) -> str:
    return "no batch arrived, so there is nothing to charge" if not len(record.steps) else "the consumer never waited"
