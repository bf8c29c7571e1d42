"""A user's function as tf.data traced it: a graph that can be called, looked into, and edited."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from pipeline_opt.functions import Function
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
structure = lazy_module("tensorflow.python.data.util.structure")
ops = lazy_module("tensorflow.python.framework.ops")
structured_function = lazy_module("tensorflow.python.data.ops.structured_function")

_SCOPE: Final = "edited"


@dataclass(frozen=True, eq=False)
class Traced:
    """A function from one element to another, as a graph. Calling it, in a pipeline or at once, runs that graph.

    The graph takes and gives flat tensors, one for each component of an element, as tf.data's own ops do: a sparse or ragged
    component is a tensor of type variant.

    Args:
        concrete: The `tf.types.experimental.ConcreteFunction`, of flat tensors to flat tensors; what it captures (tables,
            variables, constants) are the live things themselves.
        takes: The `element_spec` of the elements that it takes.
        gives: The `element_spec` of those that it gives.
        python_function: The Python function that was traced, where it is known.
        label: Its name for people.
    """

    is_bound: ClassVar[bool] = True
    """Its keyword arguments were bound when it was traced."""

    concrete: Any
    takes: Any
    gives: Any
    python_function: Callable[..., Any] | None = None
    label: str = "function"

    @property
    def __name__(self) -> str:
        return self.label

    def __call__(self, *elements: Any) -> Any:
        """The function of an element; the parts of a tuple are arguments of their own."""
        element = elements if type(self.takes) is tuple else elements[0]
        flat = structure.to_tensor_list(self.takes, element)
        if ops.inside_function():
            given = self._put_in(self.graph_def, flat, self.results)
        else:
            made = self.concrete(*flat)
            given = list(made) if isinstance(made, list | tuple) else [made]
        return structure.from_tensor_list(self.gives, given)

    def _put_in(self, graph_def: Any, flat: Sequence[Any], results: Sequence[str]) -> list[Any]:
        """Put the ops of a graph that has this one's placeholders into the function that is being traced.

        A call of the function instead would keep TensorFlow from fusing a map and a batch in it where a table is made there.
        """
        graph = ops.get_default_graph()
        outside = [graph.capture(tensor) for tensor in self.captured]
        given = dict(zip((*self.arguments, *self.captures), (*flat, *outside), strict=True))
        return inlined(graph_def, given, results)

    @cached_property
    def graph_def(self) -> Any:
        """The graph as a `GraphDef`, with the library of the functions that it calls. Not to be changed: copy it."""
        return self.concrete.graph.as_graph_def()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the graph's placeholders for the element's components, as `args_0:0`."""
        return tuple(tensor.name for tensor in self._inputs[: len(self._inputs) - len(self.captured)])

    @property
    def captures(self) -> tuple[str, ...]:
        """The names of the graph's placeholders for what it captures, in the order of `captured`."""
        return tuple(tensor.name for tensor in self._inputs[len(self._inputs) - len(self.captured) :])

    @property
    def captured(self) -> tuple[Any, ...]:
        """The tensors and resource handles that it captures."""
        return tuple(self.concrete.captured_inputs)

    @property
    def results(self) -> tuple[str, ...]:
        """The names of the graph's tensors that it gives, one for each component."""
        return tuple(tensor.name for tensor in self.concrete.outputs)

    @property
    def _inputs(self) -> Sequence[Any]:
        return list(self.concrete.inputs)

    def edited(self, graph_def: Any, results: Sequence[str] | None = None, gives: Any = None) -> Traced:
        """The function with another graph, which has the same placeholders for its arguments and captures.

        Ops with side effects keep their order, as in any function that is traced.

        Args:
            graph_def: The other graph.
            results: The names of its tensors that are given; those of this function where None.
            gives: The `element_spec` of the elements that it gives then; that of this function where None.
        """
        specs = structure.get_flat_tensor_specs(self.takes)
        wanted = list(self.results if results is None else results)

        def imported(*flat: Any) -> Any:
            return self._put_in(graph_def, flat, wanted)

        concrete = tf.function(imported, input_signature=specs, autograph=False).get_concrete_function()
        given = self.gives if gives is None else gives
        return Traced(concrete, self.takes, given, self.python_function, self.label)


def inlined(graph_def: Any, given: Mapping[str, Any], wanted: Sequence[str]) -> list[Any]:
    """Put the ops of a graph into the one that is being traced.

    Args:
        graph_def: The graph to put in.
        given: Tensors that take the place of its placeholders, by the placeholders' names, as `args_0:0`.
        wanted: The names of its tensors to give.
    """
    body, taken = _without(graph_def, given)
    inner = [name for name in wanted if name not in given]
    feeds = {name: tensor for name, tensor in given.items() if name in taken}
    made = tf.graph_util.import_graph_def(body, input_map=feeds, return_elements=inner, name=_SCOPE)
    found = {**given, **dict(zip(inner, made, strict=True))}
    return [found[name] for name in wanted]


def _without(graph_def: Any, placeholders: Collection[str]) -> tuple[Any, set[str]]:
    """A copy of a graph without some of its placeholders, and those of them that its other ops take."""
    body, nodes = copy.deepcopy(graph_def), {name.partition(":")[0] for name in placeholders}
    del body.node[:]
    body.node.extend(node for node in graph_def.node if node.name not in nodes)
    gone = {f"loc:@{node}".encode() for node in nodes}
    for node in body.node:
        if "_class" in node.attr and not gone.isdisjoint(node.attr["_class"].list.s):
            # It asks to be on the device of a placeholder that is no longer there.
            del node.attr["_class"]
    taken = {name if ":" in name else f"{name}:0" for node in body.node for name in node.input}
    return body, taken & set(placeholders)


def traced(function: Function | Callable[..., Any], element_spec: Any) -> Traced:
    """Trace a function as `tf.data.Dataset.map` does.

    Args:
        function: The function.
        element_spec: The `element_spec` of the dataset that it is to be mapped over.

    Raises:
        Exception: Whatever the function raises while it is traced.
    """
    call = function.load() if isinstance(function, Function) else function
    if isinstance(call, Traced):
        return call
    return of_wrapper(
        structured_function.StructuredFunctionWrapper(call, "Dataset.map()", input_structure=element_spec)
    )


def of_wrapper(wrapper: Any) -> Traced:
    """What tf.data holds of a function that it has traced (`StructuredFunctionWrapper`)."""
    python = wrapper._func
    return Traced(wrapper.function, wrapper._input_structure, wrapper.output_structure, python, _label(python))


def _label(function: Callable[..., Any]) -> str:
    """A function's name; of a lambda, the place in its file."""
    label, code = Function.of(function).label, getattr(function, "__code__", None)
    return f"{label} at {Path(code.co_filename).name}:{code.co_firstlineno}" if label == "lambda" and code else label
