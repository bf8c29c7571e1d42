"""Knobs that tf.data would look for while the pipeline runs are set, and AUTOTUNE is off."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, with_options
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import AUTO, Batch, Interleave, Map, Options, Prefetch, Stage


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    if any(isinstance(stage, Options) and stage.autotune is False for stage in plan.stages):
        return
    if isinstance(plan.source, Combination):
        yield Declined(plan.source.kind, "the pipelines in it have knobs of their own")
        return
    cores = math.ceil(facts.cores)
    stages = [_set(stage, cores) for stage in plan.stages]
    told = {"autotune": False}
    yield Rewrite(
        with_options(plan.with_stages(stages), **told), "options", f"every open knob is {cores}, AUTOTUNE off"
    )


def _set(stage: Stage, cores: int) -> Stage:
    match stage:
        case Map(num_parallel_calls=-1) | Batch(num_parallel_calls=-1) | Interleave(num_parallel_calls=-1):
            return dataclasses.replace(stage, num_parallel_calls=cores)
        case Prefetch(buffer_size=buffer) if buffer == AUTO:
            return dataclasses.replace(stage, buffer_size=cores)
    return stage


RULE = Rule(
    "freeze",
    "nothing is tried out while the job runs, and the end of an epoch never waits for the tuning thread",
    _find,
)
