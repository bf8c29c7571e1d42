"""Knobs that tf.data would look for while the pipeline runs are set, and AUTOTUNE is off."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import flows, form_of
from pipeline_opt.optimizer.freedom import inner_facts
from pipeline_opt.optimizer.loads import tunes_itself
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, in_order, with_options
from pipeline_opt.plan import Combination, Merge, Plan
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.stages import AUTO, Batch, FlatMap, Interleave, Map, OpaqueStage, Options, Prefetch, Stage


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    if _is_frozen(plan):
        return
    unknown = _unknown(plan)
    if unknown:
        yield Declined(unknown, "it may have knobs of its own, which are not known")
        return
    frozen = with_options(_with_knobs(plan, facts, tunes_itself(plan)), autotune=False)
    yield Rewrite(frozen, "options", f"open knobs are set for {math.ceil(facts.cores)} cores, AUTOTUNE off")


def _is_frozen(plan: Plan) -> bool:
    return any(isinstance(stage, Options) and stage.autotune is False for stage in plan.stages)


def _unknown(plan: Plan) -> str:
    """The name of something in a plan that cannot be looked into; nothing if there is none."""
    source = plan.source
    if isinstance(source, OpaqueDataset | Merge):
        return source.kind
    for number, part in enumerate(source.plans if isinstance(source, Combination) else ()):
        name = _unknown(part)
        if name:
            return f"in{number}_{name}"
    return next((stage.name for stage in plan.stages if isinstance(stage, OpaqueStage)), "")


def _with_knobs(plan: Plan, facts: Facts, tunes: bool) -> Plan:
    source = plan.source
    if isinstance(source, Combination):
        parts = zip(source.plans, inner_facts(plan, facts), strict=True)
        source = dataclasses.replace(source, plans=tuple(_with_knobs(part, known, tunes) for part, known in parts))
    order = in_order(plan, facts)
    stages = (_set(stage, taken.rows, facts, order, tunes) for stage, taken, _ in flows(plan, facts))
    return dataclasses.replace(plan, source=source, stages=tuple(stages))


def _set(stage: Stage, rows: float, facts: Facts, order: bool | None, tunes: bool) -> Stage:
    cores = math.ceil(facts.cores)
    match stage:
        case Map():
            return _set_map(stage, rows, facts, order, tunes)
        case Batch(num_parallel_calls=-1):
            return dataclasses.replace(stage, num_parallel_calls=cores)
        case Interleave():
            # TensorFlow refuses more calls than inputs, and with cycle_length AUTO takes as many in turn as the calls allow.
            is_open = stage.num_parallel_calls == AUTO and stage.cycle_length != AUTO
            calls = min(cores, stage.cycle_length) if is_open else stage.num_parallel_calls
            inner = tuple(_set(part, 1.0, facts, order, False) for part in stage.inner)
            return dataclasses.replace(stage, num_parallel_calls=calls, inner=inner)
        case FlatMap():
            return dataclasses.replace(stage, inner=tuple(_set(part, 1.0, facts, order, False) for part in stage.inner))
        case Prefetch(buffer_size=buffer) if buffer == AUTO:
            return dataclasses.replace(stage, buffer_size=cores)
    return stage


def _set_map(stage: Map, rows: float, facts: Facts, order: bool | None, tunes: bool) -> Map:
    """A map on as many threads as there are cores, or on one if its function costs less than another thread.

    With AUTOTUNE off TensorFlow does not parallelise a sequential map of a pure function by itself any more.
    """
    known = form_of(stage, facts)
    measured = facts.looked_at(stage.function) and known.purity != "unknown" and not known.wait_s
    cheap = measured and known.cpu_s * rows < facts.overheads.parallel_call
    if stage.num_parallel_calls == AUTO:
        alone = cheap and stage.deterministic is not False and order is None
        return dataclasses.replace(stage, num_parallel_calls=None if alone else math.ceil(facts.cores))
    if stage.num_parallel_calls is None and tunes and known.purity == "pure" and not known.python and not cheap:
        return dataclasses.replace(stage, num_parallel_calls=math.ceil(facts.cores), deterministic=order)
    return stage


RULE = Rule(
    "freeze",
    "nothing is tried out while the job runs, and the end of an epoch never waits for the tuning thread",
    _find,
    whole=True,
)
