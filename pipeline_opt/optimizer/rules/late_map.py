"""A pure map moves behind a stage that only passes elements on: fewer or smaller elements are held, and a batch may come next."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of
from pipeline_opt.optimizer.rewrite import (
    OTHER_DRAWS,
    Declined,
    Rewrite,
    Rule,
    keeps_draws,
    moved,
    swallows_errors,
)
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Cache, Map, Prefetch, Repeat, Shard, Shuffle, Skip, Snapshot, Take

PASSING = (Shuffle, Take, Skip, Shard, Repeat, Prefetch, Cache, Snapshot)
"""Stages that look at no element: whether a pure function is applied before or after them makes no difference."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if isinstance(stage, Map):
            yield from _later(plan, at, stage, facts)


def _later(plan: Plan, at: int, stage: Map, facts: Facts) -> Iterator[Rewrite | Declined]:
    """The map behind each of the stages behind it that only pass elements on, up to the first that it may not pass."""
    for to in range(at + 1, len(plan.stages)):
        behind = plan.stages[to]
        if not isinstance(behind, PASSING):
            return
        reason = _refusal(plan, at, to, facts)
        if reason:
            yield Declined(stage.name, f"it stays before {behind.name}{reason}")
            return
        later = moved(plan, at, to)
        if keeps_draws(plan, later):
            yield Rewrite(later, stage.name, f"{stage.name} after {behind.name}")
        else:
            yield Declined(stage.name, f"it may not stand right behind {behind.name}: {OTHER_DRAWS}")


def _refusal(plan: Plan, at: int, to: int, facts: Facts) -> str:
    """Why a map may not pass a stage; nothing if it may."""
    stage, behind = plan.stages[at], plan.stages[to]
    assert isinstance(stage, Map)
    known = form_of(stage, facts)
    if known.purity != "pure":
        return f", as it is {known.purity}: {known.evidence}"
    if isinstance(behind, Snapshot) or (isinstance(behind, Cache) and behind.filename):
        return ", whose files may be there already and hold what it makes"
    swallows = swallows_errors(plan, to + 1, facts)
    if swallows and isinstance(behind, Shuffle | Take | Skip | Shard):
        return f": {swallows} leaves out what it fails on, and others would be chosen"
    return ""


RULE = Rule(
    "late_map",
    "what is held, dropped or repeated are the elements before the function, not what it makes of them",
    _find,
)
