"""The maps in which the plans of a zip end become one behind it, which can be one with what follows, and pass a shuffle."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, in_order, is_deterministic
from pipeline_opt.optimizer.rules.fuse_maps import stays_alone
from pipeline_opt.plan import Plan, Zip, item_names
from pipeline_opt.stages import Map


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    source = plan.source
    if not isinstance(source, Zip):
        return
    ends = [part.stages[-1] if part.stages else None for part in source.plans]
    lasts = [stage if isinstance(stage, Map) else None for stage in ends]
    maps = [stage for stage in lasts if stage is not None]
    if not maps:
        return
    parts = tuple(
        part.with_stages(part.stages[:-1]) if last else part for part, last in zip(source.plans, lasts, strict=True)
    )
    shorter = dataclasses.replace(plan, source=Zip(plans=parts))
    name = "_".join(stage.name for stage in maps)
    reason = _refusal(plan, maps, facts) or (f"the name {name} is taken" if name in item_names(shorter) else "")
    if reason:
        yield Declined(maps[0].name, reason)
        return
    beside = dataclasses.replace(
        maps[0],
        name=name,
        function=Function.beside(*(None if last is None else last.function for last in lasts)),
        deterministic=in_order(plan, facts),
    )
    yield Rewrite(shorter.with_stages((beside, *shorter.stages)), name, f"{name} behind the zip")


def _refusal(plan: Plan, maps: list[Map], facts: Facts) -> str:
    """Why maps cannot be one behind a zip; nothing if they can."""
    first = maps[0]
    for stage in maps:
        if stage.forms:
            return f"{stage.name} computes its function in another form"
        if reason := stays_alone(stage, facts):
            return reason
        if stage.deterministic is False or not is_deterministic(plan, facts):
            return f"{stage.name} may give its elements in any order, in which they meet others"
        if (stage.num_parallel_calls, stage.batched, stage.random) != (
            first.num_parallel_calls,
            first.batched,
            first.random,
        ):
            return f"{first.name} and {stage.name} are not told the same"
    return ""


RULE = Rule("zip_maps", "what meets is handed over once, and is not made before it is held", _find)
