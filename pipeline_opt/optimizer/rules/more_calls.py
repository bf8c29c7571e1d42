"""A parallel map has more calls under way than there are cores, so that no thread has to be woken for the next one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import flows, form_of
from pipeline_opt.optimizer.loads import call_s, many_calls
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, is_deterministic, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Map

LEAST_SAVED: Final = 0.03
"""The part of a call's work below which what it takes to start it is not looked at."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    calls = many_calls(facts)
    for at, (stage, taken, _) in enumerate(flows(plan, facts)):
        if not isinstance(stage, Map) or stage.num_parallel_calls is None or not facts.looked_at(stage.function):
            continue
        known = form_of(stage, facts)
        now = call_s(stage.num_parallel_calls, facts)
        saved = now - call_s(calls, facts)
        if stage.num_parallel_calls >= calls or saved < LEAST_SAVED * (known.cpu_s * taken.rows + now):
            continue
        if known.python:
            yield Declined(stage.name, "it runs Python, which one thread does at a time however many calls there are")
            continue
        loose = stage.deterministic is False or (stage.deterministic is None and not is_deterministic(plan, facts))
        changed = with_stages(plan, at, 1, (dataclasses.replace(stage, num_parallel_calls=calls),))
        yield Rewrite(changed, stage.name, f"{stage.name} with {calls} calls under way", "set" if loose else "exact")


RULE = Rule("more_calls", "a thread that is done finds its next call there, and need not be woken for it", _find)
