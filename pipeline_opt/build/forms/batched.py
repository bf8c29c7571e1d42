"""The forms `batched`, `padded` and `ragged`: a function of one element as a function of a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_opt.build.forms.form import Derived, Refused
from pipeline_opt.build.forms.lifting import Lifting
from pipeline_opt.build.forms.values import Dense, Ragged, Same, Sparse, Unliftable, Value, require, stacked
from pipeline_opt.build.purity import purity_of_graph
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
nest = lazy_module("tensorflow.python.data.util.nest")
structure = lazy_module("tensorflow.python.data.util.structure")
dataset_ops = lazy_module("tensorflow.python.data.ops.dataset_ops")

Finish = Callable[[int, Value, Any], Any]
"""What a component of the results becomes: its number, its value, and the number of rows."""


def batched(function: Traced) -> Derived | Refused:
    """A function from a batch to what `ds.map(function).batch(...)` makes of its elements.

    The batch may have any size. An element of which TensorFlow says that it cannot be batched with the others is an
    error of the batch, too.

    Args:
        function: A function of one element.

    Returns:
        The function of a batch, or why there is none.
    """
    try:
        gives = nest.map_structure(lambda spec: spec._batch(None), function.gives)
    except (AttributeError, NotImplementedError) as error:
        return Refused(f"{function.label} gives something that cannot be batched: {error}")
    return _lifted(function, "batched", gives, lambda _, value, rows: _of_one_shape(value, rows))


def padded(function: Traced, padded_shapes: Any = None, padding_values: Any = None) -> Derived | Refused:
    """A function from a batch to what `ds.map(function).padded_batch(...)` makes of its elements.

    Args:
        function: A function of one element.
        padded_shapes: As in `tf.data.Dataset.padded_batch`.
        padding_values: The same.

    Returns:
        The function of a batch, or why there is none.
    """
    with tf.Graph().as_default():
        elements = dataset_ops._VariantDataset(tf.raw_ops.Placeholder(dtype=tf.variant, shape=[]), function.gives)
        try:
            batches = elements.padded_batch(2, padded_shapes, padding_values)
        except (TypeError, ValueError) as error:
            return Refused(f"{function.label}: TensorFlow does not pad what it gives: {error}")
        shapes = [tf.get_static_value(shape) for shape in nest.flatten(batches._padded_shapes)]
        values = [tf.get_static_value(value) for value in nest.flatten(batches._padding_values)]
        gives = batches.element_spec
    if any(shape is None for shape in shapes) or any(value is None for value in values):
        return Refused(f"{function.label}: padded_shapes or padding_values are not constants")
    return _lifted(
        function, "padded", gives, lambda number, value, rows: _filled_up(value, shapes[number], values[number], rows)
    )


def ragged(function: Traced) -> Derived | Refused:
    """A function from a batch to what `ds.map(function).ragged_batch(...)` makes of its elements.

    Args:
        function: A function of one element.

    Returns:
        The function of a batch, or why there is none.
    """
    try:
        gives = nest.map_structure(_ragged_spec, function.gives)
    except (AttributeError, NotImplementedError, ValueError) as error:
        return Refused(f"{function.label} gives rows that are not taken out of a ragged batch again: {error}")
    made = nest.flatten(gives)
    return _lifted(function, "ragged", gives, lambda number, value, rows: _of_any_length(value, made[number], rows))


def _lifted(function: Traced, form: str, gives: Any, finish: Finish) -> Derived | Refused:
    found = refusal(function)
    if found:
        return Refused(f"{function.label}: {found}")
    takes = nest.map_structure(lambda spec: spec._batch(None), function.takes)
    specs = structure.get_flat_tensor_specs(takes)
    rounding: dict[str, None] = {}

    def whole(*flat: Any) -> list[Any]:
        graph = function.concrete.graph
        rows = tf.shape(flat[0])[0]
        run = Lifting({f.signature.name: f for f in function.graph_def.library.function}, rows, rounding)
        outer = tf.compat.v1.get_default_graph()
        given: dict[str, Value] = {n: Dense(t) for n, t in zip(function.arguments, flat, strict=True)}
        given |= {n: Same(outer.capture(t)) for n, t in zip(function.captures, function.captured, strict=True)}
        results = run.run(graph, given, function.concrete.outputs)
        made = [finish(number, value, rows) for number, value in enumerate(results)]
        return [
            _as_given(tensor, spec) for tensor, spec in zip(made, structure.get_flat_tensor_specs(gives), strict=True)
        ]

    try:
        concrete = tf.function(whole, input_signature=specs, autograph=False).get_concrete_function()
    except Unliftable as error:
        return Refused(f"{function.label}: {error}")
    return Derived(concrete, takes, gives, None, f"{form}_{function.label}", tuple(rounding))


def _as_given(tensor: Any, spec: Any) -> Any:
    """A result with no more known of its shape than tf.data knows: the elements of both pipelines are of one spec."""
    if spec.dtype == tf.variant or tensor.shape.is_fully_defined() or spec.shape.as_list() == tensor.shape.as_list():
        return tensor
    if spec.shape.is_subtype_of(tensor.shape):
        tensor.set_shape(spec.shape)
        return tensor
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=spec.shape)


def refusal(function: Traced) -> str:
    """Why a function is not computed for a batch, whatever its ops; nothing if that is for its ops to say."""
    for number, spec in enumerate(nest.flatten(function.takes)):
        if not isinstance(spec, tf.TensorSpec):
            return f"component {number} of its elements is a {type(spec).__name__}, not a tensor"
        if not spec.shape.is_fully_defined():
            return f"component {number} of its elements has no fixed shape ({spec.shape}), so that they may not batch"
        if spec.dtype in (tf.variant, tf.resource):
            return f"component {number} of its elements is of type {spec.dtype.name}"
    for number, spec in enumerate(nest.flatten(function.gives)):
        if not isinstance(spec, tf.TensorSpec | tf.SparseTensorSpec):
            return f"component {number} of its results is a {type(spec).__name__}, not a tensor"
    judged = purity_of_graph(function.python_function or function, function.concrete.graph)
    return "" if judged.kind == "pure" else judged.evidence


def _of_one_shape(value: Value, rows: Any) -> Any:
    if isinstance(value, Sparse):
        return _stacked_sparse(value, rows)
    if isinstance(value, Ragged):
        # An empty batch is never made; of one that is not, all rows must be as long as the first.
        return value.dense(value.lengths.tensor[0]).tensor
    return stacked(value, rows)


def _ragged_spec(spec: Any) -> Any:
    """The spec of a component of a ragged batch.

    Raises:
        ValueError: Its rows could not be taken apart again as tensors (`ragged_rows.py`).
    """
    if isinstance(spec, tf.SparseTensorSpec):
        raise ValueError("sparse, of which a row would be as wide as the widest of its chunk")
    if not isinstance(spec, tf.TensorSpec) or spec.shape.is_fully_defined():
        if 0 in spec.shape:
            raise ValueError(f"of shape {spec.shape}, without any values")
        return spec._batch(None)
    if spec.shape.rank != 1:
        raise ValueError(f"of shape {spec.shape}, not vectors")
    return tf.RaggedTensorSpec([None, None], spec.dtype, 1, tf.int64)


def _of_any_length(value: Value, spec: Any, rows: Any) -> Any:
    """A component as `ragged_batch` hands it on: one whose length is not fixed as a ragged tensor."""
    if not isinstance(spec, tf.RaggedTensorSpec):
        return _of_one_shape(value, rows)
    if isinstance(value, Ragged):
        whole = value.compact
        made = tf.RaggedTensor.from_row_splits(whole.values, whole.row_splits, validate=False)
    else:
        made = tf.RaggedTensor.from_tensor(stacked(value, rows), ragged_rank=1)
    (tensor,) = structure.to_tensor_list(spec, made)
    return tensor


def _stacked_sparse(value: Sparse, rows: Any) -> Any:
    """One sparse tensor of all rows, as wide as the widest of them, as tf.data hands it on."""
    indices, values = value.indices.compact, value.values.compact
    where = tf.concat([indices.row_ids[:, tf.newaxis], indices.values], 1)
    widest = tf.reduce_max(stacked(value.dense_shape, rows), 0)
    shape = tf.concat([tf.cast(rows, tf.int64)[tf.newaxis], widest], 0)
    return tf.raw_ops.SerializeSparse(
        sparse_indices=where, sparse_values=values.values, sparse_shape=shape, out_type=tf.variant
    )


def _filled_up(value: Value, shape: Any, filler: Any, rows: Any) -> Any:
    """A component padded as `padded_batch` pads it: -1 is the longest of the batch, and a longer one is an error."""
    inner: Sequence[int] = shape[1:] if isinstance(value, Ragged) else shape
    if isinstance(value, Ragged):
        if shape[0] >= 0:
            fits = require(value.lengths.tensor <= int(shape[0]), "a row is longer than what it is padded to")
            with tf.control_dependencies([fits]):
                value = Ragged(value.values, Dense(tf.identity(value.lengths.tensor)), value.starts, value.splits)
        tensor, axes = value.padded(tf.constant(shape[0], tf.int64), tf.constant(filler, value.dtype)), 2
    else:
        tensor, axes = stacked(value, rows), 1
    lengths = tf.shape(tensor)[axes:]
    missing = [tf.constant(0) if n < 0 else int(n) - lengths[i] for i, n in enumerate(inner)]
    if all(tf.get_static_value(m) == 0 for m in missing) or not missing:
        return tensor
    paddings = [[0, 0]] * axes + [[0, m] for m in missing]
    made = tf.pad(tensor, paddings, constant_values=tf.constant(filler, tensor.dtype))
    made.set_shape([*tensor.shape[:axes], *(None if n < 0 else int(n) for n in inner)])
    return made
