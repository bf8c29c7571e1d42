"""What a tensor of a per-element function is in a batch: one for all rows, one a row, or one a row of a length of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from pipeline_opt.build.forms.facts import LONGEST, Sum, unknown
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

SMALL: Final = 64
"""Whole numbers in a tensor whose entries are followed one by one."""


class Unliftable(Exception):
    """An op cannot be computed for a batch; the message says why."""


@dataclass(frozen=True, eq=False)
class Same:
    """A tensor that is the same for all rows."""

    tensor: Any

    @cached_property
    def known(self) -> Any:
        """Its value as an array, where it is known now."""
        return tf.get_static_value(self.tensor)

    @property
    def shape(self) -> Any:
        """The shape of an element."""
        return self.tensor.shape

    @property
    def dtype(self) -> Any:
        """The type of its values."""
        return self.tensor.dtype


@dataclass(frozen=True, eq=False)
class Dense:
    """A tensor of one shape for each row: stacked along a first axis.

    Args:
        tensor: Of shape (rows, *shape).
        sum: What is known of it, where it is one whole number a row.
    """

    tensor: Any
    sum: Sum | None = None

    @property
    def shape(self) -> Any:
        """The shape of an element."""
        return self.tensor.shape[1:]

    @property
    def dtype(self) -> Any:
        """The type of its values."""
        return self.tensor.dtype


@dataclass(frozen=True, eq=False)
class Sparse:
    """A sparse tensor of each row, as it is handed on: its indices, values and shape, as three tensors."""

    indices: Ragged
    values: Ragged
    dense_shape: Parts

    @property
    def shape(self) -> Any:
        """Not known to ops: none of them works on it."""
        return tf.TensorShape(None)

    @property
    def dtype(self) -> Any:
        """As tf.data hands it on."""
        return tf.variant


Scalar = Same | Dense
"""A tensor of rank 0."""


@dataclass(frozen=True, eq=False)
class Parts:
    """A small tensor of whole numbers, such as a shape, of which some entries are the same for all rows.

    Args:
        array: Its entries, an array of `Scalar`.
        dtype: Their type.
    """

    array: Any
    dtype: Any

    @property
    def shape(self) -> Any:
        """The shape of an element."""
        return tf.TensorShape(self.array.shape)


@dataclass(frozen=True, eq=False)
class Ragged:
    """A tensor whose first axis has a length of its own in each row.

    Args:
        values: The values of all rows, of shape (total, *inner).
        lengths: How many each row has: int64, with what is known of them.
        starts: Where in `values` each row starts, int64 of shape (rows,); None where one follows the other and none
            is left out.
        splits: Where rows start and the last one ends, where that is computed already.
        numbered: Whether the values of each row are 0, 1, 2 and so on.
        filler: The one value that all of them are, of shape (), where there is only one.
        longer: The tensor of which each row is cut to at most `cut` values, where that is what it is.
        cut: That number.
    """

    values: Any
    lengths: Dense
    starts: Any = None
    splits: Any = None
    numbered: bool = False
    filler: Any = None
    longer: Ragged | None = None
    cut: int = 0

    @property
    def shape(self) -> Any:
        """The shape of an element, its first length unknown."""
        return tf.TensorShape([None]).concatenate(self.values.shape[1:])

    @property
    def dtype(self) -> Any:
        """The type of its values."""
        return self.values.dtype

    @cached_property
    def row_splits(self) -> Any:
        """Where rows start and the last one ends, int64 of shape (rows + 1,), of a tensor without gaps."""
        if self.splits is not None:
            return self.splits
        return tf.concat([tf.zeros([1], tf.int64), tf.cumsum(self.lengths.tensor)], 0)

    @cached_property
    def row_starts(self) -> Any:
        """Where each row starts, int64 of shape (rows,)."""
        return self.row_splits[:-1] if self.starts is None else self.starts

    @cached_property
    def row_ids(self) -> Any:
        """The row of each value, int64, of a tensor without gaps."""
        total = tf.shape(self.values, tf.int64)[0]
        found = tf.raw_ops.UpperBound(
            sorted_inputs=self.row_splits[tf.newaxis], values=tf.range(total)[tf.newaxis], out_type=tf.int64
        )
        return found[0] - 1

    @cached_property
    def places(self) -> Any:
        """The place of each value in its row, int64, of a tensor without gaps."""
        return tf.range(tf.shape(self.values, tf.int64)[0]) - tf.gather(self.row_splits, self.row_ids)

    @cached_property
    def compact(self) -> Ragged:
        """The same without gaps between its rows."""
        if self.starts is None:
            return self
        found = tf.raw_ops.RaggedRange(
            starts=self.starts, limits=self.starts + self.lengths.tensor, deltas=tf.constant(1, tf.int64)
        )
        values = tf.gather(self.values, found.rt_dense_values)
        return Ragged(values, self.lengths, splits=found.rt_nested_splits)

    def like(self, values: Any) -> Ragged:
        """Other values in the same rows; of a tensor without gaps."""
        made = Ragged(values, self.lengths, splits=self.row_splits)
        # The partition is the same, and so is what has been computed of it.
        made.__dict__.update({k: v for k, v in self.__dict__.items() if k in ("row_ids", "places", "row_splits")})
        return made

    def dense(self, length: Any) -> Dense:
        """The same as a tensor of one shape, where all rows have one length.

        Args:
            length: That length, int64; a row that has another one is an error when the batch is computed.
        """
        compact = self.compact
        with tf.control_dependencies([all_equal(self.lengths, length)]):
            inner = tf.shape(compact.values, tf.int64)[1:]
            rows = tf.shape(self.lengths.tensor, tf.int64)
            shape = tf.concat([rows, tf.reshape(length, [1]), inner], 0)
            tensor = tf.reshape(compact.values, shape)
        tensor.set_shape([None, tf.get_static_value(length), *compact.values.shape[1:]])
        return Dense(tensor)

    def padded(self, length: Any, filler: Any) -> Any:
        """Its rows filled up to a length, or to the longest of them where it is -1; longer ones are cut.

        Returns:
            A tensor of shape (rows, length, *inner).
        """
        known = tf.get_static_value(tf.cast(length, tf.int64))
        # Padding cuts what is too long itself.
        compact = (self.longer if self.longer is not None and known == self.cut else self).compact
        inner = compact.values.shape[1:].as_list()
        shape = tf.stack(
            [tf.constant(-1, tf.int64), tf.cast(length, tf.int64), *[-1 if n is None else n for n in inner]]
        )
        made = tf.raw_ops.RaggedTensorToTensor(
            shape=shape,
            values=compact.values,
            default_value=tf.cast(filler, compact.values.dtype),
            row_partition_tensors=[compact.row_splits],
            row_partition_types=["ROW_SPLITS"],
        )
        made.set_shape([None, None if known is None or known < 0 else known, *inner])
        return made


Value = Same | Dense | Parts | Ragged | Sparse


def rank_of(value: Value) -> int:
    """The rank of an element.

    Raises:
        Unliftable: It is not known.
    """
    if value.shape.rank is None:
        raise Unliftable("the rank of an input is not known")
    return int(value.shape.rank)


def tensors_of(value: Value) -> list[Any]:
    """The tensors that a value is made of."""
    match value:
        case Same() | Dense():
            return [value.tensor]
        case Ragged():
            return [value.values]
        case Parts():
            return [entry.tensor for entry in value.array.flat]
        case Sparse():
            return tensors_of(value.values)


def all_equal(lengths: Dense, length: Any) -> Any:
    """An op that fails unless all rows have a length."""
    if lengths.sum is not None and lengths.sum.known is not None and lengths.sum.known == tf.get_static_value(length):
        return tf.no_op()
    return require(lengths.tensor == length, "rows of different lengths cannot be put into one batch")


def require(condition: Any, message: str) -> Any:
    """An op that fails where a condition does not hold for a row; cheaper than those of `tf.debugging`."""
    return tf.raw_ops.Assert(condition=tf.reduce_all(condition), data=[tf.constant(message)])


def row_lengths(tensor: Any, most: int = LONGEST) -> Dense:
    """Lengths of rows, int64, of which nothing is known but that they are lengths."""
    return Dense(tf.cast(tensor, tf.int64), unknown(0, most))


def of_splits(values: Any, splits: Any, most: int = LONGEST) -> Ragged:
    """Rows given by where they start."""
    splits = tf.cast(splits, tf.int64)
    return Ragged(values, row_lengths(splits[1:] - splits[:-1], most), splits=splits)


def of_row_ids(values: Any, ids: Any, rows: Any) -> Ragged:
    """Rows given by the row of each value, in rising order."""
    wanted = tf.range(tf.cast(rows, tf.int64) + 1)[tf.newaxis]
    ids = tf.cast(ids, tf.int64)[tf.newaxis]
    return of_splits(values, tf.raw_ops.LowerBound(sorted_inputs=ids, values=wanted, out_type=tf.int64)[0])


def constant(number: Any, dtype: Any) -> Same:
    """A number that is known."""
    return Same(tf.constant(number, dtype))


def parts(entries: Any, dtype: Any) -> Value:
    """A tensor of entries that are scalars: `Same` if all of them are."""
    array = np.empty(np.shape(entries), object)
    array[...] = entries
    flat = list(array.flat)
    if not all(isinstance(entry, Same) for entry in flat):
        return Parts(array, dtype)
    known = [entry.known for entry in flat]
    if all(number is not None for number in known):
        return Same(tf.constant(np.array(known).reshape(array.shape), dtype))
    return Same(tf.reshape(tf.stack([entry.tensor for entry in flat]), array.shape))


def entries_of(value: Value) -> Any:
    """The entries of a small tensor of whole numbers one by one, as an array of scalars.

    Raises:
        Unliftable: It is not small, or its shape is not known.
    """
    if isinstance(value, Parts):
        return value.array
    shape = value.shape
    if isinstance(value, Ragged | Sparse) or not shape.is_fully_defined() or shape.num_elements() > SMALL:
        raise Unliftable("it is given a shape or an index whose own shape differs between elements")
    if isinstance(value, Same) and value.known is not None:
        each: Sequence[Any] = [constant(number, value.dtype) for number in value.known.flat]
    elif isinstance(value, Same):
        each = [Same(part) for part in tf.unstack(tf.reshape(value.tensor, [-1]), shape.num_elements())]
    elif shape.rank == 0:
        each = [value]
    else:
        flat = tf.reshape(value.tensor, [-1, shape.num_elements()])
        each = [Dense(part) for part in tf.unstack(flat, shape.num_elements(), axis=1)]
    array = np.empty(len(each), object)
    array[:] = each
    return array.reshape(shape.as_list())


def sum_of(value: Scalar) -> Sum:
    """What is known of a whole number."""
    if isinstance(value, Same):
        return _any(value.dtype) if value.known is None else Sum(int(value.known))
    if value.sum is None:
        # Kept, so that a number is equal to itself wherever it is met.
        object.__setattr__(value, "sum", _any(value.dtype))
    assert value.sum is not None
    return value.sum


def _any(dtype: Any) -> Sum:
    return unknown(int(dtype.min), int(dtype.max))


def known_or(value: Sum, tensor: Any) -> Scalar:
    """A whole number of each row, or of all of them if it can be only one."""
    value = value.within(int(tensor.dtype.min), int(tensor.dtype.max))
    return Dense(tensor, value) if value.known is None else constant(value.known, tensor.dtype)


def stacked(value: Value, rows: Any) -> Any:
    """A tensor of shape (rows, *shape).

    Raises:
        Unliftable: Its length differs between rows.
    """
    match value:
        case Dense():
            return value.tensor
        case Parts():
            flat = [stacked(entry, rows) for entry in value.array.flat]
            return tf.reshape(tf.stack(flat, axis=1), [-1, *value.array.shape])
        case Same():
            shape = tf.concat([tf.reshape(tf.cast(rows, tf.int32), [1]), tf.shape(value.tensor)], 0)
            made = tf.broadcast_to(value.tensor, shape)
            made.set_shape([None, *value.shape])
            return made
    raise Unliftable("it needs tensors of one shape, and the length of one of them differs between elements")


def static(value: Value) -> Any:
    """The array that a value is known to be.

    Raises:
        Unliftable: It is not known before the batch is.
    """
    if isinstance(value, Same) and value.known is not None:
        return value.known
    raise Unliftable("an axis, a size or an index that it is given is not a constant")
