"""Stages that do nothing are left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pipeline_opt.optimizer.facts import Facts, StageFacts
from pipeline_opt.optimizer.rewrite import (
    OTHER_DRAWS,
    Declined,
    Rewrite,
    Rule,
    keeps_draws,
    neighbours,
    swallows_errors,
    with_stages,
)
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import (
    AUTO,
    Batch,
    Cache,
    Interleave,
    Options,
    Prefetch,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Stage,
    Unbatch,
)

MORE_DRAWS: Final = (
    "where TensorFlow's own rewrites are off, a repeat makes one iterator more in the end, "
    "for which a seeded shuffle draws anew"
)


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        # Inside a part it is not known whether the plan around it switches them off.
        if isinstance(stage, Repeat) and stage.count == 1 and (facts.prefix or _rewrites_off(plan)):
            yield Declined(stage.name, f"it stays: {MORE_DRAWS}")
        elif _does_nothing(stage):
            yield _without(plan, at, 1, stage, f"no {stage.name}, which does nothing")
        elif stage is plan.reader and at == 0 and _reads_in_order(stage):
            yield _read_in_order(plan, stage, facts)
    for at, first, second in neighbours(plan):
        if isinstance(first, Prefetch) and isinstance(second, Prefetch):
            drop, keep = (second, first) if _depth(first) > _depth(second) else (first, second)
            yield _without(plan, at + (drop is second), 1, drop, f"no {drop.name}: {keep.name} does the same")
        elif isinstance(first, Cache) and isinstance(second, Cache) and not first.filename + second.filename:
            yield _without(plan, at + 1, 1, second, f"no {second.name}: {first.name} keeps the same")
        elif isinstance(first, Batch) and isinstance(second, Unbatch):
            yield _unbatched(plan, at, first, second, facts)


def _unbatched(plan: Plan, at: int, first: Batch, second: Unbatch, facts: Facts) -> Rewrite | Declined:
    """The plan without a batch that is taken apart again."""
    if first.drop_remainder:
        return Declined(first.name, f"{first.name} and {second.name} drop the last rows")
    if not (facts.stage(second.name) or StageFacts()).dense:
        return Declined(
            first.name, f"not all that {second.name} takes is known to be dense, and {first.name} may widen rows"
        )
    swallows = swallows_errors(plan, at + 2, facts)
    if swallows:
        return Declined(first.name, f"where an element fails, {swallows} leaves out its whole batch, not it alone")
    return _without(plan, at, 2, first, f"neither {first.name} nor {second.name}")


def _read_in_order(plan: Plan, stage: Stage, facts: Facts) -> Rewrite | Declined:
    """The plan whose source reads its files itself, without the interleave that comes first."""
    swallows = swallows_errors(plan, 1, facts)
    if swallows:
        return Declined(stage.name, f"where a file is damaged, {swallows} would leave out other elements")
    return _without(plan, 0, 1, stage, f"no {stage.name}: its files are read one after another in any case")


def _does_nothing(stage: Stage) -> bool:
    match stage:
        case Repeat(count=1) | Skip(count=0) | Shard(num_shards=1) | Shuffle(buffer_size=1) | Prefetch(buffer_size=0):
            return True
    return False


def _rewrites_off(plan: Plan) -> bool:
    """Whether options, also of the plans that meet in the source, switch off what TensorFlow rewrites by itself."""
    off = any(isinstance(stage, Options) and stage.default_optimizations is False for stage in plan.stages)
    return off or (isinstance(plan.source, Combination) and any(map(_rewrites_off, plan.source.plans)))


def _reads_in_order(stage: Interleave) -> bool:
    """Whether all that an interleave does with files is to read one after another, as a source does by itself."""
    return stage.cycle_length == 1 and stage.num_parallel_calls is None and not stage.inner


def _depth(stage: Prefetch) -> float:
    return float("inf") if stage.buffer_size == AUTO else stage.buffer_size


def _without(plan: Plan, at: int, count: int, stage: Stage, what: str) -> Rewrite | Declined:
    shorter = with_stages(plan, at, count, ())
    if not keeps_draws(plan, shorter):
        return Declined(stage.name, f"it stays: {OTHER_DRAWS}")
    return Rewrite(shorter, stage.name, what)


RULE = Rule("redundant", "what does nothing still hands over every element", _find)
