"""What is profiled: a plan or a dataset, made ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline_opt.build.dataset import build
from pipeline_opt.errors import UsageError
from pipeline_opt.ingest.graph import Node, nodes_of
from pipeline_opt.lazy import lazy_module
from pipeline_opt.plan import Combination, Plan, item_names, unfolded
from pipeline_opt.profiler.endless import is_endless
from pipeline_opt.profiler.stagemap import StageMap, from_nodes, from_plan
from pipeline_opt.record import SourceInfo
from pipeline_opt.sources import FileSource, OpaqueDataset, Source
from pipeline_opt.stages import BATCHING, PrefetchToDevice, Unbatch
from pipeline_opt.storage import resolve

tf = lazy_module("tensorflow")


@dataclass(frozen=True)
class Subject:
    """What is profiled: a plan, the dataset that it makes, and the stages to charge.

    Args:
        plan: The plan; of an existing dataset, one with an opaque source.
        dataset: What the loop iterates over.
        stages: Its stages.
        batched: Whether it yields batches.
        endless: Whether it goes on for ever.
        source: What it reads, as it was before the run.
        buffer_ahead: Batches that the profiler itself loads ahead, in place of a stage that needs a real device.
    """

    plan: Plan
    dataset: Any
    stages: StageMap
    batched: bool
    endless: bool
    source: SourceInfo
    buffer_ahead: int = 0


def prepare(pipeline: Any, *, emulated: bool = False) -> Subject:
    """Build what is to be profiled.

    Args:
        pipeline: A plan or a dataset.
        emulated: Whether the consumer is an emulated accelerator, which takes the place of the device that a last
            `prefetch_to_device` stage names.
    """
    plan = unfolded(pipeline) if isinstance(pipeline, Plan) else Plan(OpaqueDataset(dataset=_dataset(pipeline)))
    dataset = build(plan, on_host=emulated)
    nodes = nodes_of(dataset)
    opaque = _is_opaque(plan.source)
    named = item_names(plan).items()
    built = {name: item for name, item in named if not (emulated and isinstance(item, PrefetchToDevice))}
    stages = from_nodes(nodes) if opaque and nodes else from_plan(plan, built)
    ahead = next((s.buffer_size for s in plan.stages if emulated and isinstance(s, PrefetchToDevice)), 0)
    batched = _batched(plan, nodes if opaque else [])
    return Subject(plan, dataset, stages, batched, is_endless(dataset, nodes), source_info(plan.source), ahead)


def source_info(source: Source) -> SourceInfo:
    """What a source reads, as far as it can be known without reading it."""
    if isinstance(source, FileSource):
        resolved = resolve(source)
        uri = ", ".join(source.paths)
        scheme = uri.partition("://")[0] if "://" in uri else "file"
        return SourceInfo(uri, scheme, len(resolved.files), resolved.bytes)
    if isinstance(source, Combination):
        inner = [source_info(plan.source) for plan in source.plans]
        schemes = sorted({info.scheme for info in inner})
        files, sizes = [info.files for info in inner], [info.bytes for info in inner]
        return SourceInfo(f"{source.kind} of {len(inner)}", "+".join(schemes), _sum(files), _sum(sizes))
    return SourceInfo(source.kind, "memory" if source.kind == "tensors" else "dataset")


def _sum(numbers: list[int | None]) -> int | None:
    """The sum of what is known; None if nothing is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _dataset(value: Any) -> Any:
    if isinstance(value, tf.data.Dataset):
        return value
    raise UsageError(f"cannot profile {type(value).__name__}; valid: a Pipeline or a tf.data.Dataset")


def _is_opaque(source: Source) -> bool:
    return isinstance(source, OpaqueDataset) or (
        isinstance(source, Combination) and any(_is_opaque(plan.source) for plan in source.plans)
    )


def _batched(plan: Plan, nodes: list[Node]) -> bool:
    """Whether the last thing that batches or unbatches is a batch."""
    kinds = [node.kind for node in nodes] + [stage.kind for stage in plan.stages]
    batching = {stage.kind for stage in BATCHING}
    last = next((kind for kind in reversed(kinds) if kind in batching or kind == Unbatch.kind), "")
    if last:
        return last in batching
    return isinstance(plan.source, Combination) and all(_batched(inner, []) for inner in plan.source.plans)
