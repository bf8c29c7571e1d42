"""A filter asks as early as it can: what is left out is then neither computed nor kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of
from pipeline_opt.optimizer.freedom import is_fresh
from pipeline_opt.optimizer.rewrite import (
    OTHER_DRAWS,
    Declined,
    Rewrite,
    Rule,
    keeps_draws,
    moved,
    neighbours,
    with_stages,
)
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Cache, Filter, Map, Prefetch, Repeat, Shuffle, Snapshot, Stage


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, second in neighbours(plan):
        if not isinstance(second, Filter):
            continue
        if isinstance(first, Map) and not first.forms:
            yield _past_map(plan, at, first, second, facts)
        elif isinstance(first, Cache | Shuffle | Repeat | Prefetch | Snapshot):
            yield _past_passing(plan, at, first, second, facts)


def _past_map(plan: Plan, at: int, first: Map, second: Filter, facts: Facts) -> Rewrite | Declined:
    early = early_predicate(first.function, second.predicate)
    reason = _refusal(first, second, early, facts)
    if reason:
        return Declined(second.name, reason)
    asking = dataclasses.replace(second, predicate=early)
    return Rewrite(with_stages(plan, at, 2, (asking, first)), second.name, f"{second.name} before {first.name}")


def _refusal(first: Map, second: Filter, early: Function, facts: Facts) -> str:
    """Why the filter has to wait for the map; nothing if it need not."""
    function, asked = form_of(first, facts), facts.functions.get(early)
    if asked is None:
        return f"what {second.name} asks for was not looked for before {first.name}"
    if asked.purity != "pure":
        return f"what {second.name} asks for is {asked.purity} before {first.name}: {asked.evidence}"
    if function.purity == "unknown":
        return f"{first.name} might do something for every element: {function.evidence}"
    if function.purity == "random" and function.seeded:
        return f"{first.name} draws numbers from a seed, and fewer elements would get others"
    return ""


def _past_passing(plan: Plan, at: int, first: Stage, second: Filter, facts: Facts) -> Rewrite | Declined:
    known, stays = facts.of(second.predicate), f"it stays after {first.name}"
    if known.purity != "pure":
        return Declined(second.name, f"{stays}, as what it asks for is {known.purity}: {known.evidence}")
    if isinstance(first, Snapshot) or (isinstance(first, Cache) and first.filename):
        return Declined(second.name, f"{stays}, whose files may be there already and hold what it leaves out")
    if isinstance(first, Shuffle) and not is_fresh(first):
        return Declined(second.name, f"{stays}, which would draw in another order among fewer elements")
    if not keeps_draws(plan, moved(plan, at, at + 1)):
        return Declined(second.name, f"{stays}: {OTHER_DRAWS}")
    preserves = "set" if isinstance(first, Shuffle) else "exact"
    return Rewrite(moved(plan, at, at + 1), second.name, f"{second.name} before {first.name}", preserves)


def early_predicate(function: Function, predicate: Function) -> Function:
    """The predicate of what the function makes, as one of what the function takes; TensorFlow runs only what it needs."""
    return Function.chain(function, predicate)


RULE = Rule("early_filter", "nothing is computed or kept for the elements that are left out", _find)
