"""What the stages figure shows: the cost of one element by stage and op."""

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline_opt.record import Record, StageRecord
from pipeline_opt.reports.stage_costs import batch_size, batch_wise, cost_us

TOP_OPS: Final = 4


class Part(NamedTuple):
    """Microseconds of one op; `op` is None for what no op was seen doing."""

    op: str | None
    us: float


class StageBar(NamedTuple):
    """One stage: microseconds of work for one element, made up of `parts`; `cpu_us` of them on a core."""

    stage: str
    phase: str
    us: float
    cpu_us: float | None
    parts: tuple[Part, ...]
    share_percent: float


class StagesInfo(NamedTuple):
    """Stages that cost something, in the order of the plan; `unknown` names those whose cost is not known, with why.

    `reason` says why there are no bars at all.
    """

    bars: tuple[StageBar, ...]
    unknown: tuple[tuple[str, str], ...]
    reason: str | None


def stages_info(record: Record) -> StagesInfo:
    """Cost by stage. A stage that works on batches is charged to the elements in them, so that bars can be compared."""
    per_batch, batched = batch_size(record), batch_wise(record)
    costs = {}
    for stage in record.stages:
        cost = cost_us(stage)
        if cost is not None:
            costs[stage.name] = cost / (per_batch if stage.name in batched else 1.0)
    total = sum(costs.values())
    bars = tuple(
        _bar(stage, costs[stage.name], 100 * costs[stage.name] / total if total else 0.0)
        for stage in record.stages
        if costs.get(stage.name, 0.0) > 0
    )
    unknown = tuple(
        (stage.name, stage.absent.get("work_s") or stage.absent.get("us_per_element") or "not measured")
        for stage in record.stages
        if stage.name not in costs
    )
    reason = None if bars else "no stage's cost is known: the run was too short, or neither traced nor sampled"
    return StagesInfo(bars, unknown, reason)


def _bar(stage: StageRecord, us: float, share: float) -> StageBar:
    cpu = us * stage.cpu_s / stage.work_s if stage.cpu_s is not None and stage.work_s else None
    whole = max(stage.work_s or 0.0, sum(op.work_s for op in stage.ops))
    largest = sorted(stage.ops, key=lambda op: -op.work_s)[:TOP_OPS] if whole else []
    parts = [Part(op.op, us * op.work_s / whole) for op in largest]
    rest = us - sum(part.us for part in parts)
    if rest > 1e-9 * us or not parts:
        parts.append(Part(None, rest))
    return StageBar(stage.name, stage.phase, us, cpu, tuple(parts), share)
