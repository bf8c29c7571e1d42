"""How many elements pass each stage of a plan, how many rows are in one, and how large they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts, FunctionFacts
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import (
    Batch,
    BucketBySequenceLength,
    Filter,
    FlatMap,
    Interleave,
    Map,
    OpaqueStage,
    PaddedBatch,
    RaggedBatch,
    Rebatch,
    Repeat,
    Shard,
    Stage,
    Take,
    Unbatch,
)


@dataclass(frozen=True)
class Flow:
    """What leaves a stage.

    Args:
        elements: Elements for one that the source gives.
        rows: Rows in an element.
        row_bytes: Bytes of a row.
    """

    elements: float
    rows: float
    row_bytes: float

    @property
    def bytes(self) -> float:
        """Bytes of an element."""
        return self.rows * self.row_bytes

    @property
    def rows_in_all(self) -> float:
        """Rows for one element of the source."""
        return self.elements * self.rows


def flows(plan: Plan, facts: Facts) -> Iterator[tuple[Stage, Flow, Flow]]:
    """Every stage with what it takes and what it gives."""
    at = source_flow(plan, facts)
    for stage in plan.stages:
        given = _after(stage, at, facts)
        yield stage, at, given
        at = given


def source_flow(plan: Plan, facts: Facts) -> Flow:
    """What a plan's source gives."""
    known = facts.stage(plan.source.kind)
    if known is not None:
        rows = max(known.rows, 1.0)
        return Flow(1.0, rows, known.bytes_out / rows)
    if isinstance(plan.source, Combination):
        ends = [last_flow(part, within(facts, number)) for number, part in enumerate(plan.source.plans)]
        return Flow(1.0, max(end.rows for end in ends), sum(end.row_bytes for end in ends) / len(ends))
    return Flow(1.0, 1.0, 0.0)


def last_flow(plan: Plan, facts: Facts) -> Flow:
    """What leaves a plan, for one element of its source."""
    ends = [given for _, _, given in flows(plan, facts)]
    return ends[-1] if ends else source_flow(plan, facts)


def within(facts: Facts, number: int) -> Facts:
    """The facts of a plan inside the source of another one."""
    return replace(facts, prefix=f"{facts.prefix}in{number}_")


def form_of(stage: Map, facts: Facts) -> FunctionFacts:
    """What is known of a map's function in the forms in which the map computes it."""
    known = facts.of(stage.function)
    if not stage.forms:
        return known
    found = known.form("+".join(form if isinstance(form, str) else form[0] for form in stage.forms))
    if found.refused is not None:
        return known
    purity = "pure" if stage.forms[-1] == "pure_part" else known.purity
    return replace(known, cpu_s=found.cpu_s, bytes_out=found.bytes_out or known.bytes_out, purity=purity)


def _after(stage: Stage, at: Flow, facts: Facts) -> Flow:
    match stage:
        case Map():
            known = facts.of(stage.function)
            return replace(at, row_bytes=form_of(stage, facts).bytes_out) if known.bytes_out else at
        case Filter(predicate=predicate):
            return replace(at, elements=at.elements * facts.of(predicate).kept)
        case FlatMap(map_func=function) | Interleave(map_func=Function() as function):
            known = facts.of(function)
            return Flow(at.elements * at.rows * known.kept, 1.0, known.bytes_out)
        case Batch() | PaddedBatch() | RaggedBatch():
            return Flow(at.elements / stage.batch_size, at.rows * stage.batch_size, at.row_bytes)
        case Unbatch():
            return Flow(at.elements * at.rows, 1.0, at.row_bytes)
        case Rebatch():
            return Flow(at.rows_in_all / stage.batch_size, stage.batch_size, at.row_bytes)
        case BucketBySequenceLength() | OpaqueStage():
            known_stage = facts.stage(stage.name)
            if known_stage is None:
                return at
            rows = max(known_stage.rows, 1.0)
            return Flow(at.elements * known_stage.ratio, rows, known_stage.bytes_out / rows)
        case Shard(num_shards=shards):
            return replace(at, elements=at.elements / shards)
        case _:
            return at


def epoch_rows(plan: Plan, facts: Facts) -> float | None:
    """Rows that leave a plan in an epoch (one pass of an endless repeat); None where it is not known."""
    known = facts.stage(plan.source.kind)
    if known is None or known.elements is None:
        return None
    left = float(known.elements)
    before = source_flow(plan, facts)
    for stage, taken, given in flows(plan, facts):
        if isinstance(stage, Take):
            left = min(left, stage.count / max(taken.elements, 1e-12))
        elif isinstance(stage, Repeat) and stage.count:
            left *= stage.count
        before = given
    return left * before.rows_in_all
