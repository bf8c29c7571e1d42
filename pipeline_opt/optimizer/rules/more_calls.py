"""Parallel maps have more calls under way than there are cores, so that no thread has to be woken for the next one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from pipeline_opt.names import inner_prefix
from pipeline_opt.optimizer.calls import call_s, many_calls
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import flows, form_of
from pipeline_opt.optimizer.freedom import inner_facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, is_deterministic
from pipeline_opt.optimizer.rules.parallel_map import refusal
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import Map, Stage

LEAST_SAVED: Final = 0.03
"""The part of a call's work below which what it takes to start it is not looked at."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    widened: dict[str, str] = {}
    declined: list[Declined] = []
    changed = _widened(plan, facts, "", widened, declined)
    yield from declined
    if widened:
        preserves = "set" if "set" in widened.values() else "exact"
        what = f"{', '.join(widened)} with {many_calls(facts)} calls under way"
        yield Rewrite(changed, next(iter(widened)), what, preserves)


def _widened(plan: Plan, facts: Facts, prefix: str, widened: dict[str, str], declined: list[Declined]) -> Plan:
    """The plan with many calls where they pay; adds who has them, and where they may not be."""
    source = plan.source
    if isinstance(source, Combination):
        parts = zip(source.plans, inner_facts(plan, facts), strict=True)
        plans = (
            _widened(part, known, inner_prefix(prefix, n), widened, declined) for n, (part, known) in enumerate(parts)
        )
        source = dataclasses.replace(source, plans=tuple(plans))
    stages: list[Stage] = []
    for stage, taken, _ in flows(plan, facts):
        stages.append(stage)
        if not isinstance(stage, Map) or not _pays(stage, taken.rows, facts):
            continue
        name, reason = f"{prefix}{stage.name}", refusal(stage, facts)
        if reason:
            declined.append(Declined(name, reason))
            continue
        loose = stage.deterministic is False or (stage.deterministic is None and not is_deterministic(plan, facts))
        stages[-1] = dataclasses.replace(stage, num_parallel_calls=many_calls(facts))
        widened[name] = "set" if loose else "exact"
    return dataclasses.replace(plan, source=source, stages=tuple(stages))


def _pays(stage: Map, rows: float, facts: Facts) -> bool:
    """Whether many calls of a parallel map, each of so many rows, save something worth it."""
    now, calls = stage.num_parallel_calls, many_calls(facts)
    if now is None or now >= calls or not facts.looked_at(stage.function):
        return False
    took = call_s(now, facts)
    return took - call_s(calls, facts) >= LEAST_SAVED * (form_of(stage, facts).cpu_s * rows + took)


RULE = Rule(
    "more_calls", "a thread that is done finds its next call there, and need not be woken for it", _find, whole=True
)
"""As a whole, once it is known which maps compute batches: of those, more calls only hold more memory."""
