"""Ops that ask for shapes and change them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.facts import Sum
from pipeline_opt.build.forms.values import (
    Dense,
    Parts,
    Ragged,
    Same,
    Unliftable,
    Value,
    constant,
    entries_of,
    known_or,
    parts,
    rank_of,
    require,
    row_lengths,
    stacked,
    static,
    sum_of,
)
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

_FOLLOWED: Final = 8
"""Whole numbers put into one tensor that are followed one by one: as many as a shape may have. More are mostly data."""


def shape(call: Call) -> Sequence[Value]:
    """The shape of an element, entry by entry."""
    return [shape_of(value, call.op.outputs[0].dtype) for value in call.inputs]


def shape_of(value: Value, dtype: Any) -> Value:
    """The shape of an element as a tensor."""
    known = value.shape
    if known.is_fully_defined():
        return constant(known.as_list(), dtype)
    if known.rank is None:
        raise Unliftable("the rank of its input is not known")
    if isinstance(value, Ragged):
        inner = tf.shape(value.values, dtype)[1:]
        each: list[Value] = [known_or(sum_of(value.lengths), tf.cast(value.lengths.tensor, dtype))]
        each += [constant(n, dtype) if n is not None else Same(inner[i]) for i, n in enumerate(known[1:].as_list())]
        return parts(each, dtype)
    assert isinstance(value, Dense | Same)
    dims = tf.shape(value.tensor, dtype)[isinstance(value, Dense) :]
    return parts([constant(n, dtype) if n is not None else Same(dims[i]) for i, n in enumerate(known.as_list())], dtype)


def size(call: Call) -> Sequence[Value]:
    """The number of values of an element."""
    (value,) = call.inputs
    dtype = call.op.outputs[0].dtype
    if isinstance(value, Ragged):
        inner = value.values.shape[1:]
        if not inner.is_fully_defined():
            raise Unliftable("two lengths of its input are not known")
        lengths = value.lengths
        if inner.num_elements() == 1:
            return [known_or(sum_of(lengths), tf.cast(lengths.tensor, dtype))]
        return [Dense(tf.cast(lengths.tensor, dtype) * inner.num_elements())]
    if value.shape.is_fully_defined():
        return [constant(value.shape.num_elements(), dtype)]
    if isinstance(value, Dense) and value.shape.rank is not None:
        return [Same(tf.reduce_prod(tf.shape(value.tensor, dtype)[1:]))]
    raise Unliftable("the rank of its input is not known")


def rank(call: Call) -> Sequence[Value]:
    """The rank of an element."""
    known = call.inputs[0].shape.rank
    if known is None:
        raise Unliftable("the rank of its input is not known")
    return [constant(known, tf.int32)]


def reshape(call: Call) -> Sequence[Value]:
    """Another shape with the same values."""
    value, wanted = call.inputs
    if isinstance(value, Ragged):
        return [_reshaped_rows(value, entries_of(wanted))]
    if isinstance(wanted, Same):
        shape = tf.concat([tf.reshape(tf.cast(call.rows, wanted.dtype), [1]), wanted.tensor], 0)
        return [Dense(call.again(stacked(value, call.rows), shape)[0])]
    raise Unliftable("it is given a shape that differs between elements")


def _reshaped_rows(value: Ragged, wanted: Any) -> Value:
    inner = value.values.shape[1:]
    if not inner.is_fully_defined() or wanted.ndim != 1 or not wanted.size:
        raise Unliftable("more than one length of what it reshapes is not known")
    first, rest = wanted[0], [int(static(entry)) for entry in wanted[1:]]
    width, new_width = inner.num_elements(), int(np.prod(rest))
    free = isinstance(first, Same) and first.known is not None and first.known == -1
    if -1 in rest or 0 in (width, new_width):
        raise Unliftable("which length it works out differs between elements")
    compact = value.compact
    if isinstance(first, Same) and not free:
        length = tf.cast(first.tensor, tf.int64)
        frame = compact if width == new_width else _rewidened(compact, width, new_width)
        dense = frame.dense(length).tensor
        tensor = tf.reshape(dense, tf.stack([tf.constant(-1, tf.int64), length, *rest]))
        tensor.set_shape([None, None if first.known is None else int(first.known), *rest])
        return Dense(tensor)
    made = compact if width == new_width else _rewidened(compact, width, new_width)
    if not free and sum_of(first) != sum_of(made.lengths):
        raise Unliftable("it is given a shape that differs between elements")
    return made.like(tf.reshape(made.values, [-1, *rest]))


def _rewidened(value: Ragged, width: int, new_width: int) -> Ragged:
    """The same values with other lengths, as each of them is of another size."""
    total = value.lengths.tensor * width
    fits = require(total % new_width == 0, "a row does not fit into that shape")
    with tf.control_dependencies([fits]):
        lengths = row_lengths(total // new_width)
    return Ragged(tf.reshape(value.values, [-1, new_width]), lengths)


def expand_dims(call: Call) -> Sequence[Value]:
    """One more axis."""
    value, axis = call.inputs[0], _axis(call.inputs[1], rank_of(call.inputs[0]) + 1)
    if isinstance(value, Ragged):
        return [_inside(value, lambda tensor: tf.expand_dims(tensor, _not_first(axis)))]
    return [Dense(tf.expand_dims(stacked(value, call.rows), axis + 1))]


def squeeze(call: Call) -> Sequence[Value]:
    """Without axes of length 1."""
    (value,) = call.inputs
    axes = [axis % rank_of(value) for axis in call.attr("squeeze_dims")]
    if not axes:
        if not value.shape.is_fully_defined():
            raise Unliftable("which axes it drops depends on lengths that are not known")
        axes = [axis for axis, length in enumerate(value.shape.as_list()) if length == 1]
    if isinstance(value, Ragged) and 0 not in axes:
        return [_inside(value, lambda tensor: tf.squeeze(tensor, axes))]
    if isinstance(value, Ragged):
        one = value.dense(tf.constant(1, tf.int64)).tensor
        return [Dense(tf.squeeze(one, [axis + 1 for axis in axes]))]
    return [
        Dense(tf.squeeze(stacked(value, call.rows), [axis + 1 for axis in axes]) if axes else stacked(value, call.rows))
    ]


def transpose(call: Call) -> Sequence[Value]:
    """Axes in another order."""
    value, order = call.inputs[0], [int(axis) % rank_of(call.inputs[0]) for axis in static(call.inputs[1])]
    if isinstance(value, Ragged):
        if order[0] != 0:
            raise Unliftable("it moves an axis whose length differs between elements")
        return [_inside(value, lambda tensor: tf.transpose(tensor, order))]
    return [Dense(tf.transpose(stacked(value, call.rows), [0, *(axis + 1 for axis in order)]))]


def pack(call: Call) -> Sequence[Value]:
    """Tensors stacked along a new axis."""
    dtype, ranks = call.op.outputs[0].dtype, {rank_of(value) for value in call.inputs}
    axis = call.attr("axis") % (max(ranks) + 1)
    few = len(call.inputs) <= _FOLLOWED and max(ranks) <= 1
    if dtype in (tf.int32, tf.int64) and axis == 0 and few and not call.ragged:
        return [_entries_packed(call, dtype)]
    if call.ragged:
        frame = _one_frame(call.inputs)
        return [frame.like(tf.stack([_values(value) for value in call.inputs], axis=_not_first(axis)))]
    return [Dense(tf.stack([stacked(value, call.rows) for value in call.inputs], axis=axis + 1))]


def _entries_packed(call: Call, dtype: Any) -> Value:
    try:
        return parts(np.stack([entries_of(value) for value in call.inputs]), dtype)
    except Unliftable:
        return Dense(tf.stack([stacked(value, call.rows) for value in call.inputs], axis=1))


def unpack(call: Call) -> Sequence[Value]:
    """The tensors along an axis."""
    (value,) = call.inputs
    axis, count = call.attr("axis") % rank_of(value), call.attr("num")
    if isinstance(value, Parts) and axis == 0:
        return [
            parts(value.array[place], value.dtype) if value.array.ndim > 1 else value.array[place]
            for place in range(count)
        ]
    if isinstance(value, Ragged):
        frame = value.compact
        return [frame.like(part) for part in tf.unstack(frame.values, count, axis=_not_first(axis))]
    return [Dense(part) for part in tf.unstack(stacked(value, call.rows), count, axis=axis + 1)]


def concat(call: Call) -> Sequence[Value]:
    """Tensors one after the other along an axis."""
    *values, place = call.inputs if call.op.type == "ConcatV2" else [*call.inputs[1:], call.inputs[0]]
    axis = _axis(place, rank_of(values[0]))
    if any(isinstance(value, Parts) for value in values) and axis == 0:
        return [parts(np.concatenate([entries_of(value) for value in values]), call.op.outputs[0].dtype)]
    if any(isinstance(value, Ragged) for value in values) and axis == 0:
        return [_rows_joined([as_rows(value, call.rows) for value in values])]
    if any(isinstance(value, Ragged) for value in values):
        frame = _one_frame(values)
        return [frame.like(tf.concat([_values(value) for value in values], axis))]
    return [_small(Dense(tf.concat([stacked(value, call.rows) for value in values], axis + 1)), values)]


def _small(made: Dense, values: Sequence[Value]) -> Value:
    """A few whole numbers entry by entry, where some are the same for all rows: they are mostly shapes and places."""
    if made.dtype not in (tf.int32, tf.int64) or made.shape.rank != 1 or not any(isinstance(v, Same) for v in values):
        return made
    few = made.shape[0] is not None and made.shape[0] <= _FOLLOWED
    return parts(np.concatenate([entries_of(v) for v in values]), made.dtype) if few else made


def as_rows(value: Value, rows: Any) -> Ragged:
    """A tensor of one shape as rows, all of the same length."""
    if isinstance(value, Ragged):
        return value
    tensor = stacked(value, rows)
    length, inner = tf.shape(tensor, tf.int64)[1], tf.shape(tensor, tf.int64)[2:]
    flat = tf.reshape(tensor, tf.concat([tf.constant([-1], tf.int64), inner], 0))
    flat.set_shape([None, *tensor.shape[2:]])
    known = tensor.shape[1]
    lengths = row_lengths(tf.repeat(length[tf.newaxis], rows))
    starts = tf.range(tf.cast(rows, tf.int64)) * length
    return Ragged(
        flat, Dense(lengths.tensor, None if known is None else Sum(known)) if known is not None else lengths, starts
    )


def _rows_joined(pieces: Sequence[Ragged]) -> Value:
    total = functools.reduce(Sum.plus, (sum_of(piece.lengths) for piece in pieces))
    if total.known is not None and len(pieces) == 2 and pieces[1].filler is not None:
        return Dense(pieces[0].padded(tf.constant(total.known, tf.int64), pieces[1].filler))
    sizes = [tf.shape(piece.values, tf.int64)[0] for piece in pieces]
    offsets = tf.cumsum(tf.stack(sizes), exclusive=True)
    starts = tf.stack([piece.row_starts for piece in pieces], axis=1) + offsets
    limits = starts + tf.stack([piece.lengths.tensor for piece in pieces], axis=1)
    found = tf.raw_ops.RaggedRange(
        starts=tf.reshape(starts, [-1]), limits=tf.reshape(limits, [-1]), deltas=tf.constant(1, tf.int64)
    )
    values = tf.gather(tf.concat([piece.values for piece in pieces], 0), found.rt_dense_values)
    splits = found.rt_nested_splits[:: len(pieces)]
    joined = Ragged(values, Dense(splits[1:] - splits[:-1], total), splits=splits)
    return joined if total.known is None else joined.dense(tf.constant(total.known, tf.int64))


def _one_frame(values: Sequence[Value]) -> Ragged:
    first = next(value for value in values if isinstance(value, Ragged))
    for value in values:
        if not isinstance(value, Ragged) or sum_of(value.lengths) != sum_of(first.lengths):
            raise Unliftable("it is not known that what it joins has the same length in each row")
    return first.compact


def _values(value: Value) -> Any:
    assert isinstance(value, Ragged)
    return value.compact.values


def split(call: Call) -> Sequence[Value]:
    """Parts of a tensor along an axis."""
    at = 0 if call.op.type == "Split" else 2
    value = call.inputs[1 if call.op.type == "Split" else 0]
    axis = _axis(call.inputs[at], rank_of(value))
    count = call.attr("num_split")
    sizes = count if call.op.type == "Split" else static(call.inputs[1])
    if isinstance(value, Ragged):
        frame = value.compact
        return [frame.like(part) for part in tf.split(frame.values, sizes, _not_first(axis), num=count)]
    return [Dense(part) for part in tf.split(stacked(value, call.rows), sizes, axis + 1, num=count)]


def fill(call: Call) -> Sequence[Value]:
    """A tensor of one value."""
    dims, value = call.inputs
    if isinstance(dims, Same):
        frame = tf.concat([tf.reshape(tf.cast(call.rows, dims.dtype), [1]), dims.tensor], 0)
        ones = [1] * dims.tensor.shape[0]
        return [Dense(tf.broadcast_to(tf.reshape(stacked(value, call.rows), [-1, *ones]), frame))]
    first, *inner = entries_of(dims)
    sizes = [int(static(entry)) for entry in inner]
    lengths = _as_lengths(first)
    if not isinstance(value, Same):
        raise Unliftable("both its shape and its value differ between elements")
    shape = tf.stack([tf.reduce_sum(lengths.tensor), *sizes])
    values = tf.fill(shape, value.tensor)
    values.set_shape([None, *sizes])
    return [Ragged(values, lengths, filler=None if sizes else value.tensor)]


def _as_lengths(first: Value) -> Dense:
    if not isinstance(first, Dense):
        raise Unliftable("it is given a shape that differs between elements in another axis than the first")
    known = sum_of(first)
    lengths = tf.cast(first.tensor, tf.int64)
    if known.low < 0:
        fits = require(lengths >= 0, "a length is below 0")
        with tf.control_dependencies([fits]):
            lengths = tf.identity(lengths)
    return Dense(lengths, known)


def tile(call: Call) -> Sequence[Value]:
    """The values again and again."""
    value, counts = call.inputs
    if isinstance(value, Ragged):
        numbers = [int(number) for number in static(counts)]
        if numbers[0] != 1:
            raise Unliftable("it repeats an axis whose length differs between elements")
        return [_inside(value, lambda tensor: tf.tile(tensor, numbers))]
    if not isinstance(counts, Same):
        raise Unliftable("how often it repeats the values differs between elements")
    return [Dense(tf.tile(stacked(value, call.rows), tf.concat([[1], tf.cast(counts.tensor, tf.int32)], 0)))]


def broadcast_to(call: Call) -> Sequence[Value]:
    """The values along more or longer axes."""
    value, wanted = call.inputs
    if not isinstance(wanted, Same) or isinstance(value, Ragged):
        raise Unliftable("it is given a shape that differs between elements")
    missing = wanted.tensor.shape[0] - rank_of(value)
    tensor = stacked(value, call.rows)[(slice(None), *[tf.newaxis] * missing, ...)]
    return [Dense(tf.broadcast_to(tensor, tf.concat([call.rows[tf.newaxis], tf.cast(wanted.tensor, tf.int32)], 0)))]


def number_range(call: Call) -> Sequence[Value]:
    """Whole numbers from one to another, each of which may differ between elements."""
    if call.op.outputs[0].dtype.is_floating:
        raise Unliftable("it counts in floating-point numbers, which round otherwise where several rows are counted")
    starts, limits, deltas = (stacked(value, call.rows) for value in call.inputs)
    found = tf.raw_ops.RaggedRange(starts=starts, limits=limits, deltas=deltas)
    first, last, step = call.inputs
    lengths = row_lengths(found.rt_nested_splits[1:] - found.rt_nested_splits[:-1])
    if isinstance(first, Same) and first.known == 0 and isinstance(step, Same) and step.known == 1:
        known = sum_of(last) if isinstance(last, Same | Dense) else None
        lengths = Dense(lengths.tensor, known if known is not None and known.low >= 0 else lengths.sum)
    return [Ragged(found.rt_dense_values, lengths, splits=found.rt_nested_splits)]


def bitcast(call: Call) -> Sequence[Value]:
    """The same bits as another type."""
    (value,) = call.inputs
    if isinstance(value, Ragged):
        if value.dtype.size != call.op.outputs[0].dtype.size:
            raise Unliftable("it changes an axis whose length differs between elements")
        return [_inside(value, lambda tensor: call.again(tensor)[0])]
    return [Dense(call.again(stacked(value, call.rows))[0])]


def _inside(value: Ragged, change: Any) -> Ragged:
    frame = value.compact
    return frame.like(change(frame.values))


def _not_first(axis: int) -> int:
    if axis == 0:
        raise Unliftable("it works along an axis whose length differs between elements")
    return axis


def _axis(value: Value, rank: int) -> int:
    return int(np.reshape(static(value), [])) % rank


RULES: Final = {
    "Shape": Rule(shape, always=True),
    "ShapeN": Rule(shape, always=True),
    "Size": Rule(size),
    "Rank": Rule(rank),
    "Reshape": Rule(reshape),
    "ExpandDims": Rule(expand_dims),
    "Squeeze": Rule(squeeze),
    "Transpose": Rule(transpose),
    "Pack": Rule(pack),
    "Unpack": Rule(unpack),
    "ConcatV2": Rule(concat),
    "Concat": Rule(concat),
    "Split": Rule(split),
    "SplitV": Rule(split),
    "Fill": Rule(fill),
    "Tile": Rule(tile),
    "BroadcastTo": Rule(broadcast_to),
    "Range": Rule(number_range),
    "Bitcast": Rule(bitcast),
}
