"""A plan as a tf.data.Dataset."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pipeline_opt.build import transformations
from pipeline_opt.build.sources import FileReader
from pipeline_opt.errors import PlanError, PlanWarning
from pipeline_opt.lazy import lazy_module
from pipeline_opt.order import check_order, harms
from pipeline_opt.plan import Concatenate, Plan, Sample, Zip
from pipeline_opt.sources import FileSource, OpaqueDataset, ResolvedSource, Source, Tensors
from pipeline_opt.stages import Interleave, PrefetchToDevice, Stage
from pipeline_opt.storage import resolve

tf = lazy_module("tensorflow")

Resolve = Callable[[FileSource], ResolvedSource]


class Built(NamedTuple):
    """The dataset as it is before a stage: `before` is what the stage takes."""

    stage: Stage
    before: Any


class _Context(NamedTuple):
    resolve: Resolve
    on_host: bool


def build(plan: Plan, *, resolve: Resolve = resolve, on_host: bool = False) -> Any:
    """Make the `tf.data.Dataset` that a plan describes. Stages are named in it as in the plan.

    Args:
        plan: What to build.
        resolve: Lists the files of a source.
        on_host: Leave out the copy to a device, for which something else stands.

    Raises:
        OrderError: The stages cannot stand in this order.
        SourceError: The data cannot be found or is not of the plan's format.
        FunctionError: A function cannot be imported or traced; names the stage.

    Warns:
        PlanWarning: The order is legal and does harm; or there is no accelerator to copy to.
    """
    check_order(plan)
    for harm in harms(plan):
        warnings.warn(f"{harm.stage}: {harm.message}", PlanWarning, stacklevel=2)
    *_, dataset = _walk(_Context(resolve, on_host), plan, prefix="")
    return dataset


def build_steps(plan: Plan, *, resolve: Resolve = resolve) -> Iterator[Built]:
    """Build a plan stage by stage on the host, giving each stage with the dataset that it takes."""
    check_order(plan)
    *datasets, _ = _walk(_Context(resolve, on_host=True), plan, prefix="")
    for stage, before in zip(plan.stages, datasets, strict=True):
        yield Built(stage, before)


def _walk(context: _Context, plan: Plan, prefix: str) -> Iterator[Any]:
    """The dataset of the source alone, then after each stage. Names of inner plans begin with the plan's number."""
    reader = _reader(plan, context.resolve, prefix)
    if reader is not None:
        dataset = reader.names() if plan.reader else reader.read_in_order()
    else:
        dataset = _from_plans_or_memory(context, plan.source, prefix)
    yield dataset
    for stage in plan.stages:
        named = _prefixed(stage, prefix)
        if isinstance(named, Interleave) and named.map_func is None:
            assert reader is not None, "check_order refuses a reading interleave over other sources"
            dataset = reader.interleave(dataset, named)
        elif not (context.on_host and isinstance(named, PrefetchToDevice)):
            dataset = transformations.apply(dataset, named)
        yield dataset


def _reader(plan: Plan, resolve: Resolve, prefix: str) -> FileReader | None:
    if not isinstance(plan.source, FileSource):
        return None
    return FileReader(plan.source, resolve(plan.source), prefix + plan.source.kind)


def _from_plans_or_memory(context: _Context, source: Source, prefix: str) -> Any:
    name = prefix + source.kind
    if isinstance(source, Tensors):
        return tf.data.Dataset.from_tensor_slices(source.value, name=name)
    if isinstance(source, OpaqueDataset):
        return _existing(source)
    if not isinstance(source, Zip | Concatenate | Sample):
        raise PlanError(f"source: cannot build {source!r}")
    inner = []
    for number, plan in enumerate(source.plans):
        check_order(plan)
        *_, dataset = _walk(context, plan, f"{prefix}in{number}_")
        inner.append(dataset)
    if isinstance(source, Zip):
        return tf.data.Dataset.zip(*inner, name=name)
    if isinstance(source, Concatenate):
        first, *others = inner
        for other in others:
            first = first.concatenate(other, name=name)
        return first
    weights = None if source.weights is None else list(source.weights)
    return tf.data.Dataset.sample_from_datasets(inner, weights, source.seed, source.stop_on_empty_dataset)


def _existing(source: OpaqueDataset) -> Any:
    if source.dataset is not None:
        return source.dataset
    if source.factory is None:
        raise PlanError("source: an opaque dataset needs the dataset or the function that makes it")
    made = source.factory.load()()
    if isinstance(made, Plan):
        return build(made)
    if not isinstance(made, tf.data.Dataset):
        raise PlanError(
            f"source: {source.factory.label} returned {type(made).__name__}; valid: a tf.data.Dataset or a Pipeline"
        )
    return made


def _prefixed(stage: Stage, prefix: str) -> Stage:
    if not prefix:
        return stage
    copy = object.__new__(type(stage))
    copy.__dict__.update(stage.__dict__)
    object.__setattr__(copy, "name", prefix + stage.name)
    return copy


def stage_names(plan: Plan, prefix: str = "") -> Mapping[str, Stage | Source]:
    """Every source and stage by the name that its dataset carries, those of inner plans included."""
    names: dict[str, Stage | Source] = {prefix + plan.source.kind: plan.source}
    if isinstance(plan.source, Zip | Concatenate | Sample):
        for number, inner in enumerate(plan.source.plans):
            names.update(stage_names(inner, f"{prefix}in{number}_"))
    names.update({prefix + stage.name: stage for stage in plan.stages})
    return names
