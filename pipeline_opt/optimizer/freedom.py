"""Whether elements may come in another order at some place of a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import ends_early, form_name, form_of, part_facts
from pipeline_opt.optimizer.rewrite import may_swallow, said_of_order, swallows_errors
from pipeline_opt.order.position import after, start
from pipeline_opt.plan import Concatenate, Merge, Plan, Sample, with_inner
from pipeline_opt.sources import Images
from pipeline_opt.stages import (
    FUNCTION_FIELDS,
    Batching,
    BucketBySequenceLength,
    Interleave,
    Map,
    OpaqueStage,
    Shard,
    Shuffle,
    Skip,
    Stage,
    Take,
)

OF_BATCHES: Final = ("batched", "looped", "padded", "ragged")
"""Forms that give for every row of a batch what the function gives for it alone."""


def is_fresh(stage: Stage) -> bool:
    """Whether a stage gives elements in a new order every time, and nobody chose which."""
    return (
        isinstance(stage, Shuffle) and stage.seed is None and stage.reshuffle_each_iteration and stage.buffer_size > 1
    )


def holds_order(plan: Plan, at: int, facts: Facts) -> str:
    """Why elements have to reach the stage at some place in their order; nothing if they need not.

    They need not where a stage behind shuffles them anew every time, or the user says so, and no stage on the way makes something
    else of them in another order.
    """
    here = start(plan)
    for number, stage in enumerate(plan.stages):
        if number >= at:
            if is_fresh(stage):
                return ""
            reason = _depends(stage, here.batched is not False, facts)
            if reason:
                return f"{stage.name} {reason}"
        here = after(here, stage)
    free = facts.order_free if facts.free is None else facts.free
    return "" if free else "nothing behind it shuffles elements anew in every epoch"


def order_is_free(plan: Plan, at: int, facts: Facts) -> bool:
    """Whether nobody can rely on the order of the elements that reach the stage at some place."""
    return not holds_order(plan, at, facts)


def free_inside(plan: Plan, facts: Facts) -> bool:
    """Whether the order is free at the end of each plan inside a plan's source.

    Not where another one's elements go with them, or the last ones might not be asked for.
    """
    return (
        isinstance(plan.source, Concatenate | Sample) and not ends_early(plan.source) and order_is_free(plan, 0, facts)
    )


def inner_facts(plan: Plan, facts: Facts) -> Iterator[Facts]:
    """The facts of each plan inside a plan's source, with what the plan around it says of the order."""
    free, ordered, source = free_inside(plan, facts), said_of_order(plan, facts), plan.source
    swallows = swallows_errors(plan, 0, facts)
    if isinstance(source, Merge) and may_swallow(source.transformation):
        swallows = source.kind
    for known in part_facts(plan, facts):
        yield dataclasses.replace(known, free=free, ordered=ordered, swallows=swallows)


def asks_for_order(stage: Stage, plan: Plan, facts: Facts) -> bool:
    """Whether the user says of a stage, or of the whole pipeline, that elements keep their order."""
    said = getattr(stage, "deterministic", None)
    return said is True or (said is None and said_of_order(plan, facts) is True)


def gives_one_element(plan: Plan, reader: Interleave | None) -> bool:
    """Whether a file gives one element, so that files read in turn give theirs in the order of the files."""
    alone = reader is None or (reader.map_func is None and not reader.inner)
    return isinstance(plan.source, Images) and alone


def _depends(stage: Stage, batches: bool, facts: Facts) -> str:
    """What a stage does that depends on the order of what it takes; nothing if it makes the same rows in any order."""
    match stage:
        case Take() | Skip() | Shard():
            return "chooses elements by their place"
        case Batching(drop_remainder=True) | BucketBySequenceLength(drop_remainder=True):
            return "drops the last rows, which would be others"
        case OpaqueStage():
            return _remembers(stage, facts)
    if (
        batches
        and _function(stage)
        and not (isinstance(stage, Map) and form_name(stage).rpartition("+")[2] in OF_BATCHES)
    ):
        return "sees whole batches, whose rows would be others"
    # The stages inside work on what one element makes, in an order of its own.
    return next((reason for part in with_inner((stage,)) if (reason := _remembers(part, facts))), "")


def _remembers(stage: Stage, facts: Facts) -> str:
    """Why what a stage makes of an element may follow from those before it; nothing if it does not."""
    if isinstance(stage, OpaqueStage):
        return "may depend on the order, as what it does is not known"
    if isinstance(stage, Map):
        known = form_of(stage, facts)
        free = known.purity == "pure" or (known.purity == "random" and not known.seeded)
    else:
        function = _function(stage)
        free = function is None or facts.of(function).purity == "pure"
    return "" if free else "may depend on the elements before"


def _function(stage: Stage) -> Function | None:
    found = (getattr(stage, name, None) for name in FUNCTION_FIELDS)
    return next((function for function in found if isinstance(function, Function)), None)
