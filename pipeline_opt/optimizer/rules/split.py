"""A map becomes two, of which the first may be kept: what is random, or only makes results larger, is done behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import repetitions
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, with_stages
from pipeline_opt.plan import Plan, item_names
from pipeline_opt.stages import Map

PARTS = (
    ("pure_part", "random_part", "what comes before anything random apart from the rest"),
    ("small_part", "large_part", "what only makes results larger apart from the rest"),
)


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    if facts.epochs * repetitions(plan.stages) < 2:
        return
    for at, stage in enumerate(plan.stages):
        if not isinstance(stage, Map) or stage.forms:
            continue
        known = facts.of(stage.function)
        for first, second, what in PARTS:
            found, name = known.forms.get(first), f"{stage.name}_{first.partition('_')[0]}"
            if found is None or name in item_names(plan):
                continue
            if found.refused is not None:
                yield Declined(stage.name, found.refused)
            elif stage.random and known.purity != "random":
                yield Declined(stage.name, "it is declared random, and where it draws is not seen")
            else:
                # Of a random function only the part before its first draw is pure.
                random = None if first == "pure_part" else stage.random
                head = dataclasses.replace(stage, name=name, forms=(first,), random=random)
                tail = dataclasses.replace(stage, forms=(second,))
                changed = with_stages(plan, at, 1, (head, tail))
                yield Rewrite(changed, stage.name, f"{stage.name} in two: {what}", found.preserves, found.evidence)


RULE = Rule("split", "a cache can stand between the two", _find)
