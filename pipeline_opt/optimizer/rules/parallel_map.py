"""A sequential map runs on several threads, in order; one whose calls cost less than their threads runs on one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, in_order, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import AUTO, Map


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if not isinstance(stage, Map) or stage.num_parallel_calls is not None:
            continue
        reason = refusal(stage, facts)
        if reason:
            yield Declined(stage.name, reason)
            continue
        together = dataclasses.replace(stage, num_parallel_calls=AUTO, deterministic=in_order(plan, facts))
        what = f"{stage.name} on several threads, in order"
        yield Rewrite(with_stages(plan, at, 1, (together,)), stage.name, what)


def refusal(stage: Map, facts: Facts) -> str:
    """Why a map may not have several calls at a time; nothing if it may."""
    known = form_of(stage, facts)
    if known.python:
        return "it runs Python, which one thread does at a time whatever the parallelism"
    if known.purity == "unknown":
        return f"its calls might depend on one another: {known.evidence}"
    if known.purity == "random" and known.seeded:
        return "it draws numbers from a seed, and which element gets which would depend on the threads"
    return ""


RULE = Rule("parallel_map", "every core computes other elements", _find)
