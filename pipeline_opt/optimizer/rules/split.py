"""A map becomes two, of which the first may be kept: what is random, or only makes results larger, is done behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Map

PARTS = (
    ("pure_part", "random_part", "what comes before anything random apart from the rest"),
    ("small_part", "large_part", "what only makes results larger apart from the rest"),
)


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    if facts.epochs < 2:
        return
    for at, stage in enumerate(plan.stages):
        if not isinstance(stage, Map) or stage.forms:
            continue
        known = facts.of(stage.function)
        for first, second, what in PARTS:
            found = known.forms.get(first)
            if found is None:
                continue
            if found.refused is not None:
                yield Declined(stage.name, found.refused)
                continue
            head = dataclasses.replace(
                stage, name=f"{stage.name}_{first.partition('_')[0]}", forms=(first,), random=None
            )
            tail = dataclasses.replace(stage, forms=(second,))
            if head.name in [other.name for other in plan.stages]:
                continue
            yield Rewrite(with_stages(plan, at, 1, (head, tail)), stage.name, f"{stage.name} in two: {what}", "exact")


RULE = Rule("split", "a cache can stand between the two", _find)
