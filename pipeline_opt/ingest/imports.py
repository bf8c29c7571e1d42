"""Parts of a serialized graph brought back to life: tensors, datasets and functions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_opt.build.traced import Traced, inlined
from pipeline_opt.ingest.graph import bare, python_name
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
structure = lazy_module("tensorflow.python.data.util.structure")
ops = lazy_module("tensorflow.python.framework.ops")
context = lazy_module("tensorflow.python.eager.context")
to_graph = lazy_module("tensorflow.python.framework.function_def_to_graph")


def made(definition: Any, tensors: Sequence[str], given: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    """Run a part of a graph now.

    Args:
        definition: The `GraphDef`.
        tensors: The names of what is wanted.
        given: Tensors that stand for some of the graph's own, by the names of their ops.

    Returns:
        The tensors wanted: values, datasets' variants, handles of tables and variables made for them.
    """
    part, used = _needed(definition, tensors, given or {})
    given = {name: value for name, value in (given or {}).items() if name in used}
    register(part.library)

    def run() -> Any:
        graph = ops.get_default_graph()
        feeds = {f"{name}:0": graph.capture(value) for name, value in given.items()}
        return tf.graph_util.import_graph_def(
            part, input_map=feeds, return_elements=list(map(_output, tensors)), name=""
        )

    # Called as a `tf.function`, each would count as one more retracing, of which TensorFlow warns.
    return tuple(tf.function(run, autograph=False).get_concrete_function()())


def register(library: Any) -> None:
    """Iterators look for functions in TensorFlow's context; what is not there is gone as soon as its first owner is."""
    for function in library.function:
        context.context().add_function_def(function)


def _output(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _needed(definition: Any, tensors: Sequence[str], given: Mapping[str, Any]) -> tuple[Any, set[str]]:
    """The part of a graph that some tensors need, and the names of its ops.

    What is given stands as placeholders, which the import replaces.
    """
    nodes = {node.name: node for node in definition.node}
    wanted, seen = [bare(name) for name in tensors], set()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            wanted += [] if name in given else [bare(i) for i in nodes[name].input]
    part = tf.compat.v1.GraphDef(versions=definition.versions, library=definition.library)
    for node in definition.node:
        if node.name in given and node.name in seen:
            part.node.append(_placeholder(node.name, given[node.name].dtype))
        elif node.name in seen:
            part.node.append(copy.deepcopy(node))
    return part, seen


def _placeholder(name: str, dtype: Any) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = dtype.as_datatype_enum
    return node


def loaded_function(library: Any, name: str, captured: Sequence[Any], takes: Any, gives: Any = None) -> Traced:
    """A function of a graph's library.

    Args:
        library: The library.
        name: The function's name in it.
        captured: What it takes beside the element: tensors and handles.
        takes: The `element_spec` of what it takes.
        gives: That of what it gives; flat components with the shapes that the graph knows, where None.
    """
    register(library)
    function = next(f for f in library.function if f.signature.name == name)
    definition, flat_names = to_graph.function_def_to_graph_def(function)
    definition.library.CopyFrom(library)
    names = [f"{argument.name}:0" for argument in function.signature.input_arg]
    outputs = [flat_names[function.ret[result.name]] for result in function.signature.output_arg]
    shapes = [spec.shape for spec in structure.get_flat_tensor_specs(gives)] if gives is not None else []

    def call(*flat: Any) -> Any:
        graph = ops.get_default_graph()
        given = dict(zip(names, [*flat, *map(graph.capture, captured)], strict=True))
        results = inlined(definition, given, outputs)
        # What a table looks up, say, has no static shape in a graph that was imported.
        for result, shape in zip(results, shapes, strict=False):
            result.set_shape(shape)
        return results

    specs = structure.get_flat_tensor_specs(takes)
    concrete = tf.function(call, input_signature=specs, autograph=False).get_concrete_function()
    if gives is None:
        flat = tuple(tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in concrete.outputs)
        gives = flat[0] if len(flat) == 1 else flat
    return Traced(concrete, takes, gives, None, python_name(name) or "lambda")
