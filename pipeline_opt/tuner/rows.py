"""Whether a pipeline's elements are batches, and how many examples are in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline_opt.lazy import lazy_module
from pipeline_opt.order.position import end
from pipeline_opt.plan import Plan

tf = lazy_module("tensorflow")


def is_batched(plan: Plan, element_spec: Any) -> bool:
    """Whether elements are batches: as the plan says, or, where it does not, as all have a first axis of any length."""
    said = end(plan).batched
    return all(map(_is_batch, tf.nest.flatten(element_spec))) if said is None else said


def counter(plan: Plan, element_spec: Any) -> Callable[[Any], int]:
    """The function that tells how many examples an element holds."""
    return rows_of if is_batched(plan, element_spec) else lambda _: 1


def rows_of(element: Any) -> int:
    """Rows in a batch: the length of its first axis; 1 for what has none, a dataset say."""
    shape = getattr(next(iter(tf.nest.flatten(element)), None), "shape", None)
    return int(shape[0]) if shape is not None and shape.rank else 1


def _is_batch(spec: Any) -> bool:
    shape = getattr(spec, "shape", None)
    return shape is not None and bool(shape.rank) and shape[0] is None
