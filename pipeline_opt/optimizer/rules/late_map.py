"""A pure map moves behind a stage that only passes elements on: fewer or smaller elements are held, and a batch may come next."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, swapped
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Cache, Map, Prefetch, Repeat, Shard, Shuffle, Skip, Take

PASSING = (Shuffle, Take, Skip, Shard, Repeat, Prefetch, Cache)
"""Stages that look at no element: whether a pure function is applied before or after them makes no difference."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, second in neighbours(plan):
        if not isinstance(first, Map) or not isinstance(second, PASSING):
            continue
        known = facts.of(first.function)
        if known.purity != "pure":
            yield Declined(first.name, f"it stays before {second.name}, as it is {known.purity}: {known.evidence}")
            continue
        yield Rewrite(swapped(plan, at), first.name, f"{first.name} after {second.name}")


RULE = Rule(
    "late_map",
    "what is held, dropped or repeated are the elements before the function, not what it makes of them",
    _find,
)
