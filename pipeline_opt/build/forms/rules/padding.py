"""Ops that fill tensors up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.facts import Sum
from pipeline_opt.build.forms.values import (
    Dense,
    Ragged,
    Same,
    Unliftable,
    Value,
    entries_of,
    require,
    stacked,
    static,
    sum_of,
)
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def pad(call: Call) -> Sequence[Value]:
    """Values before and after those along each axis."""
    value, paddings, filler = *call.inputs[:2], call.parameters(2)
    if isinstance(value, Ragged):
        if call.op.type == "MirrorPad":
            raise Unliftable("it mirrors along an axis whose length differs between elements")
        return [_pad_rows(value, entries_of(paddings), filler[0] if filler else _nothing(value.dtype))]
    if not isinstance(paddings, Same):
        raise Unliftable("how far it fills up differs between elements, though their shape does not")
    none = tf.zeros([1, 2], paddings.dtype)
    around = tf.concat([none, paddings.tensor], 0)
    return [Dense(call.again(stacked(value, call.rows), around, *filler)[0])]


def _pad_rows(value: Ragged, paddings: Any, filler: Any) -> Value:
    frame = value.compact
    inner = [[int(static(entry)) for entry in pair] for pair in paddings[1:]]
    if any(number for pair in inner for number in pair):
        frame = frame.like(tf.pad(frame.values, [[0, 0], *inner], constant_values=filler))
    before, after = paddings[0]
    if not isinstance(before, Same) or before.known is None:
        raise Unliftable("how far it fills up before the values differs between elements")
    known, ahead = sum_of(after), int(before.known)
    total = sum_of(frame.lengths).plus(known).plus(Sum(ahead))
    checks = [] if known.low >= 0 else [require(after.tensor >= 0, "paddings below 0")]
    with tf.control_dependencies(checks):
        if total.known is not None and not ahead:
            return Dense(frame.padded(tf.constant(total.known, tf.int64), filler))
        lengths = frame.lengths.tensor + ahead + tf.cast(after.tensor, tf.int64)
    return _moved(frame, ahead, Dense(lengths, total), filler)


def _moved(frame: Ragged, ahead: int, lengths: Dense, filler: Any) -> Value:
    """Rows with `ahead` fillers before their values, and fillers behind them up to their new lengths."""
    zeros = tf.zeros_like(lengths.tensor)
    found = tf.raw_ops.RaggedRange(starts=zeros, limits=lengths.tensor, deltas=tf.constant(1, tf.int64))
    made = Ragged(found.rt_dense_values, lengths, splits=found.rt_nested_splits)
    places = made.values - ahead
    outside = (places < 0) | (places >= tf.gather(frame.lengths.tensor, made.row_ids))
    total = tf.shape(frame.values, tf.int64)[0]
    index = tf.where(outside, total, tf.gather(frame.row_starts, made.row_ids) + places)
    one = tf.fill(tf.concat([[1], tf.shape(frame.values)[1:]], 0), tf.cast(filler, frame.dtype))
    filled = made.like(tf.gather(tf.concat([frame.values, one], 0), index))
    known = None if lengths.sum is None else lengths.sum.known
    return filled if known is None else filled.dense(tf.constant(known, tf.int64))


def ensure_shape(call: Call) -> Sequence[Value]:
    """A check of the shape, after which it is known."""
    (value,) = call.inputs
    wanted = tf.TensorShape(call.attr("shape"))
    if isinstance(value, Ragged):
        if wanted.rank is None:
            return [value]
        frame = value.compact
        made = frame.like(tf.ensure_shape(frame.values, [None, *wanted[1:]]))
        return [made if wanted[0] is None else made.dense(tf.constant(wanted[0], tf.int64))]
    tensor = stacked(value, call.rows)
    return [Dense(tensor if wanted.rank is None else tf.ensure_shape(tensor, [None, *wanted]))]


def _nothing(dtype: Any) -> Any:
    return tf.constant("" if dtype == tf.string else 0, dtype)


RULES: Final = {
    "Pad": Rule(pad),
    "PadV2": Rule(pad),
    "MirrorPad": Rule(pad),
    "EnsureShape": Rule(ensure_shape),
}
