"""How many elements and bytes a batch holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def measurer(batched: bool) -> Callable[[Any], tuple[int, int]]:
    """A function from what a dataset yields to its elements and its bytes.

    Args:
        batched: Whether it yields batches; an element is then a row of the first component, otherwise everything.
    """

    def measure(batch: Any) -> tuple[int, int]:
        parts = _parts(batch)
        rows = _rows(parts[0]) if batched and parts else 1
        return rows, sum(_bytes(part) for part in parts)

    return measure


def _parts(batch: Any) -> list[Any]:
    """The tensors of a nested structure; ragged and sparse ones stay whole."""
    if isinstance(batch, tf.Tensor):
        return [batch]
    if isinstance(batch, tuple | list):
        return [part for item in batch for part in _parts(item)]
    if isinstance(batch, dict):
        return [part for item in batch.values() for part in _parts(item)]
    return [batch]


def _rows(part: Any) -> int:
    if hasattr(part, "nested_row_splits"):
        return int(part.nrows())
    if hasattr(part, "dense_shape"):
        return int(part.dense_shape[0])
    shape: Any = getattr(part, "shape", ())
    return int(shape[0]) if len(shape) else 1


def _bytes(part: Any) -> int:
    if hasattr(part, "nested_row_splits"):
        return sum(_bytes(tensor) for tensor in (part.flat_values, *part.nested_row_splits))
    if hasattr(part, "dense_shape"):
        return sum(_bytes(tensor) for tensor in (part.indices, part.values, part.dense_shape))
    if not isinstance(part, tf.Tensor):
        return int(getattr(part, "nbytes", 0))
    if part.dtype == tf.string:
        return int(tf.reduce_sum(tf.strings.length(part)).numpy())
    if part.dtype in (tf.variant, tf.resource):
        return 0
    return int(part.shape.num_elements()) * int(part.dtype.size)
