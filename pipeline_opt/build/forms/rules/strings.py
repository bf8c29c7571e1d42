"""Ops that split, join and look up strings, whose results have lengths of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.values import (
    Dense,
    Ragged,
    Same,
    Unliftable,
    Value,
    constant,
    known_or,
    of_row_ids,
    of_splits,
    parts,
    require,
    row_lengths,
    stacked,
    static,
    sum_of,
)
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def split(call: Call) -> Sequence[Value]:
    """One string to its words: their places, the words, and the shape that holds them."""
    given, parameters = call.inputs[0], call.parameters(1)
    if not _is_one(given):
        raise Unliftable("it splits several strings of an element")
    lines = tf.reshape(stacked(given, call.rows), [-1])
    places, words, _ = call.again(lines, *parameters)
    found = of_row_ids(words, places[:, 0], call.rows)
    index = found.like(tf.stack([tf.zeros_like(places[:, 1]), places[:, 1]], axis=1))
    # The shape of nothing at all is [1, 0]: as wide as the words are many.
    return [index, found, parts([constant(1, tf.int64), found.lengths], tf.int64)]


def decode_raw(call: Call) -> Sequence[Value]:
    """The bytes of one string as numbers."""
    (given,) = call.inputs
    if given.shape.rank != 0:
        raise Unliftable("it decodes several strings of an element")
    lines, size = stacked(given, call.rows), call.op.outputs[0].dtype.size
    bytes_ = tf.cast(tf.strings.length(lines), tf.int64)
    whole = require(bytes_ % size == 0, "a string is no whole number of values")
    with tf.control_dependencies([whole]):
        joined = tf.strings.reduce_join(lines)
    return [Ragged(call.again(joined)[0], row_lengths(bytes_ // size))]


def decode_characters(call: Call) -> Sequence[Value]:
    """The characters of one string as numbers: where its row ends, and the characters."""
    (given,) = call.inputs
    if not _is_one(given):
        raise Unliftable("it decodes several strings of an element")
    splits, characters, *places = call.again(tf.reshape(stacked(given, call.rows), [-1]))
    found = of_splits(characters, splits)
    dtype = splits.dtype
    ends = parts([constant(0, dtype), known_or(sum_of(found.lengths), tf.cast(found.lengths.tensor, dtype))], dtype)
    return [ends, found, *(found.like(place) for place in places)]


def encode_characters(call: Call) -> Sequence[Value]:
    """Characters to strings, one character each, as `unicode_split` has them."""
    characters, splits = call.inputs
    if not isinstance(characters, Ragged) or not isinstance(splits, Ragged):
        raise Unliftable("it joins characters to strings of lengths that are not known")
    frame, ends = characters.compact, splits.compact
    if sum_of(ends.lengths) != sum_of(frame.lengths).plus(sum_of(constant(1, tf.int64))):
        raise Unliftable("it joins characters to strings of lengths that are not known")
    one_each = require(ends.values == tf.cast(ends.places, ends.dtype), "it joins several characters")
    with tf.control_dependencies([one_each]):
        count = tf.cast(tf.shape(frame.values, tf.int64)[0], ends.dtype)
    return [frame.like(call.again(frame.values, tf.range(count + 1))[0])]


def reduce_join(call: Call) -> Sequence[Value]:
    """The strings along axes joined."""
    value, axes = call.inputs
    rank = value.shape.rank
    if rank is None:
        raise Unliftable("the rank of its input is not known")
    wanted = [int(axis) % rank for axis in np.reshape(static(axes), [-1])]
    if isinstance(value, Ragged):
        if wanted != [0] or rank != 1 or call.attr("keep_dims"):
            raise Unliftable("it joins along an axis whose length differs between elements")
        found = value.compact
        joined = tf.raw_ops.UnsortedSegmentJoin(
            inputs=found.values, segment_ids=found.row_ids, num_segments=call.rows, separator=call.attr("separator")
        )
        return [Dense(joined)]
    return [Dense(call.again(stacked(value, call.rows), tf.constant([axis + 1 for axis in wanted], tf.int32))[0])]


def look_up(call: Call) -> Sequence[Value]:
    """Keys in a table."""
    table, keys, default = call.inputs
    if not isinstance(table, Same) or not isinstance(default, Same):
        raise Unliftable("its table, or what it gives for missing keys, differs between elements")
    if default.shape.rank != 0:
        raise Unliftable("its values are not scalars")
    if isinstance(keys, Ragged):
        frame = keys.compact
        return [frame.like(_found(call, table, frame.values, default))]
    return [Dense(_found(call, table, stacked(keys, call.rows), default))]


def table_size(call: Call) -> Sequence[Value]:
    """How many keys a table has: the same for all rows, as the table cannot change."""
    (table,) = call.inputs
    if not isinstance(table, Same):
        raise Unliftable("its table differs between elements")
    return [Same(call.again(table.tensor)[0])]


def _found(call: Call, table: Same, keys: Any, default: Same) -> Any:
    values = call.again(table.tensor, keys, default.tensor)[0]
    values.set_shape(keys.shape)
    return values


def ngrams(call: Call) -> Sequence[Value]:
    """Runs of neighbouring words of one row."""
    words, splits = call.inputs
    if not isinstance(words, Ragged) or splits.shape.rank != 1 or splits.shape[0] != 2:
        raise Unliftable("it is given several rows of an element")
    rows = words.compact
    given = stacked(splits, call.rows)
    whole = (given[:, 0] == 0) & (tf.cast(given[:, 1], tf.int64) == rows.lengths.tensor)
    with tf.control_dependencies([require(whole, "splits that are no one row")]):
        made, ends = call.again(rows.values, tf.cast(rows.row_splits, given.dtype))
    found = of_splits(made, ends)
    length = tf.cast(found.lengths.tensor, given.dtype)
    return [found, parts([constant(0, given.dtype), known_or(sum_of(found.lengths), length)], given.dtype)]


def _is_one(value: Value) -> bool:
    """Whether an element has one string, in one axis."""
    return bool(value.shape.rank == 1 and value.shape[0] == 1)


RULES: Final = {
    "StringSplit": Rule(split),
    "StringSplitV2": Rule(split),
    "DecodeRaw": Rule(decode_raw),
    "UnicodeDecode": Rule(decode_characters),
    "UnicodeDecodeWithOffsets": Rule(decode_characters),
    "UnicodeEncode": Rule(encode_characters),
    "ReduceJoin": Rule(reduce_join),
    "LookupTableFind": Rule(look_up),
    "LookupTableFindV2": Rule(look_up),
    "LookupTableSize": Rule(table_size),
    "LookupTableSizeV2": Rule(table_size),
    "StringNGrams": Rule(ngrams),
}
