"""A pure map moves before a shuffle, a repeat or a cache, which then keep or hold what it makes."""

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
from pipeline_opt.stages import Cache, Map, Prefetch, Repeat, Shuffle, Snapshot


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if isinstance(stage, Map):
            yield from _earlier(plan, at, stage, facts)


def _earlier(plan: Plan, at: int, stage: Map, facts: Facts) -> Iterator[Rewrite | Declined]:
    """The map before each of the stages before it that only pass elements on, up to the first that it may not pass."""
    for to in reversed(range(at)):
        before = plan.stages[to]
        if not isinstance(before, Shuffle | Repeat | Prefetch | Cache | Snapshot):
            return
        reason = _refusal(plan, at, to, facts)
        if reason:
            yield Declined(stage.name, f"it stays after {before.name}{reason}")
            return
        earlier = moved(plan, at, to)
        if keeps_draws(plan, earlier):
            yield Rewrite(earlier, stage.name, f"{stage.name} before {before.name}")
        else:
            yield Declined(stage.name, f"it may not stand right before {before.name}: {OTHER_DRAWS}")


def _refusal(plan: Plan, at: int, to: int, facts: Facts) -> str:
    """Why a map may not pass a stage; nothing if it may."""
    stage, before = plan.stages[at], plan.stages[to]
    assert isinstance(stage, Map)
    known = form_of(stage, facts)
    if known.purity != "pure":
        return f", as it is {known.purity}: {known.evidence}"
    if isinstance(before, Snapshot) or (isinstance(before, Cache) and before.filename):
        return f", whose files may be there already and hold what {stage.name} takes"
    swallows = swallows_errors(plan, at + 1, facts)
    if swallows and isinstance(before, Shuffle):
        return f": {swallows} leaves out what it fails on, and the shuffle would draw among fewer"
    return ""


RULE = Rule("early_map", "what it makes can be kept by a cache, or is smaller than what it takes", _find)
