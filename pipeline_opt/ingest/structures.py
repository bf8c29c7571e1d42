"""The structure of elements, carried from a dataset to those that it takes from where only the graph knows of them."""

from __future__ import annotations

from typing import Any, Final

from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

UNCHANGED: Final = (
    "FilterDataset", "ParallelFilterDataset", "CacheDataset", "ShuffleDataset", "ShuffleAndRepeatDataset", "RepeatDataset",
    "TakeDataset", "SkipDataset", "ShardDataset", "PrefetchDataset", "OptionsDataset", "TakeWhileDataset",
    "UniqueDataset", "IgnoreErrorsDataset", "AssertCardinalityDataset",
)  # fmt: skip
"""Ops whose elements are of the structure of those that they take."""

REGROUPED: Final = ("BatchDataset", "ParallelBatchDataset", "PaddedBatchDataset", "UnbatchDataset", "RebatchDataset")
"""Ops that change the shapes only."""


def flat_specs(node: Any) -> list[Any]:
    """The specs of the flat components of a dataset op's elements, as the op itself says."""
    types = node.attr["output_types" if "output_types" in node.attr else "Toutput_types"].list.type
    shapes = node.attr["output_shapes"].list.shape
    return [tf.TensorSpec(tf.TensorShape(s), tf.as_dtype(t)) for s, t in zip(shapes, types, strict=True)]


def flat_spec(node: Any) -> Any:
    """The `element_spec` of flat components."""
    flat = flat_specs(node)
    return flat[0] if len(flat) == 1 else tuple(flat)


def spec_before(op: str, spec: Any, taken: Any) -> Any:
    """The `element_spec` of the elements that an op takes; None where it cannot be told from that of those it gives.

    Args:
        op: The op, without its version.
        spec: The `element_spec` of what it gives.
        taken: The op that makes what it takes.
    """
    if op in UNCHANGED:
        return spec
    if op in ("BatchDataset", "ParallelBatchDataset"):
        return tf.nest.map_structure(lambda part: part._unbatch(), spec)
    dense = all(isinstance(part, tf.TensorSpec) for part in tf.nest.flatten(spec))
    return tf.nest.pack_sequence_as(spec, flat_specs(taken)) if op in REGROUPED and dense else None
