"""Rows of the table of stages."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from pipeline_opt.record import Record
from pipeline_opt.reports import units
from pipeline_opt.reports.stage_costs import batch_wise, cost_us, total_work


class StageRow(NamedTuple):
    """One stage. `per` is what `elements` counts and `us_per_element` is for: an `element` or a `batch`."""

    stage: str
    kind: str
    phase: str
    per: str
    elements: int | None
    us_per_element: float | None
    work_s: float | None
    cpu_s: float | None
    overhead_s: float | None
    ahead_s: float
    work_percent: float | None
    parallelism: int | str | None
    chosen: int | None
    buffer_fill: float | None
    bytes_in: int | None
    bytes_out: int | None


def stage_rows(record: Record) -> tuple[StageRow, ...]:
    """One row a stage, in the order of the plan."""
    total, batched = total_work(record), batch_wise(record)
    return tuple(
        StageRow(
            stage=stage.name,
            kind=stage.kind,
            phase=stage.phase,
            per="batch" if stage.name in batched else "element",
            elements=stage.elements,
            us_per_element=cost_us(stage),
            work_s=stage.work_s,
            cpu_s=stage.cpu_s,
            overhead_s=stage.overhead_s,
            ahead_s=stage.ahead_s,
            work_percent=100 * stage.work_s / total if total and stage.work_s is not None else None,
            parallelism=stage.parallelism,
            chosen=stage.parallelism_chosen,
            buffer_fill=stage.buffer_fill,
            bytes_in=stage.bytes_in,
            bytes_out=stage.bytes_out,
        )
        for stage in record.stages
    )


def parallelism_text(row: StageRow) -> str:
    """What the plan says and, after a colon, what ran where that differs: `4`, `auto: 2`."""
    if row.parallelism is None:
        return units.ABSENT if row.chosen in (None, 1) else f"{row.chosen}"
    if row.chosen is None or row.chosen == row.parallelism:
        return str(row.parallelism)
    return f"{row.parallelism}: {row.chosen}"


def absences(record: Record, fields: Container[str] | None = None) -> tuple[str, ...]:
    """What is not known of the stages, of some fields or of all, and why; stages that lack the same share a sentence."""
    stages: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for stage in record.stages:
        lacking = {field: why for field, why in stage.absent.items() if fields is None or field in fields}
        for reason in dict.fromkeys(lacking.values()):
            unknown = tuple(field for field, why in lacking.items() if why == reason)
            stages.setdefault((unknown, reason), []).append(stage.name)
    return tuple(
        f"{', '.join(names)}: {', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} not known, {reason}"
        for (unknown, reason), names in stages.items()
    )
