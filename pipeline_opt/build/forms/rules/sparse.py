"""Sparse tensors of one axis, as features of any length are parsed into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.values import (
    Dense,
    Parts,
    Ragged,
    Same,
    Sparse,
    Unliftable,
    Value,
    entries_of,
    require,
    sum_of,
)
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def to_dense(call: Call) -> Sequence[Value]:
    """`tf.sparse.to_dense` of a tensor in which no place before the last value is empty."""
    indices, shape, values = call.inputs[:3]
    rows = _rows(indices, values)
    (length,) = entries_of(shape)
    if sum_of(length) == sum_of(rows.lengths):
        return [rows]
    if not isinstance(length, Same):
        raise Unliftable("the shape that it fills differs between elements")
    wanted = tf.cast(length.tensor, tf.int64)
    fits = require(rows.lengths.tensor <= wanted, "a value lies outside of the shape")
    with tf.control_dependencies([fits]):
        return [Dense(rows.padded(tf.identity(wanted), call.parameters(3)[0]))]


def serialize(call: Call) -> Sequence[Value]:
    """A sparse tensor as tf.data hands it on."""
    indices, values, shape = call.inputs
    if not isinstance(indices, Ragged) or not isinstance(values, Ragged) or not isinstance(shape, Parts):
        raise Unliftable("it makes a sparse tensor of which the values are not those of one feature")
    _rows(indices, values)
    return [Sparse(indices, values, shape)]


def _rows(indices: Value, values: Value) -> Ragged:
    if not isinstance(indices, Ragged) or not isinstance(values, Ragged) or not indices.numbered:
        raise Unliftable("it is not known that its values lie one after the other")
    return values


RULES: Final = {"SparseToDense": Rule(to_dense), "SerializeSparse": Rule(serialize)}
