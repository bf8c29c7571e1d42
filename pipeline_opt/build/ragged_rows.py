"""Batches taken apart into rows that are tensors, also where their lengths differ."""

from __future__ import annotations

from typing import Any

from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
nest = lazy_module("tensorflow.python.data.util.nest")
slices = lazy_module("tensorflow.python.data.ops.from_sparse_tensor_slices_op")


def dense_rows(dataset: Any, name: str | None = None) -> Any:
    """The rows of batches; those of a ragged tensor are tensors, as they were before `ragged_batch`.

    `unbatch` would make ragged tensors of rank 0 of them, which are of another spec, and every row would cost a call more.

    Args:
        dataset: Batches of tensors and of ragged tensors of rank 2.
        name: A name for the dataset.
    """
    if not any(isinstance(spec, tf.RaggedTensorSpec) for spec in nest.flatten(dataset.element_spec)):
        return dataset.unbatch(name=name)
    parts = type(dataset.element_spec) is tuple
    return dataset.flat_map(lambda *batch: _rows(batch if parts else batch[0]), name=name)


def _rows(whole: Any) -> Any:
    """A dataset of the rows of one batch."""
    flat = nest.flatten(whole)
    ragged = [part for part in flat if isinstance(part, tf.RaggedTensor)]
    stacked = tuple(part for part in flat if not isinstance(part, tf.RaggedTensor))
    first = tf.data.Dataset.from_tensors(stacked or (ragged[0].row_lengths(),)).unbatch()
    rows = tf.data.Dataset.zip((first, *map(_pieces, ragged)))

    def put_together(dense: Any, *pieces: Any) -> Any:
        others, lengthy = iter(dense), iter(pieces)
        parts = [next(lengthy if isinstance(part, tf.RaggedTensor) else others) for part in flat]
        return nest.pack_sequence_as(whole, parts)

    # A function that only passes its arguments on is never called.
    return rows.map(put_together)


def _pieces(part: Any) -> Any:
    """A dataset of the rows of a ragged tensor.

    They are copied. `rebatch` would cut them from its values a third faster, but a row that is kept long, in a shuffle say, would
    keep the memory of its whole batch; and `unbatch` ends the process where a row of one shape has no values.
    """
    rows = slices._SparseTensorSliceDataset(part.to_sparse())
    return rows.map(lambda places, values, shape: values)
