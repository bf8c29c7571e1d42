"""What a form gives back: a function that computes the same in another way, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
nest = lazy_module("tensorflow.python.data.util.nest")


class Refused(NamedTuple):
    """There is no such form of a function; `reason` is a sentence for people that names the op."""

    reason: str


@dataclass(frozen=True, eq=False)
class Derived(Traced):
    """A function that computes what another one does, in another way.

    Args:
        rounding: The ops in it that may round floating-point numbers in another way; where there are none the results are the
            same bit for bit.
        row_by_row: Whether results have a row for each row of a batch.
    """

    rounding: tuple[str, ...] = ()
    row_by_row: bool = True

    def __call__(self, *elements: Any) -> Any:
        """Run it on a batch; results are of the batch's size where that is fixed."""
        given = super().__call__(*elements)
        rows = _rows(elements) if self.row_by_row else None
        return given if rows is None else nest.map_structure(lambda part: _with_rows(part, rows), given)


def _rows(elements: Any) -> int | None:
    """The size of a batch, where its shape says so: with `drop_remainder` every batch is of one size."""
    for part in nest.flatten(elements):
        shape = getattr(part, "shape", None)
        if shape is not None and shape.rank:
            return None if shape[0] is None else int(shape[0])
    return None


def _with_rows(part: Any, rows: int) -> Any:
    if isinstance(part, tf.SparseTensor):
        shape = tf.concat([tf.constant([rows], tf.int64), part.dense_shape[1:]], 0)
        return tf.SparseTensor(part.indices, part.values, shape)
    if isinstance(part, tf.RaggedTensor):
        part._set_shape([rows, *part.shape[1:]])
    if isinstance(part, tf.Tensor) and part.shape.rank:
        part.set_shape([rows, *part.shape[1:]])
    return part
