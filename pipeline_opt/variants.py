"""The same work in other forms: as a plain sequential pipeline, and with every knob left to AUTOTUNE."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pipeline_opt.errors import UsageError
from pipeline_opt.plan import Combination, Plan, with_inner
from pipeline_opt.sources import OpaqueDataset, Source
from pipeline_opt.stages import (
    AUTO,
    Batch,
    Cache,
    FlatMap,
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
    stages = [_with_path(stage, lambda of: f"{_path_of(of)}.{name}") for stage in plan.stages]
    return dataclasses.replace(plan, source=_each(plan.source, lambda p: with_own_files(p, name)), stages=tuple(stages))


def with_files_at(plan: Plan, prefix: str) -> Plan:
    """The plan with its caches and snapshots elsewhere, in files whose paths begin with `prefix`: a folder that is there, say."""
    source = plan.source
    if isinstance(source, Combination):
        parts = tuple(with_files_at(part, f"{prefix}{number}-") for number, part in enumerate(source.plans))
        source = dataclasses.replace(source, plans=parts)
    stages = [_with_path(stage, lambda of: f"{prefix}{of.name}") for stage in plan.stages]
    return dataclasses.replace(plan, source=source, stages=tuple(stages))


def writes_files(plan: Plan) -> bool:
    """Whether a stage of the plan, or of one inside it, writes to disk."""
    inside = plan.source.plans if isinstance(plan.source, Combination) else ()
    return any(_path_of(stage) for stage in with_inner(plan.stages)) or any(map(writes_files, inside))


def without_files(plan: Plan) -> Plan:
    """The plan without the stages that write to disk."""
    kept = [stage for stage in plan.stages if not _path_of(stage)]
    return dataclasses.replace(plan, source=_each(plan.source, without_files), stages=tuple(kept))


def _path_of(stage: Stage) -> str:
    return stage.filename if isinstance(stage, Cache) else stage.path if isinstance(stage, Snapshot) else ""


def _with_path(stage: Stage, change: Callable[[Stage], str]) -> Stage:
    if isinstance(stage, Interleave | FlatMap) and stage.inner:
        return dataclasses.replace(stage, inner=tuple(_with_path(inner, change) for inner in stage.inner))
    if isinstance(stage, Cache) and stage.filename:
        return dataclasses.replace(stage, filename=change(stage))
    if isinstance(stage, Snapshot):
        return dataclasses.replace(stage, path=change(stage))
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
