"""What a stage costs: shared by tables, figures and the verdict."""

from __future__ import annotations

from typing import Final

from pipeline_opt.record import Record, StageRecord
from pipeline_opt.stages import BATCHING, Unbatch

_BATCHING_KINDS: Final = frozenset(stage.kind for stage in BATCHING)


def batch_wise(record: Record) -> frozenset[str]:
    """Names of the stages whose elements are batches: a batching stage and those after it, up to an unbatch."""
    names = set()
    batched = False
    for stage in record.stages:
        batched = (batched or stage.kind in _BATCHING_KINDS) and stage.kind != Unbatch.kind
        if batched:
            names.add(stage.name)
    return frozenset(names)


def batch_size(record: Record) -> float:
    """Mean number of elements in a batch; 1 where none arrived."""
    return max(1.0, float(record.steps.elements.mean())) if len(record.steps) else 1.0


def cost_us(stage: StageRecord) -> float | None:
    """Microseconds of work for what passed through the stage."""
    if stage.us_per_element is not None:
        return stage.us_per_element
    if stage.work_s is not None and stage.elements:
        return stage.work_s / stage.elements * 1e6
    return None


def work_in(stage: StageRecord, phase: str) -> float:
    """Thread-seconds that the stage spent in a phase; 0 where it is not known."""
    if stage.phase_work_s:
        return stage.phase_work_s.get(phase, 0.0)
    return (stage.work_s or 0.0) if stage.phase == phase else 0.0


def threads_of(stage: StageRecord, cores: float) -> float:
    """How many elements the stage works on at a time; all cores where tf.data chooses and did not say what."""
    if stage.parallelism_chosen is not None:
        return max(1.0, float(stage.parallelism_chosen))
    if isinstance(stage.parallelism, int):
        return max(1.0, float(stage.parallelism))
    return max(1.0, cores) if stage.parallelism == "auto" else 1.0


def total_work(record: Record) -> float | None:
    """Thread-seconds of all stages together; None if none is known."""
    known = [stage.work_s for stage in record.stages if stage.work_s is not None]
    return sum(known) if known else None
