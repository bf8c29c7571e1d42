"""Rows of the table of stages."""

from __future__ import annotations

from typing import NamedTuple

from pipeline_opt.record import Record
from pipeline_opt.reports.info_stages import cost_us
from pipeline_opt.reports.stage_costs import batch_wise, total_work


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
            work_percent=100 * stage.work_s / total if total and stage.work_s is not None else None,
            parallelism=stage.parallelism,
            chosen=stage.parallelism_chosen,
            buffer_fill=stage.buffer_fill,
            bytes_in=stage.bytes_in,
            bytes_out=stage.bytes_out,
        )
        for stage in record.stages
    )
