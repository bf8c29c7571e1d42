"""The form `looped`: a function of one element, called for one row of a batch after another, by one call of tf.data."""

from __future__ import annotations

from typing import Any

from pipeline_opt.build.forms.batched import refusal
from pipeline_opt.build.forms.form import Derived, Refused
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
nest = lazy_module("tensorflow.python.data.util.nest")
structure = lazy_module("tensorflow.python.data.util.structure")


def looped(function: Traced) -> Derived | Refused:
    """A function from a batch to what `ds.map(function).batch(...)` makes of its elements, by the same ops, row by row.

    It saves no work, but what tf.data takes for a call.

    Args:
        function: A function of one element.

    Returns:
        The function of a batch, or why there is none.
    """
    found = refusal(function) or next(filter(None, map(_unstackable, nest.flatten(function.gives))), "")
    if found:
        return Refused(f"{function.label}: {found}")
    takes, gives = (
        nest.map_structure(lambda spec: spec._batch(None), spec) for spec in (function.takes, function.gives)
    )
    wanted = list(structure.get_flat_tensor_specs(function.gives))

    def row(flat: Any) -> Any:
        element = structure.from_tensor_list(function.takes, list(flat))
        made = function(*(element if type(function.takes) is tuple else (element,)))
        return structure.to_tensor_list(function.gives, made)

    def whole(*flat: Any) -> Any:
        return tf.map_fn(row, list(flat), fn_output_signature=wanted, parallel_iterations=1)

    specs = structure.get_flat_tensor_specs(takes)
    concrete = tf.function(whole, input_signature=specs, autograph=False).get_concrete_function()
    return Derived(concrete, takes, gives, None, f"looped_{function.label}")


def _unstackable(spec: Any) -> str:
    if isinstance(spec, tf.TensorSpec) and spec.shape.is_fully_defined():
        return ""
    return f"it gives {spec}, whose rows may be of several shapes"
