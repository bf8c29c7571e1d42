"""`tf.train.Example`s, parsed a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.values import (
    Dense,
    Ragged,
    Same,
    Unliftable,
    Value,
    of_splits,
    parts,
    require,
    row_lengths,
    stacked,
    static,
)
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


class _Keys(NamedTuple):
    """The features that an op parses, by kind."""

    sparse: list[bytes]
    dense: list[bytes]
    ragged: list[bytes]


def parse_example(call: Call) -> Sequence[Value]:
    """One example to its features: those of a length of their own as rows, whatever they are to become."""
    serialized, names = call.inputs[:2]
    keys = _Keys(*(list(np.reshape(static(value), [-1])) for value in call.inputs[2:5]))
    if serialized.shape.rank != 0 or names.shape.rank != 1 or names.shape[0] != 0:
        raise Unliftable("it parses several examples of an element, or is given their names")
    every = [*keys.sparse, *keys.dense, *keys.ragged]
    if len(set(every)) < len(every):
        raise Unliftable("it parses a feature twice")
    shapes = [tf.TensorShape(shape) for shape in call.attr("dense_shapes")]
    varying = [bool(shape.rank) and shape[0] is None for shape in shapes]
    return _given(call, keys, shapes, varying, _parsed(call, keys, shapes, varying))


class _Parsed(NamedTuple):
    dense: dict[bytes, Any]
    rows: dict[bytes, Ragged]


def _parsed(call: Call, keys: _Keys, shapes: Sequence[Any], varying: Sequence[bool]) -> _Parsed:
    defaults = call.inputs[5:]
    if not all(isinstance(value, Same) for value in defaults):
        raise Unliftable("a default value differs between elements")
    fixed = [i for i, varies in enumerate(varying) if not varies]
    types = [tensor.dtype for tensor in call.op.outputs]
    sparse, dense = len(keys.sparse), len(keys.dense)
    long = [key for key, varies in zip(keys.dense, varying, strict=True) if varies]
    long_types = [types[3 * sparse + i] for i, varies in enumerate(varying) if varies]
    in_rows = [*keys.sparse, *long, *keys.ragged]
    first = 3 * sparse + dense
    row_types = [*types[sparse : 2 * sparse], *long_types, *types[first : first + len(keys.ragged)]]
    made = tf.raw_ops.ParseExampleV2(
        serialized=stacked(call.inputs[0], call.rows),
        names=tf.constant([], tf.string),
        sparse_keys=tf.constant([], tf.string),
        dense_keys=tf.constant([keys.dense[i] for i in fixed], tf.string),
        ragged_keys=tf.constant(in_rows, tf.string),
        dense_defaults=[value.tensor for i, value in enumerate(defaults) if i in fixed and isinstance(value, Same)],
        num_sparse=0,
        sparse_types=[],
        ragged_value_types=row_types,
        ragged_split_types=[tf.int64] * len(in_rows),
        dense_shapes=[shapes[i] for i in fixed],
    )
    rows = [of_splits(*pair) for pair in zip(made.ragged_values, made.ragged_row_splits, strict=True)]
    found = dict(zip([keys.dense[i] for i in fixed], made.dense_values, strict=True))
    return _Parsed(found, dict(zip(in_rows, rows, strict=True)))


def _given(call: Call, keys: _Keys, shapes: Sequence[Any], varying: Sequence[bool], found: _Parsed) -> list[Value]:
    """What the op gives for one example, in its order."""
    rows = found.rows
    given: list[Value] = [_numbered(rows[key]) for key in keys.sparse]
    given += [rows[key] for key in keys.sparse]
    given += [parts([rows[key].lengths], tf.int64) for key in keys.sparse]
    for key, shape, varies in zip(keys.dense, shapes, varying, strict=True):
        given.append(_sequence(rows[key], shape[1:]) if varies else Dense(found.dense[key]))
    given += [rows[key] for key in keys.ragged]
    # A single example has no row splits that say anything.
    ends = call.op.outputs[len(given) :]
    return [*given, *(Same(tf.zeros([0], tensor.dtype)) for tensor in ends)]


def _numbered(values: Ragged) -> Ragged:
    """The indices of the values of each row."""
    return Ragged(values.places[:, tf.newaxis], values.lengths, splits=values.row_splits, numbered=True)


def _sequence(values: Ragged, inner: Any) -> Ragged:
    """A feature of several values for each step."""
    if not inner.rank:
        return values
    width = inner.num_elements()
    lengths = values.lengths.tensor
    whole = require(lengths % width == 0, "a feature has no whole number of steps")
    with tf.control_dependencies([whole]):
        steps = row_lengths(lengths // width)
    return Ragged(tf.reshape(values.values, [-1, *inner]), steps)


RULES: Final = {"ParseExampleV2": Rule(parse_example)}
