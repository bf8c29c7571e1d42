"""The same work in other forms: as a plain sequential pipeline, and with every knob left to AUTOTUNE."""

from __future__ import annotations

import dataclasses

from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import Source
from pipeline_opt.stages import AUTO, Batch, Interleave, Map, Options, Prefetch, PrefetchToDevice, Stage


def naive(plan: Plan) -> Plan:
    """The same elements, one after another: no parallelism, no prefetch, and TensorFlow's own rewrites off.

    TensorFlow would otherwise parallelise maps and add a prefetch by itself, so a plan without knobs is not sequential.
    """
    kept = [s for s in plan.stages if not isinstance(s, Prefetch | PrefetchToDevice | Options)]
    given = next((s for s in plan.stages if isinstance(s, Options)), Options())
    options = dataclasses.replace(given, default_optimizations=False, slack=None, name="options")
    stages = [_with_parallelism(stage, None) for stage in kept]
    return dataclasses.replace(plan, source=_inner(plan.source, sequential=True), stages=(*stages, options))


def autotune(plan: Plan) -> Plan:
    """The same stages in the same order with every knob AUTO and a prefetch at the end."""
    kept = [s for s in plan.stages if not isinstance(s, Prefetch | PrefetchToDevice)]
    stages = [_with_parallelism(stage, AUTO) for stage in kept]
    last = [s for s in plan.stages if isinstance(s, PrefetchToDevice)]
    source = _inner(plan.source, sequential=False)
    return dataclasses.replace(plan, source=source, stages=(*stages, Prefetch(name="prefetch"), *last))


def _with_parallelism(stage: Stage, calls: int | None) -> Stage:
    if isinstance(stage, Interleave):
        length = 1 if calls is None and stage.cycle_length == AUTO else stage.cycle_length
        return dataclasses.replace(stage, num_parallel_calls=calls, cycle_length=length if calls is None else AUTO)
    if isinstance(stage, Map | Batch):
        return dataclasses.replace(stage, num_parallel_calls=calls)
    return stage


def _inner(source: Source, *, sequential: bool) -> Source:
    """A source in which plans meet, with each of its plans in the other form."""
    if not isinstance(source, Combination):
        return source
    change = naive if sequential else autotune
    return dataclasses.replace(source, plans=tuple(change(plan) for plan in source.plans))
