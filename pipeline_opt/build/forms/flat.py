"""The form `flat`: the rows of a batch end to end, where each of them is a sequence."""

from __future__ import annotations

from typing import Any

from pipeline_opt.build.forms.form import Derived, Refused
from pipeline_opt.build.forms.values import require
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
nest = lazy_module("tensorflow.python.data.util.nest")
structure = lazy_module("tensorflow.python.data.util.structure")


def flat(function: Traced) -> Derived | Refused:
    """A function from a batch to all that `unbatch` makes of its rows, as one sequence.

    Args:
        function: A function from a batch to a batch whose rows are of any length, as `ragged` gives it.

    Returns:
        The function, or why there is none. It fails where `unbatch` does: where the components of a row differ in length.
    """
    try:
        gives = nest.map_structure(_flat_spec, function.gives)
    except ValueError as error:
        return Refused(f"{function.label} gives rows that are no sequences: {error}")

    def whole(*tensors: Any) -> list[Any]:
        joined = _end_to_end(function(*_arguments(function, tensors)))
        return list(structure.to_tensor_list(gives, joined))

    specs = structure.get_flat_tensor_specs(function.takes)
    concrete = tf.function(whole, input_signature=specs, autograph=False).get_concrete_function()
    rounding = function.rounding if isinstance(function, Derived) else ()
    return Derived(concrete, function.takes, gives, None, f"flat_{function.label}", rounding, row_by_row=False)


def _arguments(function: Traced, tensors: Any) -> tuple[Any, ...]:
    element = structure.from_tensor_list(function.takes, list(tensors))
    return element if type(function.takes) is tuple else (element,)


def _flat_spec(spec: Any) -> Any:
    """The spec of a component whose rows are end to end.

    Raises:
        ValueError: Its rows are none that could be.
    """
    if isinstance(spec, tf.RaggedTensorSpec) and spec.shape.rank == 2:
        return tf.TensorSpec([None], spec.dtype)
    inner = spec.shape[2:] if isinstance(spec, tf.TensorSpec) and (spec.shape.rank or 0) > 1 else None
    if inner is None or not inner.is_fully_defined() or 0 in inner:
        raise ValueError(str(spec))
    return tf.TensorSpec([None, *inner], spec.dtype)


def _end_to_end(batch: Any) -> Any:
    parts = nest.flatten(batch)
    lengths = [_lengths(part) for part in parts]
    same = [require(other == lengths[0], "components of a row differ in length") for other in lengths[1:]]
    with tf.control_dependencies(same):
        return nest.pack_sequence_as(batch, [_joined(part) for part in parts])


def _lengths(part: Any) -> Any:
    """The length of each row; of rows that are all as long, one."""
    return part.row_lengths() if isinstance(part, tf.RaggedTensor) else tf.shape(part, tf.int64)[1]


def _joined(part: Any) -> Any:
    if isinstance(part, tf.RaggedTensor):
        return tf.identity(part.values)
    return tf.reshape(part, [-1, *part.shape[2:]])
