"""Ops that take a part of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.rules.arithmetic import bounded, minus, zero
from pipeline_opt.build.forms.rules.shapes import as_rows
from pipeline_opt.build.forms.values import (
    SMALL,
    Dense,
    Parts,
    Ragged,
    Same,
    Scalar,
    Unliftable,
    Value,
    entries_of,
    of_row_ids,
    parts,
    require,
    row_lengths,
    stacked,
    static,
    sum_of,
)
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


@dataclass(frozen=True)
class Axis:
    """What is taken of one axis: `new`, `all`, `one` (at `begin`), or a `slice`; bounds that are None are open."""

    kind: str
    begin: Scalar | None = None
    end: Scalar | None = None
    stride: int = 1

    @property
    def varies(self) -> bool:
        """Whether it differs between rows."""
        return any(isinstance(bound, Dense) for bound in (self.begin, self.end))


def strided_slice(call: Call) -> Sequence[Value]:
    """A slice along each axis, as Python writes it."""
    value = call.inputs[0]
    if value.shape.rank is None:
        raise Unliftable("the rank of its input is not known")
    if call.same and not _is_small(value):
        return [Same(tensor) for tensor in call.again(*(part.tensor for part in call.inputs if isinstance(part, Same)))]
    axes = _axes(call, value.shape.rank)
    if isinstance(value, Parts) or (call.same and _is_small(value)):
        return [_entries(Parts(entries_of(value), value.dtype), axes)]
    return [sliced(value, axes, call.rows)]


def _is_small(value: Value) -> bool:
    """Whether it is a few whole numbers that are known: a shape, in most cases."""
    known = value.known if isinstance(value, Same) and value.dtype.is_integer else None
    return known is not None and known.size <= SMALL


def sliced(value: Value, axes: Sequence[Axis], rows: Any) -> Value:
    """What is taken of a tensor."""
    first = axes[0] if axes else Axis("all")
    rest = [axis for axis in axes[1:] if axis.kind != "new"]
    if any(axis.varies for axis in rest) or (first.kind == "new" and (len(axes) > 1 and axes[1].varies)):
        raise Unliftable("it takes a part that differs between elements along another axis than the first")
    if isinstance(value, Ragged):
        return _rows_sliced(value, first, axes[1:])
    if not first.varies:
        return Dense(_plain(stacked(value, rows), [Axis("all"), *axes]))
    if first.kind == "one":
        assert first.begin is not None
        taken = _at(as_rows(value, rows), first.begin)
        return Dense(_plain(taken, [Axis("all"), *axes[1:]]))
    return _rows_sliced(as_rows(value, rows), first, axes[1:])


def _rows_sliced(value: Ragged, first: Axis, rest: Sequence[Axis]) -> Value:
    if first.kind == "new":
        raise Unliftable("it adds an axis before one whose length differs between elements")
    if first.kind == "one":
        assert first.begin is not None
        return Dense(_plain(_at(value, first.begin), [Axis("all"), *rest]))
    if first.kind == "slice":
        value = _slice_of_rows(value, first)
    if all(axis.kind == "all" for axis in rest):
        return value
    frame = value.compact
    return frame.like(_plain(frame.values, [Axis("all"), *rest]))


def _at(value: Ragged, place: Scalar) -> Any:
    """The value at a place of each row; a place that a row does not have is an error."""
    place64, lengths = tf.cast(place.tensor, tf.int64), value.lengths.tensor
    place64 = tf.where(place64 < 0, place64 + lengths, place64)
    inside = (place64 >= 0) & (place64 < lengths)
    with tf.control_dependencies([require(inside, "slice index out of bounds")]):
        return tf.gather(value.values, value.row_starts + place64)


def _slice_of_rows(value: Ragged, axis: Axis) -> Ragged:
    if axis.stride != 1:
        return _strided_rows(value, axis)
    begin = zero() if axis.begin is None else bounded(axis.begin, value.lengths)
    end = value.lengths if axis.end is None else bounded(axis.end, value.lengths)
    if sum_of(begin).known == 0:
        lengths = end
    else:
        lengths = minus(end, begin)
        if sum_of(lengths).low < 0:
            lengths = row_lengths(tf.maximum(lengths.tensor, 0), sum_of(value.lengths).high)
    rows = tf.shape(value.lengths.tensor)
    taken = Dense(tf.broadcast_to(lengths.tensor, rows), sum_of(lengths))
    if sum_of(begin).known != 0:
        return Ragged(value.values, taken, value.row_starts + begin.tensor)
    known = axis.end.known if isinstance(axis.end, Same) else None
    longer = value if known is not None and known > 0 else None
    return Ragged(value.values, taken, value.row_starts, longer=longer, cut=int(known or 0))


def _strided_rows(value: Ragged, axis: Axis) -> Ragged:
    """Every second value, or all in reverse order, and the like."""
    if axis.begin is not None or axis.end is not None or axis.stride == 0:
        raise Unliftable("it takes every few values of a part whose length differs between elements")
    lengths, step = value.lengths.tensor, axis.stride
    count = (lengths + abs(step) - 1) // abs(step)
    starts = value.row_starts + (lengths - 1 if step < 0 else 0)
    found = tf.raw_ops.RaggedRange(starts=starts, limits=starts + count * step, deltas=tf.constant(step, tf.int64))
    known = value.lengths if step == -1 else row_lengths(count)
    return Ragged(tf.gather(value.values, found.rt_dense_values), known, splits=found.rt_nested_splits)


def _entries(value: Parts, axes: Sequence[Axis]) -> Value:
    index: list[Any] = []
    for axis in axes:
        begin, end = (None if b is None else int(static(b)) for b in (axis.begin, axis.end))
        if axis.kind == "one":
            index.append(begin)
        else:
            index.append(np.newaxis if axis.kind == "new" else slice(begin, end, axis.stride))
    taken = value.array[tuple(index)]
    return parts(taken, value.dtype) if isinstance(taken, np.ndarray) else taken


def _plain(tensor: Any, axes: Sequence[Axis]) -> Any:
    """A slice that is the same for all rows."""
    if all(axis.kind == "all" for axis in axes):
        return tensor
    index: list[Any] = []
    for axis in axes:
        begin, end = (None if bound is None else bound.tensor for bound in (axis.begin, axis.end))
        if axis.kind == "one":
            index.append(begin)
        elif axis.kind == "new":
            index.append(tf.newaxis)
        else:
            index.append(slice(begin, end, axis.stride))
    return tensor[tuple(index)]


def _axes(call: Call, rank: int) -> list[Axis]:
    """What is taken of each axis of a tensor of that rank."""
    begin, end, strides = (entries_of(value) for value in call.inputs[1:])
    masks = {name: call.attr(f"{name}_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    count = len(begin)
    used = sum(not _bit(masks["new_axis"], i) and not _bit(masks["ellipsis"], i) for i in range(count))
    axes: list[Axis] = []
    for i in range(count):
        if _bit(masks["ellipsis"], i):
            axes += [Axis("all")] * (rank - used)
        elif _bit(masks["new_axis"], i):
            axes.append(Axis("new"))
        elif _bit(masks["shrink_axis"], i):
            axes.append(Axis("one", begin[i]))
        else:
            first = None if _bit(masks["begin"], i) else begin[i]
            last = None if _bit(masks["end"], i) else end[i]
            stride = int(static(strides[i]))
            axes.append(Axis("all") if (first, last, stride) == (None, None, 1) else Axis("slice", first, last, stride))
    if not any(_bit(masks["ellipsis"], i) for i in range(count)):
        axes += [Axis("all")] * (rank - used)
    return axes


def _bit(mask: int, place: int) -> bool:
    return bool(mask >> place & 1)


def plain_slice(call: Call) -> Sequence[Value]:
    """`tf.slice`: where it begins, and how many along each axis, or -1 for all."""
    value, begin, size = call.inputs
    if not isinstance(value, Ragged):
        if not isinstance(begin, Same) or not isinstance(size, Same):
            raise Unliftable("where it begins or how much it takes differs between elements")
        first, count = (tf.concat([tf.constant([n], p.dtype), p.tensor], 0) for n, p in ((0, begin), (-1, size)))
        return [Dense(tf.slice(stacked(value, call.rows), first, count))]
    axes = []
    for first, count in zip(entries_of(begin), entries_of(size), strict=True):
        known = isinstance(count, Same) and count.known is not None
        if not known or isinstance(first, Dense) or first.known is None:
            raise Unliftable("where it begins and how much it takes are not constants")
        if int(count.known) < 0:
            axes.append(Axis("all") if int(first.known) == 0 else Axis("slice", first))
        else:
            end = Same(tf.constant(int(first.known) + int(count.known), first.dtype))
            axes.append(Axis("slice", first, end))
    if axes[0].kind != "all":
        raise Unliftable("it fails for elements that are shorter than what it takes, and slices of rows do not")
    return [sliced(value, axes, call.rows)]


def gather(call: Call) -> Sequence[Value]:
    """Values at places."""
    params, places = call.inputs[:2]
    axis = int(np.reshape(static(call.inputs[2]), [])) if len(call.inputs) > 2 else 0
    inner = call.attr("batch_dims") if call.op.type == "GatherV2" else 0
    rank = params.shape.rank
    if rank is None or places.shape.rank is None or inner < 0:
        raise Unliftable("the rank of an input is not known")
    axis %= rank
    if isinstance(params, Ragged):
        if axis == 0 and isinstance(places, Dense | Same) and places.shape.rank == 0:
            return [Dense(_at_or_fail(params, places))]
        if axis == 0 and isinstance(places, Ragged) and places.shape.rank == 1:
            return [_gather_rows(params, places)]
        if axis and isinstance(places, Same) and not inner:
            frame = params.compact
            return [frame.like(tf.gather(frame.values, places.tensor, axis=axis))]
        raise Unliftable("it takes values at fixed places of an axis whose length differs between elements")
    if isinstance(places, Ragged):
        frame = places.compact
        if axis or inner:
            raise Unliftable("it takes values along another axis than the first")
        if isinstance(params, Same):
            return [frame.like(tf.gather(params.tensor, frame.values))]
        return [_gather_rows(as_rows(params, call.rows), places)]
    if isinstance(params, Same):
        if axis or inner:
            raise Unliftable("it takes values along another axis than the first")
        return [Dense(tf.gather(params.tensor, stacked(places, call.rows)))]
    if isinstance(places, Same) and not inner:
        return [Dense(tf.gather(stacked(params, call.rows), places.tensor, axis=axis + 1))]
    tensors = stacked(params, call.rows), stacked(places, call.rows)
    return [Dense(tf.gather(*tensors, axis=axis + 1, batch_dims=inner + 1))]


def _at_or_fail(value: Ragged, place: Value) -> Any:
    assert isinstance(place, Same | Dense)
    with tf.control_dependencies([require(place.tensor >= 0, "indices below 0")]):
        return _at(value, place)


def _gather_rows(params: Ragged, places: Ragged) -> Ragged:
    """Values at places of the same row."""
    frame = places.compact
    index = tf.cast(frame.values, tf.int64)
    inside = (index >= 0) & (index < tf.gather(params.lengths.tensor, frame.row_ids))
    with tf.control_dependencies([require(inside, "indices out of bounds")]):
        return frame.like(tf.gather(params.values, tf.gather(params.row_starts, frame.row_ids) + index))


def where(call: Call) -> Sequence[Value]:
    """The places of what is true or not 0: as many in each row as there are."""
    (value,) = call.inputs
    if isinstance(value, Ragged):
        frame = value.compact
        if frame.values.shape.rank != 1:
            raise Unliftable("it looks for places in a tensor of more than one axis")
        found = tf.where(frame.values)[:, 0]
        ids = tf.gather(frame.row_ids, found)
        places = tf.gather(frame.places, found)[:, tf.newaxis]
        return [of_row_ids(places, ids, call.rows)]
    found = tf.where(stacked(value, call.rows))
    return [of_row_ids(found[:, 1:], found[:, 0], call.rows)]


RULES: Final = {
    "StridedSlice": Rule(strided_slice, always=True),
    "Slice": Rule(plain_slice),
    "Gather": Rule(gather),
    "GatherV2": Rule(gather),
    "Where": Rule(where),
}
