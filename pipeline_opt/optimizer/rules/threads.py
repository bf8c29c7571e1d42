"""Functions that wait for storage get threads to wait on: those of a pool of the pipeline's own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of
from pipeline_opt.optimizer.loads import pool_size
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, with_options
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Map, Stage

SIZES = (8, 16, 32, 64)
"""Threads that are tried."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    waiting: list[Map] = []
    for stage in plan.stages:
        if not isinstance(stage, Map) or not form_of(stage, facts).wait_s:
            continue
        known = form_of(stage, facts)
        if known.python:
            yield Declined(stage.name, "it runs Python, which one thread does at a time whatever the pool")
        elif stage.num_parallel_calls is None:
            yield Declined(stage.name, "it is sequential: one call at a time waits")
        else:
            waiting.append(stage)
    now = pool_size(plan) or math.ceil(facts.cores)
    for size in SIZES if waiting else ():
        if size > now:
            stages = [_wider(stage, size) if stage in waiting else stage for stage in plan.stages]
            wide = with_options(plan.with_stages(stages), private_threadpool_size=size)
            yield Rewrite(wide, waiting[0].name, f"{size} threads of its own, on which functions wait")


def _wider(stage: Stage, size: int) -> Stage:
    return dataclasses.replace(stage, num_parallel_calls=size)  # type: ignore[call-arg]


RULE = Rule("threads", "waits for the storage overlap, more of them than there are cores", _find)
