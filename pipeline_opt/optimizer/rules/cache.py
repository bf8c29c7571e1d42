"""What several epochs compute alike is kept from the first one on, in memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of, part_facts, repetitions
from pipeline_opt.optimizer.memory import cache_bytes, held_bytes
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, is_deterministic, with_stages
from pipeline_opt.plan import Combination, Merge, Plan, Sample
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.stages import (
    FUNCTION_FIELDS,
    Batch,
    Cache,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    Prefetch,
    PrefetchToDevice,
    Repeat,
    Shuffle,
    Snapshot,
    Stage,
    Take,
    inner_stages,
)


@dataclass(frozen=True)
class Place:
    """Where elements can be kept.

    Args:
        at: How many stages stand before it.
        name: The last of them; the source's kind where there is none.
        bytes: What is kept, in memory.
        preserves: `set` where the elements have no order of their own.
    """

    at: int
    name: str
    bytes: float
    preserves: str


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for place in places(plan, facts):
        if isinstance(place, Declined):
            yield place
            continue
        free = facts.memory_bytes - held_bytes(plan, facts)
        if place.bytes > free:
            yield Declined(
                place.name, f"a cache behind it, {_size(place.bytes)}, does not fit into {max(free, 0) / 1e9:.2f} GB"
            )
            continue
        what = f"a cache of {place.bytes / 1e6:.0f} MB after {place.name}"
        yield Rewrite(with_stages(plan, place.at, 0, (Cache(),)), place.name, what, place.preserves)


def _size(size: float) -> str:
    return f"of {size / 1e9:.2f} GB" if math.isfinite(size) else "of unknown size"


def places(plan: Plan, facts: Facts) -> Iterator[Place | Declined]:
    """Where elements could be kept for later epochs: from where the files are open to the first stage that changes them."""
    passes = facts.epochs * repetitions(plan.stages)
    if passes < 2 or any(isinstance(stage, Cache | Snapshot) for stage in plan.stages):
        return
    if not facts.whole:
        yield Declined(
            plan.source.kind, "what is around it ends before all of it was asked for, so no cache is ever full"
        )
        return
    reason = _source_changes(plan, facts)
    if reason:
        yield Declined(plan.source.kind, f"nothing behind it can be kept: {reason}")
        return
    reader, known = plan.reader, facts.stage(plan.source.kind)
    if reader is None and known is not None and known.is_far:
        yield from _place(plan, 0, facts)
    for at, stage in enumerate(plan.stages):
        reason = _changes(stage, facts)
        if reason:
            yield Declined(stage.name, f"nothing behind it can be kept: {reason}")
            return
        if isinstance(stage, Prefetch | PrefetchToDevice | Options):
            # The place before it keeps the same, and what is kept would be asked for with nothing ready ahead.
            continue
        if reader is None or at >= plan.stages.index(reader):
            yield from _place(plan, at + 1, facts)


def _place(plan: Plan, at: int, facts: Facts) -> Iterator[Place | Declined]:
    """The place behind some stages, unless what is kept there would be thrown away, or read once only."""
    name = plan.stages[at - 1].name if at else plan.source.kind
    cut = next((other.name for other in plan.stages[at:] if isinstance(other, Take)), "")
    if cut:
        yield Declined(name, f"{cut} may end before a cache behind {name} is full, and it would be thrown away")
    elif facts.epochs * repetitions(plan.stages[at:]) > 1:
        kept = dataclasses.replace(plan, stages=plan.stages[:at])
        loose = not is_deterministic(plan, facts) or _is_loose(kept)
        yield Place(at, name, cache_bytes(plan, at, facts), "set" if loose else "exact")


def _source_changes(plan: Plan, facts: Facts) -> str:
    """Why what a source gives may differ from epoch to epoch; nothing if it does not."""
    match plan.source:
        case OpaqueDataset(constant=False) | Merge():
            return "what it does is not known"
        case Sample():
            return "it draws at random"
    parts = plan.source.plans if isinstance(plan.source, Combination) else ()
    for number, (part, known) in enumerate(zip(parts, part_facts(plan, facts), strict=True)):
        reason = _source_changes(part, known)
        if reason:
            return f"in{number}_{part.source.kind}: {reason}"
        for stage in part.stages:
            reason = _changes(stage, known)
            if reason:
                return f"in{number}_{stage.name}: {reason}"
    return ""


def _changes(stage: Stage, facts: Facts) -> str:
    """Why what a stage gives may differ from epoch to epoch; nothing if it does not."""
    match stage:
        case Shuffle() if stage.seed is None or stage.reshuffle_each_iteration:
            return "it shuffles anew in every epoch"
        case Repeat(count=None):
            return "it repeats without an end, so a cache would never be full"
        case Repeat():
            return "it repeats: a cache would hold every repetition"
        case OpaqueStage():
            return "what it does is not known"
        case Map():
            known = form_of(stage, facts)
            return "" if known.purity == "pure" else f"its function is {known.purity}: {known.evidence}"
    for name in FUNCTION_FIELDS:
        function = getattr(stage, name, None)
        if isinstance(function, Function) and facts.of(function).purity != "pure":
            known = facts.of(function)
            return f"its function is {known.purity}: {known.evidence}"
    return next((reason for inner in inner_stages(stage) if (reason := _changes(inner, facts))), "")


def _is_loose(plan: Plan) -> bool:
    """Whether a stage of a plan, or of one inside it, gives its elements as they are ready."""
    parts = plan.source.plans if isinstance(plan.source, Combination) else ()
    own = (
        isinstance(stage, Map | Interleave | Batch | Options) and stage.deterministic is False for stage in plan.stages
    )
    return any(own) or any(map(_is_loose, parts))


RULE = Rule("cache", "later epochs take what the first one computed", _find)
