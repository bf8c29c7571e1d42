"""How many elements and bytes a batch holds; asked once a step, so it has to take microseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from math import prod
from typing import Any

from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def measurer(spec: Any, batched: bool) -> Callable[[Any], tuple[int, int]]:
    """A function from what a dataset yields to its elements and its bytes.

    What the types already tell is worked out now: right after a wait, with cold caches, little costs as much as a lot elsewhere.

    Args:
        spec: The dataset's `element_spec`.
        batched: Whether it yields batches; an element is then a row of the first component, otherwise everything.
    """
    components = [(path, _size(part)) for path, part in _components(spec, ())]
    first = components[0][0] if batched and components else None

    def measure(batch: Any) -> tuple[int, int]:
        nbytes = 0
        for path, size in components:
            nbytes += size(_at(batch, path))
        return 1 if first is None else _rows(_at(batch, first)), nbytes

    return measure


Path = tuple[Any, ...]
"""Positions and keys that lead to a component of a nested structure."""


def _components(spec: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """The types in a nested structure, each with its path; ragged and sparse ones stay whole."""
    if isinstance(spec, tuple | list | dict):
        for key, part in spec.items() if isinstance(spec, dict) else enumerate(spec):
            yield from _components(part, (*path, key))
    else:
        yield path, spec


def _at(batch: Any, path: Path) -> Any:
    for key in path:
        batch = batch[key]
    return batch


def _size(spec: Any) -> Callable[[Any], int]:
    """How to find the bytes of a component of this type."""
    if not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None:
        return _bytes
    item, dims = _item_bytes(spec.dtype), spec.shape.as_list()
    if item is None or None in dims[1:]:
        return _bytes
    row = item * prod(dims[1:])
    if dims and dims[0] is None:
        return lambda part: int(part.shape[0]) * row
    fixed = row * prod(dims[:1])
    return lambda _part: fixed


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
    item = _item_bytes(part.dtype)
    if item is None:
        return int(tf.raw_ops.StringLength(input=part).numpy().sum())
    return int(prod(part.shape)) * item


@cache
def _item_bytes(dtype: Any) -> int | None:
    """Bytes of an item: None for a string, whose items differ, and 0 for what only stands for something elsewhere."""
    if dtype == tf.string:
        return None
    return 0 if dtype in (tf.variant, tf.resource) else int(dtype.size)
