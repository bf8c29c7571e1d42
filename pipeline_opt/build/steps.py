"""A plan built one source or stage at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from pipeline_opt.build import transformations
from pipeline_opt.build.reading import Resolve
from pipeline_opt.build.sources import FileReader
from pipeline_opt.errors import PlanError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.names import inner_prefix
from pipeline_opt.order import check_order
from pipeline_opt.plan import Combination, Concatenate, Merge, Plan, Zip
from pipeline_opt.sources import FileSource, OpaqueDataset, Source, Tensors
from pipeline_opt.stages import Interleave, PrefetchToDevice, Stage, inner_stages

tf = lazy_module("tensorflow")


class Built(NamedTuple):
    """A stage, or a source, in the dataset.

    Attributes:
        name: The name that its dataset carries.
        item: The stage or source.
        before: The dataset that a stage takes; None for a source.
        after: The dataset that it gives.
    """

    name: str
    item: Source | Stage
    before: Any
    after: Any


class _Context(NamedTuple):
    resolve: Resolve
    on_host: bool


def build_steps(plan: Plan, resolve: Resolve, *, on_host: bool) -> list[Built]:
    """Build a plan whose functions are unfolded; the last step gives the whole dataset.

    Args:
        plan: What to build.
        resolve: Lists the files of a source.
        on_host: Leave out the copy to a device.

    Raises:
        OrderError, SourceError, FunctionError: As `build` raises.
    """
    check_order(plan)
    return list(_steps(_Context(resolve, on_host), plan, prefix=""))


def _steps(context: _Context, plan: Plan, prefix: str) -> Iterator[Built]:
    """Those of the plans inside the source, whose names begin with the plan's number, then the plan's own."""
    name, reader = prefix + plan.source.kind, None
    inner = []
    if isinstance(plan.source, FileSource):
        reader = FileReader(plan.source, context.resolve(plan.source), name)
        make = reader.names if plan.reader else reader.read_in_order
    elif isinstance(plan.source, Combination):
        for number, part in enumerate(plan.source.plans):
            steps = list(_steps(context, part, inner_prefix(prefix, number)))
            yield from steps
            inner.append(steps[-1].after)
        make = partial(_combined, plan.source, inner, name)
    else:
        make = partial(_in_memory, plan.source, name)
    dataset = transformations.checked(make, name, plan.source, *inner)
    yield Built(name, plan.source, None, dataset)
    for stage in plan.stages:
        if context.on_host and isinstance(stage, PrefetchToDevice):
            continue
        named, before = _prefixed(stage, prefix), dataset
        inside: list[Built] = []
        finish = _finisher(stage, prefix, inside)
        if isinstance(named, Interleave) and named.map_func is None:
            assert reader is not None, "check_order refuses a reading interleave over other sources"
            make = partial(reader.interleave, before, named, finish)
            dataset = transformations.checked(make, named.name, named, before)
        else:
            dataset = transformations.apply(before, named, finish)
        yield from inside
        yield Built(named.name, stage, before, dataset)


def _finisher(stage: Stage, prefix: str, inside: list[Built]) -> Callable[[Any], Any] | None:
    """What applies the stages inside another one, and puts them into a list; None where it has none inside."""
    return partial(_finish, inner_stages(stage), prefix, inside) if inner_stages(stage) else None


def _finish(stages: Iterable[Stage], prefix: str, inside: list[Built], dataset: Any) -> Any:
    """What stages inside another one make of a dataset in the function that is being traced; TensorFlow may trace it twice."""
    inside.clear()
    for stage in stages:
        named, before, deeper = _prefixed(stage, prefix), dataset, list[Built]()
        dataset = transformations.apply(before, named, _finisher(stage, prefix, deeper))
        inside += [*deeper, Built(named.name, stage, before, dataset)]
    return dataset


def _combined(source: Combination, inner: list[Any], name: str) -> Any:
    if isinstance(source, Zip):
        return tf.data.Dataset.zip(*inner, name=name)
    if isinstance(source, Concatenate):
        first, *others = inner
        for other in others:
            first = first.concatenate(other, name=name)
        return first
    if isinstance(source, Merge):
        return source.transformation.load()(*inner)
    weights = None if source.weights is None else list(source.weights)
    return tf.data.Dataset.sample_from_datasets(inner, weights, source.seed, source.stop_on_empty_dataset)


def _in_memory(source: Source, name: str) -> Any:
    if isinstance(source, Tensors):
        return tf.data.Dataset.from_tensor_slices(source.value, name=name)
    if not isinstance(source, OpaqueDataset):
        raise PlanError(f"source: cannot build {source!r}")
    if source.dataset is None:
        raise PlanError("source: an opaque dataset needs the dataset or the function that makes it")
    if not isinstance(source.dataset, tf.data.Dataset):
        made = f"{source.factory.label} returned" if source.factory else "the dataset is of type"
        raise PlanError(f"source: {made} {type(source.dataset).__name__}; valid: a tf.data.Dataset or a Pipeline")
    return source.dataset


def _prefixed(stage: Stage, prefix: str) -> Stage:
    if not prefix:
        return stage
    copy = object.__new__(type(stage))
    copy.__dict__.update(stage.__dict__)
    object.__setattr__(copy, "name", prefix + stage.name)
    return copy
