"""Stages that do nothing are left out."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Batch, Cache, Prefetch, Repeat, Skip, Unbatch


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if isinstance(stage, Repeat | Skip) and stage.count == (1 if isinstance(stage, Repeat) else 0):
            yield Rewrite(with_stages(plan, at, 1, ()), stage.name, f"no {stage.name}, which does nothing")
    for at, first, second in neighbours(plan):
        if isinstance(first, Prefetch) and isinstance(second, Prefetch):
            yield Rewrite(with_stages(plan, at, 1, ()), first.name, f"no {first.name}: {second.name} does the same")
        elif isinstance(first, Cache) and isinstance(second, Cache) and not first.filename and not second.filename:
            yield Rewrite(
                with_stages(plan, at + 1, 1, ()), second.name, f"no {second.name}: {first.name} does the same"
            )
        elif isinstance(first, Batch) and isinstance(second, Unbatch) and not first.drop_remainder:
            yield Rewrite(with_stages(plan, at, 2, ()), first.name, f"neither {first.name} nor {second.name}")


RULE = Rule("redundant", "what does nothing still hands over every element", _find)
