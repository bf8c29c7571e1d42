"""The same work in other forms: as a plain sequential pipeline, and with every knob left to AUTOTUNE."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pipeline_opt.errors import UsageError
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import OpaqueDataset, Source
from pipeline_opt.stages import (
    AUTO,
    Batch,
    Cache,
    Interleave,
    Map,
    Options,
    Prefetch,
    PrefetchToDevice,
    Snapshot,
    Stage,
)


def naive(plan: Plan) -> Plan:
    """The same elements, one after another: no parallelism, no prefetch, and TensorFlow's own rewrites off.

    TensorFlow would otherwise parallelise maps and add a prefetch by itself, so a plan without knobs is not sequential.

    Raises:
        UsageError: The plan, or one inside it, begins with a finished dataset, whose stages cannot be changed.
    """
    if isinstance(plan.source, OpaqueDataset):
        raise UsageError(
            "a benchmark changes the stages of a pipeline, and those of a finished dataset are fixed; "
            "give a Pipeline in its place, or profile it alone"
        )
    kept = [s for s in plan.stages if not isinstance(s, Prefetch | PrefetchToDevice | Options)]
    given = next((s for s in plan.stages if isinstance(s, Options)), Options())
    options = dataclasses.replace(given, default_optimizations=False, map_and_batch_fusion=False, slack=None, name="")
    stages = [_with_parallelism(stage, None) for stage in kept]
    return dataclasses.replace(plan, source=_each(plan.source, naive), stages=(*stages, options))


def autotune(plan: Plan) -> Plan:
    """The same stages in the same order with every knob AUTO and a prefetch at the end."""
    kept = [s for s in plan.stages if not isinstance(s, Prefetch | PrefetchToDevice)]
    stages = [_with_parallelism(stage, AUTO) for stage in kept]
    last = [s for s in plan.stages if isinstance(s, PrefetchToDevice)]
    source = _each(plan.source, autotune)
    return dataclasses.replace(plan, source=source, stages=(*stages, Prefetch(), *last))


def with_own_files(plan: Plan, name: str) -> Plan:
    """The plan with caches and snapshots of its own on disk, in files named after `name`: plans that are compared share none."""
    stages = [_with_path(stage, lambda path: f"{path}.{name}") for stage in plan.stages]
    return dataclasses.replace(plan, source=_each(plan.source, lambda p: with_own_files(p, name)), stages=tuple(stages))


def without_files(plan: Plan) -> Plan:
    """The plan without the stages that write to disk."""
    kept = [stage for stage in plan.stages if not _path_of(stage)]
    return dataclasses.replace(plan, source=_each(plan.source, without_files), stages=tuple(kept))


def _path_of(stage: Stage) -> str:
    return stage.filename if isinstance(stage, Cache) else stage.path if isinstance(stage, Snapshot) else ""


def _with_path(stage: Stage, change: Callable[[str], str]) -> Stage:
    if isinstance(stage, Cache) and stage.filename:
        return dataclasses.replace(stage, filename=change(stage.filename))
    if isinstance(stage, Snapshot):
        return dataclasses.replace(stage, path=change(stage.path))
    return stage


def _with_parallelism(stage: Stage, calls: int | None) -> Stage:
    if isinstance(stage, Interleave):
        length = 1 if calls is None and stage.cycle_length == AUTO else stage.cycle_length
        return dataclasses.replace(stage, num_parallel_calls=calls, cycle_length=length if calls is None else AUTO)
    if isinstance(stage, Map | Batch):
        return dataclasses.replace(stage, num_parallel_calls=calls)
    return stage


def _each(source: Source, change: Callable[[Plan], Plan]) -> Source:
    """A source in which plans meet, with each of its plans changed; other sources as they are."""
    if not isinstance(source, Combination):
        return source
    return dataclasses.replace(source, plans=tuple(change(plan) for plan in source.plans))
