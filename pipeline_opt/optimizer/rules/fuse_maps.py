"""Two maps one behind the other become one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, with_stages
from pipeline_opt.plan import Plan, item_names
from pipeline_opt.stages import AUTO, Knob, Map

REORDERED = "TensorFlow may compute x * a * b as x * (a * b), where x * a is of one map and * b of the other"


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, second in neighbours(plan):
        if not isinstance(first, Map) or not isinstance(second, Map):
            continue
        reason = _refusal(first, second, facts)
        name = f"{first.name}_{second.name}"
        if reason or name in item_names(plan):
            yield Declined(second.name, reason or f"the name {name} is taken")
            continue
        both = dataclasses.replace(
            second,
            name=name,
            function=Function.chain(first.function, second.function),
            num_parallel_calls=_calls(first.num_parallel_calls, second.num_parallel_calls),
            deterministic=False if False in (first.deterministic, second.deterministic) else second.deterministic,
            random=_random(first.random, second.random),
            batched=first.batched if second.batched is None else second.batched,
        )
        changed, what = with_stages(plan, at, 2, (both,)), f"{first.name} and {second.name} in one call"
        yield Rewrite(changed, second.name, what, "rounding", REORDERED)


def _refusal(first: Map, second: Map, facts: Facts) -> str:
    """Why two maps cannot be one; nothing if they can."""
    if first.forms or second.forms:
        return f"{(first if first.forms else second).name} computes its function in another form"
    if (first.num_parallel_calls is None) != (second.num_parallel_calls is None):
        return "one of the two runs on several threads and the other does not"
    return stays_alone(first, facts) or stays_alone(second, facts)


def stays_alone(stage: Map, facts: Facts) -> str:
    """Why a map's function cannot be called with others; nothing if it can."""
    known = form_of(stage, facts)
    if known.purity == "unknown":
        return f"{stage.name} might do something between two calls: {known.evidence}"
    if known.seeded:
        return f"{stage.name} draws numbers from a seed, which may follow from where in a function it stands"
    return ""


def _random(first: bool | None, second: bool | None) -> bool | None:
    """What is said of both: random if one of them is, pure only if each of them is said to be."""
    if first or second:
        return True
    return False if first is False and second is False else None


def _calls(first: Knob, second: Knob) -> Knob:
    """As many calls at a time as either makes."""
    if first is None or second is None:
        return None
    return AUTO if AUTO in (first, second) else max(first, second)


RULE = Rule("fuse_maps", "every element is handed over once less", _find)
