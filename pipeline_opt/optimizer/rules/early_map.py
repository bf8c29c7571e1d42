"""A pure map moves before a shuffle or a repeat, so that a cache can keep what it makes, or the buffer what it makes small."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, swapped
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Map, Prefetch, Repeat, Shuffle


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, second in neighbours(plan):
        if not isinstance(first, Shuffle | Repeat | Prefetch) or not isinstance(second, Map):
            continue
        known = facts.of(second.function)
        if known.purity != "pure":
            yield Declined(second.name, f"it stays after {first.name}, as it is {known.purity}: {known.evidence}")
            continue
        yield Rewrite(swapped(plan, at), second.name, f"{second.name} before {first.name}")


RULE = Rule("early_map", "what it makes can be kept by a cache, or is smaller than what it takes", _find)
