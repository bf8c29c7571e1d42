"""A function's graph while it is being changed: who makes a tensor, who takes it, and how to put other ops in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Final

import numpy as np

from pipeline_opt.build.purity import PYTHON, is_stateful
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
context = lazy_module("tensorflow.python.eager.context")
op_registry = lazy_module("tensorflow.python.framework.op_def_registry")

PASSING: Final = ("Identity", "StopGradient", "PreventGradient", "Snapshot")
"""Ops that give what they take."""
_HARMLESS: Final = ("Assert", "Placeholder", "_Arg", "_Retval")


def tensor_name(name: str) -> str:
    """A node's input as the full name of a tensor: `DecodeJpeg` is `DecodeJpeg:0`."""
    return name if ":" in name or name.startswith("^") else f"{name}:0"


def node_name(name: str) -> str:
    """The node that makes a tensor, or that a control input names."""
    return name.removeprefix("^").partition(":")[0]


def data_inputs(node: Any) -> list[str]:
    """The full names of the tensors that a node takes."""
    return [tensor_name(name) for name in node.input if not name.startswith("^")]


class Draft:
    """A copy of a function's graph that can be changed, and then made a function of the same elements again.

    Args:
        function: The function; it is not changed.
    """

    def __init__(self, function: Traced) -> None:
        self.function = function
        self.results = list(function.results)
        self.library = [copy.deepcopy(inner) for inner in function.graph_def.library.function]
        self.nodes: dict[str, Any] = {node.name: copy.deepcopy(node) for node in function.graph_def.node}
        self._new: dict[str, Any] = {}
        self._prune()

    def finished(self) -> Traced:
        """The function with the graph as it is now, without what is of no use any more."""
        self._prune()
        graph_def = type(self.function.graph_def)()
        graph_def.versions.CopyFrom(self.function.graph_def.versions)
        graph_def.library.function.extend(self.library)
        graph_def.node.extend(self.nodes.values())
        register(self.library)
        return self.function.edited(graph_def, self.results)

    def _prune(self) -> None:
        """Leave out what neither leads to a result nor does anything, as TensorFlow does when it runs a function."""
        doing = [op.name for op in self.function.concrete.graph.control_outputs]
        places = [name for name, node in self.nodes.items() if node.op == "Placeholder"]
        useful = ancestors(self.nodes, [*map(node_name, self.results), *doing, *places])
        self.nodes = {name: node for name, node in self.nodes.items() if name in useful}
        for node in self.nodes.values():
            node.attr.pop("_class", None)

    def acts(self, node: Any) -> bool:
        """Whether a node, or a function that it calls, has a state, or does something besides giving its result.

        Assertions and calls as such do not count, although TensorFlow marks them as stateful.
        """
        called = {value.func.name for value in node.attr.values() if value.HasField("func")}
        called |= {function.name for value in node.attr.values() for function in value.list.func}
        if not called:
            return _has_state(node.op)
        library = {function.signature.name: function for function in self.library}
        inner = [library[name].node_def for name in called if name in library]
        return len(inner) < len(called) or any(self.acts(child) for nodes in inner for child in nodes)

    def takers(self, tensor: str) -> list[tuple[Any, int]]:
        """The nodes that take a tensor, each with the place among its inputs."""
        return [
            (node, place)
            for node in self.nodes.values()
            for place, given in enumerate(node.input)
            if tensor_name(given) == tensor
        ]

    def maker(self, tensor: str) -> Any:
        """The node that makes a tensor."""
        return self.nodes[node_name(tensor)]

    def origin(self, tensor: str) -> str:
        """The tensor behind nodes that give what they take."""
        while (node := self.maker(tensor)).op in PASSING:
            tensor = data_inputs(node)[0]
        return tensor

    def constant(self, tensor: str) -> Any:
        """A tensor's value as an array, where it is the same for all elements and written in the graph; else None."""
        node = self.maker(self.origin(tensor))
        if node.op == "Pack" and not node.attr["axis"].i:
            parts = [self.constant(part) for part in data_inputs(node)]
            return None if any(part is None for part in parts) else np.stack(parts)
        return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None

    def traced(self, tensor: str) -> Any:
        """The symbolic tensor of that name, as it was when the function was traced, or what was put in: its shape and dtype."""
        found = self._new.get(tensor)
        return self.function.concrete.graph.get_tensor_by_name(tensor) if found is None else found

    def respecify(self, tensor: str, shape: Any, dtype: Any) -> None:
        """Note that an edit gives a tensor another shape or dtype."""
        self._new[tensor] = tf.TensorSpec(shape, dtype)

    def redirect(self, tensor: str, other: str, but: Collection[str] = ()) -> None:
        """Have all that take a tensor take another one, the nodes of the names `but` excepted."""
        for node, place in self.takers(tensor):
            if node.name not in but:
                node.input[place] = other
        self.results = [other if result == tensor else result for result in self.results]

    def release(self, name: str, heir: str) -> None:
        """Let what waited for a node without a state, and `heir`, wait for what it waited for."""
        awaited = [given for given in self.nodes[name].input if given.startswith("^")]
        add_controls(self.nodes[heir], awaited)
        for node in self.nodes.values():
            if f"^{name}" in node.input:
                node.input.remove(f"^{name}")
                add_controls(node, awaited)

    def insert(self, scope: str, make: Callable[..., Any], taken: Sequence[str]) -> list[str]:
        """Put in the ops that a Python function makes of tensors of this graph.

        Args:
            scope: The ops' names begin with it.
            make: The function: tensors to a tensor, or to a sequence of tensors.
            taken: The tensors' names.

        Returns:
            The names of the tensors that it gives.
        """
        specs = [tf.TensorSpec(known.shape, known.dtype) for known in map(self.traced, taken)]
        fragment = tf.function(make, input_signature=specs, autograph=False).get_concrete_function()
        scope = self._unused(scope)
        places = {tensor.op.name: name for tensor, name in zip(fragment.inputs, taken, strict=True)}
        definition = fragment.graph.as_graph_def()
        for node in definition.node:
            if node.name not in places:
                self._put(node, scope, places)
        known = {function.signature.name for function in self.library}
        self.library += [function for function in definition.library.function if function.signature.name not in known]
        given = {places.get(tensor.op.name, f"{scope}/{tensor.name}"): tensor for tensor in fragment.outputs}
        self._new |= {name: tensor for name, tensor in given.items() if name not in taken}
        return list(given)

    def _put(self, node: Any, scope: str, places: Mapping[str, str]) -> None:
        placed = copy.deepcopy(node)
        placed.name = f"{scope}/{node.name}"
        taken = [places.get(node_name(name)) or _under(scope, name) for name in node.input]
        placed.ClearField("input")
        placed.input.extend(taken)
        self.nodes[placed.name] = placed

    def _unused(self, scope: str) -> str:
        taken = {name.partition("/")[0] for name in self.nodes}
        return next(name for number in count() if (name := f"{scope}_{number}" if number else scope) not in taken)


def register(functions: Iterable[Any]) -> None:
    """Make functions that a graph calls known for good: else they are gone when what they were traced for is."""
    for function in functions:
        context.context().add_function_def(function)


def add_controls(node: Any, names: Sequence[str]) -> None:
    """Have a node wait for others, named as `^other`; control inputs come last."""
    node.input.extend(name for name in dict.fromkeys(names) if name not in node.input and name != f"^{node.name}")


def _under(scope: str, name: str) -> str:
    return f"^{scope}/{name[1:]}" if name.startswith("^") else f"{scope}/{name}"


def ancestors(nodes: Mapping[str, Any], names: Iterable[str]) -> set[str]:
    """Nodes and all that they take or wait for, by name."""
    found: set[str] = set()
    pending = [name for name in names if name in nodes]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += map(node_name, nodes[name].input)
    return found


def without_controls(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Nodes with only those inputs that are data and come from one of them."""
    bare = {}
    for name, node in nodes.items():
        bare[name] = type(node)(name=name, input=[i for i in data_inputs(node) if node_name(i) in nodes])
    return bare


def _has_state(kind: str) -> bool:
    """Whether an op has a state that counts; what the registry does not know may have one."""
    stateful = is_stateful(kind) or op_registry.get(kind) is None
    return (stateful and kind not in _HARMLESS) or kind in PYTHON
