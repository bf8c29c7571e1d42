"""Several runs side by side: a row for each, and the sentence that they come down to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline_opt.accounting import Account, account
from pipeline_opt.errors import UsageError
from pipeline_opt.record import Record
from pipeline_opt.reports import units
from pipeline_opt.reports.verdict import main_cause
from pipeline_opt.summary import speedup


class VariantRow(NamedTuple):
    """One variant; `speedup` is over the first one, `cause` that of most of its waiting."""

    variant: str
    figures: Account
    speedup: float | None
    cause: str | None
    partial: bool


def variant_rows(records: Mapping[str, Record]) -> tuple[VariantRow, ...]:
    """One row a variant, in the order given.

    Raises:
        UsageError: there are no records.
    """
    if not records:
        raise UsageError("compare: no runs given; valid: one or more")
    first = next(iter(records.values()))
    return tuple(
        VariantRow(name, account(record), speedup(record, first), main_cause(account(record).stalls), record.partial)
        for name, record in records.items()
    )


def headline(rows: tuple[VariantRow, ...]) -> str:
    """The sentence that a comparison comes down to: the fastest variant against the first."""
    first, best = rows[0], max(rows, key=lambda row: row.speedup or 0.0)
    if best.speedup is None:
        return "The variants cannot be compared: no steady state was reached."
    rate = units.rate(best.figures.elements_per_s)
    if best is first:
        return f"{first.variant} is the fastest, with {rate}."
    gain = f"{best.variant} gives {units.ratio(best.speedup)} the throughput of {first.variant}"
    used = [row.figures.utilization_percent for row in (best, first)]
    waits = [units.percent(100 - percent) for percent in used if percent is not None]
    if len(waits) < 2:
        return f"{gain}: {rate}."
    return f"{gain}: the accelerator waits {waits[0]} of the time, not {waits[1]}."
