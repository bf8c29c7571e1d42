"""Rows of the tables: one for each stage, one for each variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline_opt.accounting import account
from pipeline_opt.errors import UsageError
from pipeline_opt.record import Record
from pipeline_opt.reports.info_stages import cost_us
from pipeline_opt.reports.stage_costs import batch_wise, total_work
from pipeline_opt.summary import speedup


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


class VariantRow(NamedTuple):
    """One variant; `speedup` is to the first one, times are seconds, stalls are by cause."""

    variant: str
    steps: int
    elements: int
    wall_s: float
    first_batch_s: float | None
    elements_per_s: float | None
    bytes_per_s: float | None
    speedup: float | None
    utilization_percent: float | None
    accelerator_idle_s: float | None
    sequential_s: float | None
    pipelined_bound_s: float | None
    overlap_efficiency: float | None
    stalls: dict[str, float]
    traced_percent: float
    partial: bool


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


def compare_rows(records: Mapping[str, Record]) -> tuple[VariantRow, ...]:
    """One row a variant, in the order given.

    Raises:
        UsageError: there are no records.
    """
    if not records:
        raise UsageError("compare: no runs given; valid: one or more")
    figures = {name: account(record) for name, record in records.items()}
    first = next(iter(records.values()))
    return tuple(
        VariantRow(
            variant=name,
            steps=each.steps,
            elements=each.elements,
            wall_s=each.wall_s,
            first_batch_s=each.first_batch_s,
            elements_per_s=each.elements_per_s,
            bytes_per_s=each.bytes_per_s,
            speedup=speedup(records[name], first),
            utilization_percent=each.utilization_percent,
            accelerator_idle_s=each.accelerator_idle_s,
            sequential_s=each.sequential_s,
            pipelined_bound_s=each.pipelined_bound_s,
            overlap_efficiency=each.overlap_efficiency,
            stalls=dict(each.stalls),
            traced_percent=100 * records[name].traced_share,
            partial=records[name].partial,
        )
        for name, each in figures.items()
    )
