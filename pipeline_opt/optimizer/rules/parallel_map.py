"""A sequential map runs on several threads, in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import AUTO, Map


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if not isinstance(stage, Map) or stage.num_parallel_calls is not None:
            continue
        known = facts.of(stage.function)
        if known.python:
            yield Declined(stage.name, "it runs Python, which one thread does at a time whatever the parallelism")
        elif known.purity == "unknown":
            yield Declined(stage.name, f"its calls might depend on one another: {known.evidence}")
        else:
            together = dataclasses.replace(stage, num_parallel_calls=AUTO, deterministic=True)
            yield Rewrite(
                with_stages(plan, at, 1, (together,)), stage.name, f"{stage.name} on several threads, in order"
            )


RULE = Rule("parallel_map", "every core computes other elements", _find)
