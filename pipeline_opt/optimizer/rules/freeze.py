"""Knobs that tf.data would look for while the pipeline runs are set, and AUTOTUNE is off."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Final

from pipeline_opt.optimizer.calls import busy_calls
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import flows, form_of
from pipeline_opt.optimizer.freedom import inner_facts
from pipeline_opt.optimizer.loads import tunes_itself
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, in_order, op_of, with_options
from pipeline_opt.plan import Combination, Merge, Plan
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.stages import AUTO, Batch, FlatMap, Interleave, Map, OpaqueStage, Options, Prefetch, Stage

KNOBLESS: Final = frozenset(
    {
        "assert_cardinality",
        "concatenate",
        "repeat",
        "sample",
        "sampling",
        "shard",
        "shuffle",
        "skip",
        "structure",
        "take",
        "unique",
    }
)
"""Ops that a plan carries along in which AUTOTUNE finds nothing to set, by the names that plans have for them."""


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
    if isinstance(source, OpaqueDataset) and not source.knobless:
        return source.kind
    if isinstance(source, Merge) and op_of(source.transformation) not in KNOBLESS:
        return source.kind
    for number, part in enumerate(source.plans if isinstance(source, Combination) else ()):
        name = _unknown(part)
        if name:
            return f"in{number}_{name}"
    opaque = (stage for stage in plan.stages if isinstance(stage, OpaqueStage))
    return next((stage.name for stage in opaque if op_of(stage.transformation) not in KNOBLESS), "")


def _with_knobs(plan: Plan, facts: Facts, tunes: bool) -> Plan:
    source = plan.source
    if isinstance(source, Combination):
        parts = zip(source.plans, inner_facts(plan, facts), strict=True)
        source = dataclasses.replace(source, plans=tuple(_with_knobs(part, known, tunes) for part, known in parts))
    order = in_order(plan, facts)
    calls = busy_calls(facts)
    stages = (_set(stage, taken.rows, facts, order, tunes, calls) for stage, taken, _ in flows(plan, facts))
    return dataclasses.replace(plan, source=source, stages=tuple(stages))


def _set(stage: Stage, rows: float, facts: Facts, order: bool | None, tunes: bool, calls: int) -> Stage:
    cores = math.ceil(facts.cores)
    match stage:
        case Map():
            return _set_map(stage, rows, facts, order, tunes, calls)
        case Batch(num_parallel_calls=-1):
            return dataclasses.replace(stage, num_parallel_calls=cores)
        case Interleave():
            # TensorFlow refuses more calls than inputs, and with cycle_length AUTO takes as many in turn as the calls allow.
            is_open = stage.num_parallel_calls == AUTO and stage.cycle_length != AUTO
            streams = min(cores, stage.cycle_length) if is_open else stage.num_parallel_calls
            return dataclasses.replace(stage, num_parallel_calls=streams, inner=_set_inner(stage.inner, facts, order))
        case FlatMap():
            return dataclasses.replace(stage, inner=_set_inner(stage.inner, facts, order))
        case Prefetch(buffer_size=buffer) if buffer == AUTO:
            return dataclasses.replace(stage, buffer_size=cores)
    return stage


def _set_inner(inner: tuple[Stage, ...], facts: Facts, order: bool | None) -> tuple[Stage, ...]:
    """Stages inside another one, of which several are under way: each has no more calls than there are cores."""
    return tuple(_set(part, 1.0, facts, order, False, math.ceil(facts.cores)) for part in inner)


def _set_map(stage: Map, rows: float, facts: Facts, order: bool | None, tunes: bool, calls: int) -> Map:
    """A map with so many calls under way, or on one thread if its function costs less than another thread.

    With AUTOTUNE off TensorFlow does not parallelise a sequential map of a pure function by itself any more.
    """
    known = form_of(stage, facts)
    measured = facts.looked_at(stage.function) and known.purity != "unknown" and not known.wait_s
    cheap = measured and known.cpu_s * rows < facts.overheads.parallel_call
    if stage.num_parallel_calls == AUTO:
        alone = cheap and stage.deterministic is not False and order is None
        return dataclasses.replace(stage, num_parallel_calls=None if alone else calls)
    if stage.num_parallel_calls is None and tunes and known.purity == "pure" and not known.python and not cheap:
        return dataclasses.replace(stage, num_parallel_calls=calls, deterministic=order)
    return stage


RULE = Rule(
    "freeze",
    "nothing is tried out while the job runs, and the end of an epoch never waits for the tuning thread",
    _find,
    whole=True,
)
