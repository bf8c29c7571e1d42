"""How many elements pass each stage of a plan, how many rows are in one, and how large they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipeline_opt.functions import Function
from pipeline_opt.names import inner_prefix
from pipeline_opt.optimizer.facts import Facts, FunctionFacts
from pipeline_opt.plan import Combination, Concatenate, Merge, Plan, Sample, Zip
from pipeline_opt.sources import Source
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
    Skip,
    Stage,
    Take,
    Unbatch,
    inner_stages,
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


SAMPLES: Final = "sample"
"""What an op that takes elements from several datasets is called where it was read from a dataset."""

Steps = Sequence[tuple[Stage, Flow, Flow]]
"""Stages, each with what it takes and what it gives."""


def flows(plan: Plan, facts: Facts) -> Steps:
    """Every stage with what it takes and what it gives. A source's elements are its records, also before files are open."""
    at, out = source_flow(plan, facts), list[tuple[Stage, Flow, Flow]]()
    for stage in plan.stages:
        given = after(stage, at, facts)
        out.append((stage, at, given))
        at = given
    return out


def source_flow(plan: Plan, facts: Facts) -> Flow:
    """What a plan's source gives."""
    source, known = plan.source, facts.stage(plan.source.kind)
    if isinstance(source, Combination):
        ends = [last_flow(part, within(facts, number)) for number, part in enumerate(source.plans)]
        told = list(zip(shares(source, facts), ends, strict=True))[_tellers(source) :]
        rows = max(end.rows for _, end in told)
        return Flow(1.0, rows, sum(share * end.bytes for share, end in told) / rows)
    if known is None:
        return Flow(1.0, 1.0, 0.0)
    rows = max(known.rows, 1.0)
    return Flow(1.0, rows, known.bytes_out / rows)


def shares(source: Combination, facts: Facts) -> Sequence[float]:
    """Elements of each plan in an element of the source in which they meet."""
    match source:
        case Zip():
            return [1.0] * len(source.plans)
        case Sample(weights=weights) if weights is not None:
            return [weight / sum(weights) for weight in weights]
        case Concatenate() | Merge():
            return [1.0] * _tellers(source) + _by_size(source.plans, facts, _tellers(source))
    return [1.0 / len(source.plans)] * len(source.plans)


def _tellers(source: Combination) -> int:
    """How many plans come first that only tell from which of the others an element is taken, as a dataset's own graph has it."""
    if not isinstance(source, Merge) or source.transformation.ref or len(source.plans) < 2:
        return 0
    return int(getattr(source.transformation.call, "__name__", "") == SAMPLES)


def _by_size(plans: Sequence[Plan], facts: Facts, first: int) -> list[float]:
    """Shares by the elements of an epoch of each plan, from some place on; even ones where these are not known."""
    ends = [epoch_elements(plan, within(facts, number)) for number, plan in enumerate(plans) if number >= first]
    known = [end for end in ends if end is not None and math.isfinite(end)]
    if len(known) == len(ends) and sum(known) > 0:
        return [end / sum(known) for end in known]
    return [1.0 / len(ends)] * len(ends)


def last_flow(plan: Plan, facts: Facts) -> Flow:
    """What leaves a plan, for one element of its source."""
    ends = flows(plan, facts)
    return ends[-1][2] if ends else source_flow(plan, facts)


def within(facts: Facts, number: int) -> Facts:
    """The facts of a plan inside the source of another one; nobody takes a step between its elements."""
    return replace(facts, prefix=inner_prefix(facts.prefix, number), step_s=0.0, take_s=0.0)


def form_name(stage: Map) -> str:
    """The forms in which a map computes its function, as facts name them."""
    return "+".join(form if isinstance(form, str) else form[0] for form in stage.forms)


def form_of(stage: Map, facts: Facts) -> FunctionFacts:
    """What is known of a map's function in the forms in which the map computes it. What the user says of it counts."""
    known = facts.of(stage.function)
    purity, said = known.purity, stage.random
    if (said is True and purity == "pure") or (said is False and purity != "pure"):
        known = replace(known, purity="random" if said else "pure", evidence="declared")
    if not stage.forms:
        return known
    found = known.form(form_name(stage))
    purity = "pure" if said is None and stage.forms[0] == "pure_part" else known.purity
    if found.refused is not None:
        return replace(known, purity=purity)
    made = found.bytes_out or known.bytes_out
    return replace(known, purity=purity, cpu_s=found.cpu_s, alone_s=found.alone_s, bytes_out=made)


def after(stage: Stage, at: Flow, facts: Facts) -> Flow:
    """What leaves a stage that takes something."""
    match stage:
        case Map():
            made = form_of(stage, facts).bytes_out
            return Flow(at.elements, at.rows, made) if made else at
        case Filter(predicate=predicate):
            return Flow(at.elements * facts.of(predicate).kept, at.rows, at.row_bytes)
        case FlatMap(map_func=function) | Interleave(map_func=Function() as function):
            known = facts.of(function)
            return inside(stage, Flow(at.elements * at.rows * known.kept, 1.0, known.bytes_out), facts)[-1]
        case Interleave():
            return inside(stage, at, facts)[-1] if stage.inner else at
        case Batch() | PaddedBatch() | RaggedBatch():
            return Flow(at.elements / stage.batch_size, at.rows * stage.batch_size, at.row_bytes)
        case Unbatch():
            cut = rows_of_a_row(stage, facts)
            return Flow(at.rows_in_all * cut, 1.0, at.row_bytes / cut)
        case Rebatch():
            cut = rows_of_a_row(stage, facts)
            return Flow(at.rows_in_all * cut / stage.batch_size, stage.batch_size, at.row_bytes / cut)
        case BucketBySequenceLength() | OpaqueStage():
            known_stage = facts.stage(stage.name)
            if known_stage is None:
                return at
            rows = max(known_stage.rows, 1.0)
            return Flow(at.elements * known_stage.ratio, rows, known_stage.bytes_out / rows)
        case Shard(num_shards=shards):
            return Flow(at.elements / shards, at.rows, at.row_bytes)
        case _:
            return at


def rows_of_a_row(stage: Stage, facts: Facts) -> float:
    """Rows that a stage cuts each row into: those of a vector that counted as one until then; one for the rows of a batch."""
    known = facts.stage(stage.name)
    return known.ratio if known is not None and known.ratio > 0 else 1.0


def inside(stage: Stage, at: Flow, facts: Facts) -> list[Flow]:
    """What leaves each of the stages inside another one, from what its inputs give on."""
    out = [at]
    for inner in inner_stages(stage):
        out.append(after(inner, out[-1], facts))
    return out


def epoch_counts(plan: Plan, facts: Facts, endless: float = math.inf, steps: Steps | None = None) -> list[float] | None:
    """The elements that the source and every stage give in a whole epoch; None where the source's are not known.

    Args:
        plan: The plan.
        facts: What is known.
        endless: How often a repeat without an end repeats.
        steps: The plan's flows, if they were found out before.
    """
    first = _source_count(plan, facts)
    if first is None:
        return None
    known, reader = facts.stage(plan.source.kind), plan.reader
    counts, per_element = [first], 1.0
    for stage, taken, given in flows(plan, facts) if steps is None else steps:
        if reader is not None and known is not None and known.files:
            per_element = known.files / first if first else 1.0
        left = _count_after(stage, counts[-1] * per_element, endless) / per_element
        counts.append(left * given.elements / taken.elements if taken.elements else 0.0)
        if stage is reader:
            reader, per_element = None, 1.0
    return counts


def _count_after(stage: Stage, taken: float, endless: float) -> float:
    match stage:
        case Take(count=count):
            return min(taken, count)
        case Skip(count=count):
            return max(0.0, taken - count)
        case Repeat(count=count):
            times = endless if count is None else count
            return taken * times if taken and times else 0.0
    return taken


def _source_count(plan: Plan, facts: Facts) -> float | None:
    known, source = facts.stage(plan.source.kind), plan.source
    if known is not None and known.elements is not None:
        return float(known.elements)
    if not isinstance(source, Zip | Concatenate):
        return None
    parts = [epoch_elements(part, within(facts, number)) for number, part in enumerate(source.plans)]
    numbers = [part for part in parts if part is not None]
    if len(numbers) < len(parts):
        return None
    return min(numbers) if isinstance(source, Zip) else sum(numbers)


def epoch_elements(plan: Plan, facts: Facts) -> float | None:
    """Elements that leave a plan in an epoch; None where that is not known, infinity where it never ends."""
    counts = epoch_counts(plan, facts)
    return None if counts is None else counts[-1]


def epoch_rows(plan: Plan, facts: Facts) -> float | None:
    """Rows that leave a plan in an epoch (one pass of an endless repeat); None where it is not known."""
    counts = epoch_counts(plan, facts, endless=1.0)
    return None if counts is None else counts[-1] * last_flow(plan, facts).rows


def _are_alike(source: Zip, facts: Facts) -> bool:
    ends = {epoch_elements(part, within(facts, number)) for number, part in enumerate(source.plans)}
    return len(ends) == 1 and None not in ends


def repetitions(stages: Iterable[Stage]) -> int:
    """How often some stages go through the data; a repeat without an end counts as one."""
    return math.prod(stage.count for stage in stages if isinstance(stage, Repeat) and stage.count is not None)


def ends_early(source: Source) -> bool:
    """Whether a source may end before all that its plans have was asked for."""
    return isinstance(source, Zip | Merge) or (isinstance(source, Sample) and source.stop_on_empty_dataset)


def part_facts(plan: Plan, facts: Facts) -> Iterator[Facts]:
    """The facts of each plan inside a plan's source.

    The halves of a zip are asked for as a whole where they are known to be of one length; lengths of files of records are
    estimates, which are the same where the files are of one size.
    """
    source = plan.source
    if not isinstance(source, Combination):
        return
    alike = isinstance(source, Zip) and _are_alike(source, facts)
    taken = (alike or not ends_early(source)) and not any(isinstance(stage, Take) for stage in plan.stages)
    whole = facts.whole and taken
    for number in range(len(source.plans)):
        yield replace(within(facts, number), whole=whole, epochs=facts.epochs * repetitions(plan.stages))
