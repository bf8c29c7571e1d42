"""A filter behind a map asks before the map works: what is left out is then not computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Filter, Map


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, second in neighbours(plan):
        if not isinstance(first, Map) or not isinstance(second, Filter) or first.forms:
            continue
        early = early_predicate(first.function, second.predicate)
        reason = _refusal(first, second, early, facts)
        if reason:
            yield Declined(second.name, reason)
            continue
        moved = dataclasses.replace(second, predicate=early)
        yield Rewrite(with_stages(plan, at, 2, (moved, first)), second.name, f"{second.name} before {first.name}")


def _refusal(first: Map, second: Filter, early: Function, facts: Facts) -> str:
    """Why the filter has to wait for the map; nothing if it need not."""
    function, asked = facts.of(first.function), facts.functions.get(early)
    if asked is None or asked.purity != "pure":
        of = facts.of(second.predicate) if asked is None else asked
        return f"what {second.name} asks for is {of.purity} before {first.name}: {of.evidence}"
    if function.purity == "unknown":
        return f"{first.name} might do something for every element: {function.evidence}"
    if function.purity == "random" and function.seeded:
        return f"{first.name} draws numbers from a seed, and fewer elements would get others"
    return ""


def early_predicate(function: Function, predicate: Function) -> Function:
    """The predicate of what the function makes, as one of what the function takes; TensorFlow runs only what it needs."""
    return Function.chain(function, predicate)


RULE = Rule("early_filter", "nothing is computed for the elements that are left out", _find)
