"""From both instruments to the stages of the record. What neither of them saw stays absent, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline_opt.profiler.attribution import StageCost
from pipeline_opt.profiler.sampler import Totals
from pipeline_opt.profiler.stagemap import StageInfo, StageMap
from pipeline_opt.record import KnobSeries, OpCost, StageRecord

ONE_TO_ONE = frozenset({"map", "cache", "shuffle", "prefetch", "prefetch_to_device", "options"})
"""Stages that give as many elements as they take."""

BATCHING = frozenset({"batch", "padded_batch", "ragged_batch"})

COPYING = frozenset({"batch", "padded_batch"})
"""Stages that cannot do without work: if the trace shows none, it did not look."""

OPS_KEPT = 8

MOST_EXTRACT = 0.1
"""Share of extract in all work up to which waiting for storage is too rare to matter for CPU time."""


class Observed(NamedTuple):
    """Everything that was seen of a run's stages.

    Args:
        costs: From the trace, one entry a stage.
        totals: From the model, by stage index.
        series: From the model, over time.
        steps: Elements that the consumer took.
        rows: Single elements in them.
        drained: Whether every iterator was read to its end.
        epochs: How many iterators there were.
        scale: What to multiply the windows' seconds with to get the run's, for stages whose elements were not counted.
        share_on_core: Of the stages' thread-seconds, the share on a core; None if it cannot be told.
        no_trace: Why there is no trace, or "".
        no_model: Why there is no model, or "".
    """

    costs: list[StageCost]
    totals: Mapping[int, Totals]
    series: tuple[KnobSeries, ...]
    steps: int
    rows: int
    drained: bool
    epochs: int
    scale: float
    share_on_core: float | None
    no_trace: str
    no_model: str


def share_on_core(costs: list[StageCost], on_core_s: float | None) -> float | None:
    """Of the thread-seconds that stages worked, the share that the process's CPU time can account for.

    With more threads at work than cores, each is off its core for part of its work; the kernel tells the total, and the trace
    does not tell whose it was, so that all get the same share. Where much of the work reads storage, threads are off their core
    for another reason, and nothing can be said.

    Args:
        costs: What the windows saw.
        on_core_s: CPU seconds of the process while they were open.
    """
    work_s = sum(sum(cost.work_s.values()) + cost.overhead_s for cost in costs)
    extract_s = sum(cost.work_s.get("extract", 0.0) for cost in costs)
    if on_core_s is None or work_s <= 0 or extract_s > MOST_EXTRACT * work_s:
        return None
    return min(1.0, on_core_s / work_s)


def stage_records(stages: StageMap, seen: Observed) -> tuple[StageRecord, ...]:
    """The stages of the record, in the plan's order."""
    counted = count_elements(stages.stages, seen)
    return tuple(_record(i, info, counted[i], seen) for i, info in enumerate(stages.stages))


def count_elements(stages: list[StageInfo], seen: Observed) -> list[int | None]:
    """Elements that each stage produced.

    Where everything was read to its end, the consumer's count holds for every stage up to the first that changes the number in
    a way that only it knows. In a run that was cut short a stage has made that many at least; what is in buffers beyond that,
    and the stages further up, only the model can tell.
    """
    counted: list[int | None] = [None] * len(stages)
    known: int | None = seen.steps
    for i in reversed(range(len(stages))):
        total = seen.totals.get(i)
        modelled = total.elements if total else 0
        if known is None:
            counted[i] = modelled or None
        else:
            counted[i] = known if seen.drained else max(known, modelled)
        known = _taken(stages[i].kind, known, seen)
    return counted


def _taken(kind: str, produced: int | None, seen: Observed) -> int | None:
    """Elements that a stage took, from those that it gave; None if only it knows."""
    if produced is None or (kind == "cache" and seen.epochs > 1):
        return None
    if kind in BATCHING:
        return seen.rows if produced == seen.steps else None
    return produced if kind in ONE_TO_ONE else None


def _record(i: int, info: StageInfo, elements: int | None, seen: Observed) -> StageRecord:
    cost = seen.costs[i]
    total = seen.totals.get(i)
    # What an element costs, times the elements: windows may have seen a busier part of the run than the rest.
    scale = elements / cost.elements if elements and cost.elements else seen.scale
    work = {phase: seconds * scale for phase, seconds in cost.work_s.items()}
    phase = max(work, key=lambda p: work[p]) if work else info.phase
    unseen = info.kind in COPYING and not work
    measured = bool(cost.elements) and not seen.no_trace and not unseen
    window_work_s = sum(cost.work_s.values())
    absent = _absences(info, elements, total, seen, phase, measured)
    return StageRecord(
        name=info.name,
        kind=info.kind,
        phase=phase,
        elements=elements,
        bytes_in=total.bytes_in if total else None,
        bytes_out=total.bytes_out if total else None,
        work_s=sum(work.values()) if measured else None,
        cpu_s=None if "cpu_s" in absent else sum(work.values()) * (seen.share_on_core or 0.0),
        overhead_s=cost.overhead_s * scale if measured else None,
        us_per_element=window_work_s / cost.elements * 1e6 if measured else None,
        parallelism=info.parallelism,
        parallelism_chosen=_chosen(info, cost, seen),
        buffer_fill=_buffer_fill(info, seen),
        phase_work_s=work,
        ops=_costliest(cost, scale),
        absent=absent,
    )


def _absences(
    info: StageInfo, elements: int | None, total: Totals | None, seen: Observed, phase: str, measured: bool
) -> dict[str, str]:
    absent = {}
    untraced = seen.no_trace or "nothing of this stage happened inside a trace window"
    if not seen.no_trace and info.kind in COPYING:
        untraced = "TensorFlow does not trace the copying of a parallel batch"
    unmodelled = seen.no_model or "TensorFlow's model of the pipeline does not show this stage"
    if not measured:
        absent.update(dict.fromkeys(("work_s", "overhead_s", "us_per_element", "cpu_s"), untraced))
    elif phase == "extract":
        absent["cpu_s"] = "the trace does not tell waiting for storage from computing"
    elif seen.share_on_core is None:
        absent["cpu_s"] = (
            "the kernel keeps no counters of thread time, or waiting for storage hides what was off a core"
        )
    if elements is None:
        absent["elements"] = unmodelled
    if total is None:
        absent.update(dict.fromkeys(("bytes_in", "bytes_out"), unmodelled))
    return absent


def _chosen(info: StageInfo, cost: StageCost, seen: Observed) -> int | None:
    values = [s.value for s in seen.series if (s.stage, s.knob) == (info.name, "parallelism") and len(s.value)]
    if values:
        return int(values[0][-1])
    return cost.parallelism


def _buffer_fill(info: StageInfo, seen: Observed) -> float | None:
    fills = [s.value for s in seen.series if (s.stage, s.knob) == (info.name, "buffered_elements") and len(s.value)]
    return float(fills[0].mean()) if fills else None


def _costliest(cost: StageCost, scale: float) -> tuple[OpCost, ...]:
    ordered = sorted(cost.ops.items(), key=lambda item: -item[1][0])[:OPS_KEPT]
    return tuple(OpCost(op, seconds * scale, round(count * scale)) for op, (seconds, count) in ordered)
