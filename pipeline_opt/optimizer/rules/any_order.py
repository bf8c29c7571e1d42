"""Elements come as they are ready where their order is free."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.freedom import asks_for_order, holds_order
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Batch, Interleave, Map, Stage


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    stages, loosened = list(plan.stages), list[str]()
    for at, stage in enumerate(plan.stages):
        if not isinstance(stage, Map | Interleave | Batch) or stage.num_parallel_calls is None:
            continue
        if stage.deterministic is False:
            continue
        reason = _refusal(plan, at, stage, facts)
        if reason:
            yield Declined(stage.name, f"its elements keep their order: {reason}")
            continue
        stages[at] = dataclasses.replace(stage, deterministic=False)
        loosened.append(stage.name)
    if loosened:
        what = f"elements of {', '.join(loosened)} as they are ready"
        yield Rewrite(plan.with_stages(stages), loosened[0], what, "set")


def _refusal(plan: Plan, at: int, stage: Stage, facts: Facts) -> str:
    if asks_for_order(stage, plan, facts):
        return f"{stage.name} or the options of the pipeline ask for it"
    return holds_order(plan, at + 1, facts)


RULE = Rule("any_order", "no element waits for one that takes longer", _find, whole=True)
