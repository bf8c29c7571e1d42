"""The ops of tf.data that a plan has words for, as its stages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline_opt.build.traced import Traced
from pipeline_opt.errors import PlanError
from pipeline_opt.functions import Function
from pipeline_opt.ingest.options import options_stage
from pipeline_opt.ingest.sites import Site
from pipeline_opt.lazy import lazy_module
from pipeline_opt.stages import (
    AUTO,
    Batch,
    Cache,
    Filter,
    FlatMap,
    Interleave,
    Map,
    PaddedBatch,
    Prefetch,
    Rebatch,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Stage,
    Take,
    Unbatch,
)

np = lazy_module("numpy")
tf = lazy_module("tensorflow")
context = lazy_module("tensorflow.python.eager.context")
random_seed = lazy_module("tensorflow.python.framework.random_seed")
structure = lazy_module("tensorflow.python.data.util.structure")

_DETERMINISTIC: Final = {"default": None, "true": True, "false": False}


_ENDS: Final = re.compile("PyFunc|Iterator|Dataset|Reader|Queue|Dequeue|Map[A-Z]|Stage")
"""Ops that can say that there is nothing more."""


class NotKnown(PlanError):
    """A dataset op that a plan has no words for."""


def stage_of(site: Site) -> Stage:
    """The stage that an op is; its name is left to the plan.

    Raises:
        NotKnown: A plan has no words for the op, or for what it was told.
        PlanError: One of its arguments is no constant, or out of range for a stage.
    """
    known = KNOWN.get(site.op)
    if known is None:
        raise NotKnown(f"{site.node.op} is no stage of a plan")
    return known(site)


def _require(site: Site, **told: Any) -> None:
    """Refuse an op that was told something of which its stage has no argument."""
    for attribute, usual in told.items():
        value = site.flag(attribute)
        if value is not None and value != usual:
            raise NotKnown(f"{site.node.op}: {attribute}={value!r}; a plan knows {usual!r} only")


def _require_lasting(site: Site) -> None:
    """Refuse a map to rows of ragged tensors: as tensors, which they are in a function, they would be of another spec."""
    if any(isinstance(part, tf.RaggedTensorSpec) and part.ragged_rank == 0 for part in tf.nest.flatten(site.spec)):
        raise NotKnown(f"{site.node.op} to rows of ragged tensors")


def _parallel(site: Site, place: int) -> dict[str, Any]:
    calls = site.argument(place)
    return {"num_parallel_calls": calls, "deterministic": _DETERMINISTIC[str(site.flag("deterministic") or "default")]}


def _map(site: Site) -> Stage:
    return Map(function=_mapped(site), num_parallel_calls=None)


def _parallel_map(site: Site) -> Stage:
    return Map(function=_mapped(site), **_parallel(site, -1))


def _mapped(site: Site) -> Function:
    """The function of a map.

    Raises:
        NotKnown: It is called in a way that a plan has no words for.
    """
    _require_lasting(site)
    # `use_inter_op_parallelism` says on which threads, and changes no element.
    _require(site, use_unbounded_threadpool=False)
    function = site.function()
    if site.flag("preserve_cardinality") is False and not _counts_nothing(site, function):
        raise NotKnown(f"{site.node.op}: preserve_cardinality=False; a plan knows True only")
    return function


def _counts_nothing(site: Site, function: Function) -> bool:
    """Whether it makes no difference that a map is not said to keep the number of elements.

    That number is not known before it either, and its function has no op that can say that there are no more.
    """
    taken = site.inputs[0].live
    if (
        taken is None
        or int(taken.cardinality()) != tf.data.UNKNOWN_CARDINALITY
        or not isinstance(function.call, Traced)
    ):
        return False
    graph = function.call.graph_def
    bodies = (graph.node, *(body.node_def for body in graph.library.function))
    return not any(_ENDS.search(node.op) for nodes in bodies for node in nodes)


def _filter(site: Site) -> Stage:
    return Filter(predicate=site.function("predicate"))


def _flat_map(site: Site) -> Stage:
    return FlatMap(map_func=site.function())


def _interleave(site: Site) -> Stage:
    lengths = {"cycle_length": site.argument(-2), "block_length": site.argument(-1)}
    return Interleave(map_func=site.function(), **lengths, num_parallel_calls=None)


def _parallel_interleave(site: Site) -> Stage:
    cycle, block, output, ahead = (site.argument(place) for place in (-5, -4, -3, -2))
    if (output, ahead) not in ((AUTO, AUTO), (2 * block + 1, 2 * cycle)):
        raise NotKnown(f"{site.node.op}: buffers of {output} and {ahead}; a plan leaves them to tf.data")
    return Interleave(map_func=site.function(), cycle_length=cycle, block_length=block, **_parallel(site, -1))


def _cache(site: Site) -> Stage:
    return Cache(filename=_text(site.argument(1)))


def _shuffle(site: Site) -> Stage:
    return Shuffle(
        buffer_size=site.argument(1),
        seed=_seed(int(site.argument(2)), int(site.argument(3))),
        reshuffle_each_iteration=bool(site.flag("reshuffle_each_iteration")),
    )


def _seed(graph_seed: int, op_seed: int) -> int | None:
    """The seed that a user gives, out of the two that TensorFlow makes of it and of the global seed."""
    if (graph_seed, op_seed) == (0, 0):
        return None
    now = context.global_seed()
    if graph_seed != (random_seed.DEFAULT_GRAPH_SEED if now is None else now):
        raise NotKnown("the shuffle was made under another global seed than the one that is set now")
    return op_seed


def _batch(site: Site) -> Stage:
    return Batch(batch_size=site.argument(1), drop_remainder=bool(site.argument(2)))


def _parallel_batch(site: Site) -> Stage:
    return Batch(batch_size=site.argument(1), drop_remainder=bool(site.argument(3)), **_parallel(site, 2))


def _padded_batch(site: Site) -> Stage:
    shapes, spec = site.arguments(2, "output_shapes"), site.inputs[0].spec
    values = site.arguments(2 + len(shapes), "Toutput_types")
    specs = structure.get_flat_tensor_specs(spec)
    # Plain values, as tensors belong to where they were made.
    plain = [np.array(value, of.dtype.as_numpy_dtype) for value, of in zip(values, specs, strict=True)]
    sizes = [tf.TensorShape([None if size == -1 else int(size) for size in shape]) for shape in shapes]
    return PaddedBatch(
        batch_size=site.argument(1),
        padded_shapes=tf.nest.pack_sequence_as(spec, sizes),
        padding_values=tf.nest.pack_sequence_as(spec, plain),
        drop_remainder=bool(site.argument(-1)),
    )


def _unbatch(site: Site) -> Stage:
    if not all(isinstance(of, tf.TensorSpec) for of in tf.nest.flatten(site.inputs[0].spec)):
        raise NotKnown(f"{site.node.op} of sparse or ragged elements")
    return Unbatch()


def _rebatch(site: Site) -> Stage:
    sizes = site.argument(1)
    if getattr(sizes, "size", 1) != 1:
        raise NotKnown(f"{site.node.op}: batches of several sizes")
    return Rebatch(batch_size=int(sizes[0] if hasattr(sizes, "size") else sizes), drop_remainder=bool(site.argument(2)))


def _prefetch(site: Site) -> Stage:
    _require(site, slack_period=0, buffer_size_min=0)
    return Prefetch(buffer_size=site.argument(1))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


KNOWN: Final[Mapping[str, Callable[[Site], Stage]]] = {
    "MapDataset": _map,
    "ParallelMapDataset": _parallel_map,
    "FilterDataset": _filter,
    "FlatMapDataset": _flat_map,
    "InterleaveDataset": _interleave,
    "ParallelInterleaveDataset": _parallel_interleave,
    "CacheDataset": _cache,
    "ShuffleDataset": _shuffle,
    "RepeatDataset": lambda site: Repeat(count=site.argument(1)),
    "TakeDataset": lambda site: Take(count=site.argument(1)),
    "SkipDataset": lambda site: Skip(count=site.argument(1)),
    "ShardDataset": lambda site: Shard(num_shards=site.argument(1), index=site.argument(2)),
    "BatchDataset": _batch,
    "ParallelBatchDataset": _parallel_batch,
    "PaddedBatchDataset": _padded_batch,
    "UnbatchDataset": _unbatch,
    "RebatchDataset": _rebatch,
    "PrefetchDataset": _prefetch,
    "OptionsDataset": options_stage,
}
"""The stage of each op, by its kind."""
