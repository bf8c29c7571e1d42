"""What a user gives, as a plan that can be rewritten."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from pipeline_opt.build.purities import purities
from pipeline_opt.build.steps import build_steps
from pipeline_opt.build.traced import Traced
from pipeline_opt.functions import Function
from pipeline_opt.ingest import imported
from pipeline_opt.ingest.windows import keyed
from pipeline_opt.names import inner_prefix
from pipeline_opt.plan import Combination, Plan, unfolded
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.stages import FlatMap, Interleave, Map, OpaqueStage, Stage, inner_stages
from pipeline_opt.storage import resolve
from pipeline_opt.tuner.forms import traced_by


def as_plan(pipeline: Any) -> Plan:
    """The plan of what a user gives, read from its graph where it is a dataset."""
    if not isinstance(pipeline, Plan):
        return imported(pipeline)
    plan = unfolded(pipeline)
    if isinstance(plan.source, OpaqueDataset) and plan.source.dataset is not None:
        inner = imported(plan.source.dataset)
        stages = [*inner.stages, *plan.stages]
        return dataclasses.replace(inner, stages=tuple(_renamed(stages)))
    return plan


def _renamed(stages: Sequence[Any]) -> list[Any]:
    taken: set[str] = set()
    named = []
    for stage in stages:
        name, number = stage.name, 2
        while name in taken:
            name, number = f"{stage.name}_{number}", number + 1
        taken.add(name)
        named.append(dataclasses.replace(stage, name=name))
    return named


def hoisted(plan: Plan) -> Plan:
    """The plan with pure maps behind the interleave or flat_map inside which they stood.

    A function of single elements gives the same whether it is applied before or after they are taken in turn.
    """
    if not any(inner_stages(stage) for stage in plan.stages):
        return plan
    found, stages = purities(plan), list[Stage]()
    for stage in plan.stages:
        inner = inner_stages(stage)
        if (
            isinstance(stage, Interleave | FlatMap)
            and inner
            and all(isinstance(s, Map) and found[s.name].kind == "pure" for s in inner)
        ):
            stages += [dataclasses.replace(stage, inner=()), *inner]
        else:
            stages.append(stage)
    return plan.with_stages(stages)


def with_keys(plan: Plan) -> Plan:
    """The plan with the keys of a `group_by_window` found in the map before it, which can find those of many elements at once."""
    stages = list(plan.stages)
    for at, (before, stage) in enumerate(pairwise(plan.stages)):
        if not isinstance(before, Map) or not isinstance(stage, OpaqueStage) or before.forms or before.batched:
            continue
        found = keyed(stage.transformation)
        if found is not None:
            stages[at] = dataclasses.replace(before, function=Function.chain(before.function, found.key))
            stages[at + 1] = dataclasses.replace(stage, transformation=found.windows)
    return plan.with_stages(stages)


class Prepared(NamedTuple):
    """A change that is made before a search begins: its name, the reason, what it does to which stage, and the plan after it."""

    rule: str
    why: str
    what: str
    stage: str
    plan: Plan


def prepared(plan: Plan) -> list[Prepared]:
    """The changes that lead from a plan to one with which a search can begin."""
    changes = (
        (
            hoisted,
            "hoist_map",
            "what stands inside an interleave cannot be computed by batches",
            "maps behind the interleave inside which they stood",
        ),
        (
            with_keys,
            "keys_in_map",
            "a map can find the keys of many elements at once",
            "the keys of windows are found in the map before them",
        ),
    )
    found: list[Prepared] = []
    for change, rule, why, what in changes:
        changed = change(plan)
        if changed != plan:
            stage = next(new.name for new, old in zip(changed.stages, plan.stages, strict=False) if new != old)
            plan = with_traced(changed)
            found.append(Prepared(rule, why, what, stage, plan))
    return found


def with_traced(plan: Plan) -> Plan:
    """The plan with every map's function as it is traced where it stands, so that it can be moved, and cut in two."""
    found = {
        step.name: dataclasses.replace(step.item.function, call=traced_by(step, step.item))
        for step in build_steps(plan, resolve, on_host=True)
        if isinstance(step.item, Map) and not step.item.forms and not isinstance(step.item.function.call, Traced)
    }
    return _with_functions(plan, found, "")


def _with_functions(plan: Plan, found: Mapping[str, Function], prefix: str) -> Plan:
    source = plan.source
    if isinstance(source, Combination):
        parts = (_with_functions(p, found, inner_prefix(prefix, n)) for n, p in enumerate(source.plans))
        source = dataclasses.replace(source, plans=tuple(parts))
    stages = (
        dataclasses.replace(stage, function=found[prefix + stage.name])
        if isinstance(stage, Map) and prefix + stage.name in found
        else stage
        for stage in plan.stages
    )
    return dataclasses.replace(plan, source=source, stages=tuple(stages))
