"""How many elements and bytes a batch holds; asked once a step, so it has to take microseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from math import prod
from typing import Any

from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def measurer(batched: bool) -> Callable[[Any], tuple[int, int]]:
    """A function from what a dataset yields to its elements and its bytes.

    Args:
        batched: Whether it yields batches; an element is then a row of the first component, otherwise everything.
    """

    def measure(batch: Any) -> tuple[int, int]:
        parts = list(_parts(batch))
        rows = _rows(parts[0]) if batched and parts else 1
        return rows, sum(map(_bytes, parts))

    return measure


def _parts(batch: Any) -> Iterator[Any]:
    """The tensors of a nested structure; ragged and sparse ones stay whole."""
    if isinstance(batch, tuple | list):
        for item in batch:
            yield from _parts(item)
    elif isinstance(batch, dict):
        for item in batch.values():
            yield from _parts(item)
    else:
        yield batch


def _form(part: Any) -> str:
    """What kind of component a part is."""
    kind: Any = type(part)
    return _form_of_class(kind)


@cache
def _form_of_class(kind: Any) -> str:
    """Looked up once, as asking TensorFlow's classes what they are takes long."""
    if hasattr(kind, "nested_row_splits"):
        return "ragged"
    if hasattr(kind, "dense_shape"):
        return "sparse"
    return "tensor" if issubclass(kind, tf.Tensor) else "other"


def _rows(part: Any) -> int:
    form = _form(part)
    if form == "ragged":
        return int(part.nrows())
    shape: Any = part.dense_shape.numpy() if form == "sparse" else getattr(part, "shape", ())
    return int(shape[0]) if len(shape) else 1


def _bytes(part: Any) -> int:
    form = _form(part)
    if form == "ragged":
        return sum(map(_bytes, (part.flat_values, *part.nested_row_splits)))
    if form == "sparse":
        return sum(map(_bytes, (part.indices, part.values, part.dense_shape)))
    if form == "other":
        return int(getattr(part, "nbytes", 0))
    if part.dtype == tf.string:
        return int(tf.raw_ops.StringLength(input=part).numpy().sum())
    if part.dtype in (tf.variant, tf.resource):
        return 0
    return int(prod(part.shape) * part.dtype.size)
