"""Ops that reduce, count, order and accumulate along axes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.rules.arithmetic import times
from pipeline_opt.build.forms.values import Dense, Parts, Ragged, Same, Unliftable, Value, stacked, static
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

_VARIES: Final = "it works along an axis whose length differs between elements"


def reduce(call: Call) -> Sequence[Value]:
    """A sum, mean, largest value and so on along axes."""
    value, axes = call.inputs[0], _axes(call.inputs[1], call.inputs[0])
    keep = call.attr("keep_dims")
    if isinstance(value, Parts) and call.op.type == "Prod" and axes == [0] and value.array.ndim == 1 and not keep:
        return [functools.reduce(times, value.array)]
    if isinstance(value, Ragged):
        inner = [axis for axis in axes if axis]
        frame = value.compact
        made = frame.like(_reduced(call, frame.values, inner)) if inner else frame
        return [Dense(_across(call, made, keep, inner))] if 0 in axes else [made]
    return [Dense(_reduced(call, stacked(value, call.rows), [axis + 1 for axis in axes]))]


def _reduced(call: Call, tensor: Any, axes: Sequence[int]) -> Any:
    dtype = call.op.inputs[1].dtype
    return call.again(tensor, tf.constant(list(axes), dtype))[0]


def _across(call: Call, value: Ragged, keep: bool, inner: Sequence[int]) -> Any:
    """Reduced along the axis whose length differs between rows."""
    kind, dtype = call.op.type, value.dtype
    if kind == "Sum" or (kind == "Mean" and dtype.is_floating and not inner):
        found = tf.math.unsorted_segment_sum(value.values, value.row_ids, call.rows)
        if kind == "Mean":
            count = tf.cast(value.lengths.tensor, dtype)
            found /= tf.reshape(count, tf.concat([[-1], tf.ones([tf.rank(found) - 1], tf.int32)], 0))
        return found[:, tf.newaxis] if keep else found
    filler = _neutral(kind, dtype)
    return _reduced(call, value.padded(tf.constant(-1, tf.int64), tf.constant(filler, dtype)), [1])


def _neutral(kind: str, dtype: Any) -> Any:
    """What rows are filled up with so that a reduction stays as it is."""
    match kind:
        case "All" | "Any":
            return kind == "All"
        case "Prod":
            return 1
        case "Max":
            return -np.inf if dtype.is_floating else dtype.min
        case "Min":
            return np.inf if dtype.is_floating else dtype.max
    raise Unliftable(_VARIES)


def arg_reduce(call: Call) -> Sequence[Value]:
    """The place of the largest or smallest value."""
    value, (axis,) = call.inputs[0], _axes(call.inputs[1], call.inputs[0])
    if isinstance(value, Ragged) and axis == 0:
        raise Unliftable(_VARIES)
    if isinstance(value, Ragged):
        frame = value.compact
        return [frame.like(call.again(frame.values, tf.constant(axis, call.op.inputs[1].dtype))[0])]
    return [Dense(call.again(stacked(value, call.rows), tf.constant(axis + 1, call.op.inputs[1].dtype))[0])]


def accumulate(call: Call) -> Sequence[Value]:
    """Sums or products so far."""
    value, (axis,) = call.inputs[0], _axes(call.inputs[1], call.inputs[0])
    if isinstance(value, Dense):
        return [Dense(call.again(value.tensor, tf.constant(axis + 1, call.op.inputs[1].dtype))[0])]
    if not isinstance(value, Ragged) or axis:
        raise Unliftable(_VARIES)
    exclusive, frame = call.attr("exclusive"), value.compact
    if call.op.type != "Cumsum" or call.attr("reverse") or not value.dtype.is_integer or value.shape.rank != 1:
        raise Unliftable(_VARIES)
    # Whole numbers: what came before a row is taken off again, without loss.
    before = tf.cumsum(frame.values, exclusive=True)
    first = tf.gather(tf.concat([before, tf.zeros([1], value.dtype)], 0), frame.row_starts)
    so_far = before - tf.gather(first, frame.row_ids)
    return [frame.like(so_far if exclusive else so_far + frame.values)]


def bincount(call: Call) -> Sequence[Value]:
    """How often each number occurs."""
    value, size = call.inputs[:2]
    _, weights = call.parameters(1)
    if value.shape.rank != 1 or not isinstance(size, Same) or weights.shape.as_list() != [0]:
        raise Unliftable("it weighs what it counts, or counts along several axes")
    binary = call.attr("binary_output")
    if not isinstance(value, Ragged):
        counts = call.again(stacked(value, call.rows), size.tensor, weights)[0]
        counts.set_shape([None, size.known])
        return [Dense(counts)]
    frame = value.compact
    made = tf.raw_ops.RaggedBincount(
        splits=frame.row_splits,
        values=frame.values,
        size=size.tensor,
        weights=weights,
        binary_output=binary,
    )
    made.set_shape([None, size.known])
    return [Dense(made)]


def last_axis(call: Call) -> Sequence[Value]:
    """An op along the last axis of any number of them."""
    value, tensors = call.inputs[0], call.parameters(1)
    if isinstance(value, Ragged):
        if value.shape.rank == 1:
            raise Unliftable(_VARIES)
        frame = value.compact
        return [frame.like(made) for made in call.again(frame.values, *tensors)]
    if not value.shape.rank:
        raise Unliftable("the rank of its input is not known")
    return [Dense(made) for made in call.again(stacked(value, call.rows), *tensors)]


def one_hot(call: Call) -> Sequence[Value]:
    """A 1 at the place of each number."""
    value, (depth, on, off) = call.inputs[0], call.parameters(1)
    axis = call.attr("axis")
    if isinstance(value, Ragged):
        if axis == 0:
            raise Unliftable(_VARIES)
        frame = value.compact
        return [frame.like(tf.one_hot(frame.values, depth, on, off, axis))]
    return [Dense(tf.one_hot(stacked(value, call.rows), depth, on, off, axis + 1 if axis >= 0 else axis))]


def reverse(call: Call) -> Sequence[Value]:
    """The values along axes in reverse order."""
    value = call.inputs[0]
    axes = _axes(call.inputs[1], value)
    if not isinstance(value, Ragged):
        return [Dense(tf.reverse(stacked(value, call.rows), [axis + 1 for axis in axes]))]
    inner = [axis for axis in axes if axis]
    frame = value.compact
    made = frame.like(tf.reverse(frame.values, inner)) if inner else frame
    if 0 not in axes:
        return [made]
    ends = tf.gather(made.row_splits, made.row_ids + 1)
    return [made.like(tf.gather(made.values, ends - 1 - made.places))]


def _axes(value: Value, of: Value) -> list[int]:
    if of.shape.rank is None:
        raise Unliftable("the rank of its input is not known")
    return [int(axis) % of.shape.rank for axis in np.reshape(static(value), [-1])] if of.shape.rank else []


RULES: Final = {
    **{kind: Rule(reduce, rounds=True) for kind in ("Sum", "Mean", "Prod", "EuclideanNorm", "Max", "Min")},
    **{kind: Rule(reduce) for kind in ("All", "Any")},
    **{kind: Rule(arg_reduce) for kind in ("ArgMax", "ArgMin")},
    **{kind: Rule(accumulate, rounds=True) for kind in ("Cumsum", "Cumprod")},
    **{kind: Rule(last_axis, rounds=True) for kind in ("Softmax", "LogSoftmax", "RFFT", "IRFFT", "FFT", "IFFT")},
    **{kind: Rule(last_axis) for kind in ("TopKV2",)},
    "DenseBincount": Rule(bincount, rounds=True),
    "OneHot": Rule(one_hot),
    "ReverseV2": Rule(reverse),
}
