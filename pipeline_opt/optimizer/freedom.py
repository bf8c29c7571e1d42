"""Whether elements may come in another order at some place of a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_name, form_of, part_facts
from pipeline_opt.optimizer.rewrite import is_deterministic, swallows_errors
from pipeline_opt.order.position import after, start
from pipeline_opt.plan import Concatenate, Plan, Sample
from pipeline_opt.stages import (
    FUNCTION_FIELDS,
    Batching,
    BucketBySequenceLength,
    Map,
    OpaqueStage,
    Options,
    Rebatch,
    Shard,
    Shuffle,
    Skip,
    Stage,
    Take,
    inner_stages,
)

OF_BATCHES: Final = ("batched", "padded")
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
    return "" if facts.order_free else "nothing behind it shuffles elements anew in every epoch"


def order_is_free(plan: Plan, at: int, facts: Facts) -> bool:
    """Whether nobody can rely on the order of the elements that reach the stage at some place."""
    return not holds_order(plan, at, facts)


def free_inside(plan: Plan, facts: Facts) -> bool:
    """Whether the order is free at the end of each plan inside a plan's source: not where another one's elements go with them."""
    return isinstance(plan.source, Concatenate | Sample) and order_is_free(plan, 0, facts)


def inner_facts(plan: Plan, facts: Facts) -> Iterator[Facts]:
    """The facts of each plan inside a plan's source, with what the plan around it says of the order."""
    free, ordered = free_inside(plan, facts), is_deterministic(plan, facts)
    for known in part_facts(plan, facts):
        yield dataclasses.replace(known, order_free=free, ordered=ordered, swallows=swallows_errors(plan, 0, facts))


def asks_for_order(stage: Stage, plan: Plan) -> bool:
    """Whether the user says of a stage, or of the whole plan, that elements keep their order."""
    said = getattr(stage, "deterministic", None)
    options = [other.deterministic for other in plan.stages if isinstance(other, Options)]
    return said is True or (said is None and True in options)


def _depends(stage: Stage, batches: bool, facts: Facts) -> str:
    """What a stage does that depends on the order of what it takes; nothing if it makes the same rows in any order."""
    match stage:
        case Take() | Skip() | Shard():
            return "chooses elements by their place"
        case OpaqueStage():
            return "may depend on the order, as what it does is not known"
        case Batching(drop_remainder=True) | BucketBySequenceLength(drop_remainder=True):
            return "drops the last rows, which would be others"
        case Rebatch():
            return ""
        case Map():
            if batches and form_name(stage) not in OF_BATCHES:
                return "sees whole batches, whose rows would be others"
            known = form_of(stage, facts)
            if known.purity == "unknown" or (known.purity == "random" and known.seeded):
                return "may depend on the elements before"
            return ""
    functions = [getattr(stage, name, None) for name in FUNCTION_FIELDS]
    if any(isinstance(function, Function) and facts.of(function).purity != "pure" for function in functions):
        return "may depend on the elements before"
    return next((reason for inner in inner_stages(stage) if (reason := _depends(inner, False, facts))), "")
