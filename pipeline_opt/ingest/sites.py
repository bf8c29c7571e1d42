"""Places in a dataset: an op of its graph, with the Python object that made it where there is one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline_opt.build.traced import Traced, of_wrapper
from pipeline_opt.errors import PlanError
from pipeline_opt.functions import Function
from pipeline_opt.ingest.graph import bare, constant, generators, serialized
from pipeline_opt.ingest.imports import loaded_function, made
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
dataset_ops = lazy_module("tensorflow.python.data.ops.dataset_ops")


class NotConstant(PlanError):
    """An argument of a dataset op that is found out only as the pipeline runs."""


@dataclass(frozen=True, eq=False)
class Graph:
    """The graph of one dataset.

    Args:
        definition: Its `GraphDef`, functions, tables and variables included.
    """

    definition: Any

    @classmethod
    def of(cls, dataset: Any) -> Graph:
        """Serialize a dataset.

        Raises:
            PlanError: It cannot be: it wraps an iterator, or holds more than 2 GB of constants.
        """
        return cls(serialized(dataset))

    @cached_property
    def nodes(self) -> Mapping[str, Any]:
        """Every op by its name."""
        return {node.name: node for node in self.definition.node}

    @cached_property
    def functions(self) -> Mapping[str, Any]:
        """Every `FunctionDef` by its name."""
        return {function.signature.name: function for function in self.definition.library.function}

    @cached_property
    def generators(self) -> frozenset[str]:
        """The names of the functions that make a dataset of a Python generator."""
        return generators(self.definition)

    @property
    def result(self) -> Any:
        """The op that gives the dataset."""
        end = next(node for node in self.definition.node if node.op == "_Retval")
        return self.nodes[bare(end.input[0])]


@dataclass(frozen=True, eq=False)
class Site:
    """A dataset inside another one.

    Args:
        graph: The graph of the whole.
        node: The op that makes this dataset.
        live: The Python object of this dataset, whose functions hold the live tables and variables; None where only the graph
            knows of it, in which they are copies.
    """

    graph: Graph
    node: Any
    live: Any = None

    @property
    def op(self) -> str:
        """The op's kind without its version, `ParallelMapDataset`."""
        return _unversioned(self.node.op)

    @cached_property
    def spec(self) -> Any:
        """The `element_spec`; of the flat components, where only the graph is known."""
        if self.live is not None:
            return self.live.element_spec
        shapes, types = self.node.attr["output_shapes"].list.shape, self._types
        flat = [tf.TensorSpec(tf.TensorShape(s), tf.as_dtype(t)) for s, t in zip(shapes, types, strict=True)]
        return flat[0] if len(flat) == 1 else tuple(flat)

    @property
    def _types(self) -> Any:
        return self.node.attr["output_types" if "output_types" in self.node.attr else "Toutput_types"].list.type

    @cached_property
    def _maker(self) -> Any:
        """The Python object that made the op; others stand for the same op, with another structure of its elements."""
        maker = self.live
        while len(inner := _inputs(maker)) == 1 and inner[0]._variant_tensor is maker._variant_tensor:
            maker = inner[0]
        return maker

    @property
    def is_wrapped(self) -> bool:
        """Whether another Python object stands for the one that made the op."""
        return self.live is not None and self._maker is not self.live

    @property
    def restructured(self) -> bool:
        """Whether elements have another structure than what the op makes of those before it."""
        if self.is_wrapped:
            return bool(self.live.element_spec != self._maker.element_spec)
        parts = self.spec if type(self.spec) is tuple else (self.spec,)
        flat = all(type(part) is tf.TensorSpec for part in parts)
        return self.live is not None and bool(self.inputs) and self.inputs[0].live is None and not flat

    @cached_property
    def inputs(self) -> tuple[Site, ...]:
        """The datasets that it takes from."""
        nodes = [self.graph.nodes[bare(name)] for name in self.node.input if not name.startswith("^")]
        nodes = [node for node in nodes if "Dataset" in node.op]
        live = [] if self.live is None else self._maker._inputs()
        known = live if len(live) == len(nodes) else [None] * len(nodes)
        return tuple(Site(self.graph, node, dataset) for node, dataset in zip(nodes, known, strict=True))

    @cached_property
    def dataset(self) -> Any:
        """The dataset itself: the live one, else one made anew from the graph."""
        if self.live is not None:
            return self.live
        (variant,) = made(self.graph.definition, [f"{self.node.name}:0"])
        return dataset_ops._VariantDataset(variant, self.spec)

    def argument(self, place: int) -> Any:
        """The constant at a place of the op's inputs, counted from its end where negative.

        Raises:
            NotConstant: It is none.
        """
        taken = [name for name in self.node.input if not name.startswith("^")]
        return self._constant(taken[place])

    def arguments(self, first: int, attribute: str) -> list[Any]:
        """The constants from a place on, as many as an attribute of the op has entries."""
        value = self.node.attr[attribute]
        count = len(value.list.type) or len(value.list.shape)
        taken = [name for name in self.node.input if not name.startswith("^")]
        return [self._constant(name) for name in taken[first : first + count]]

    def _constant(self, name: str) -> Any:
        node = self.graph.nodes[bare(name)]
        while node.op == "Identity":
            node = self.graph.nodes[bare(node.input[0])]
        if node.op != "Const":
            raise NotConstant(f"{self.node.op}: an argument comes from {node.op} and is no constant")
        array = constant(node)
        return array.item() if array.ndim == 0 else array

    def flag(self, attribute: str) -> Any:
        """The value of an attribute of the op: text, a number or a truth value; None where the op has no such attribute."""
        if attribute not in self.node.attr:
            return None
        value = self.node.attr[attribute]
        found = getattr(value, value.WhichOneof("value"))
        return found.decode(errors="replace") if isinstance(found, bytes) else found

    def function(self, attribute: str = "f", captured: str = "Targuments") -> Function:
        """The user's function in an attribute of the op; the live one where there is one."""
        call = self._live_function() or self._loaded_function(attribute, captured)
        python = call.python_function
        known = Function.of(python) if python is not None else None
        return Function(known.ref if known and not known.arguments else None, (), call)

    def _live_function(self) -> Traced | None:
        wrappers = [] if self.live is None else self._maker._functions()
        return of_wrapper(wrappers[0]) if len(wrappers) == 1 else None

    def _loaded_function(self, attribute: str, captured: str) -> Traced:
        name = self.node.attr[attribute].func.name
        count = len(self.node.attr[captured].list.type)
        taken = [name for name in self.node.input if not name.startswith("^")][len(self.inputs) :]
        outside = made(self.graph.definition, taken[:count]) if count else ()
        loaded = loaded_function(self.graph.definition.library, name, self.inputs[0].spec, outside)
        datasets = self.op in ("FlatMapDataset", "InterleaveDataset", "ParallelInterleaveDataset")
        return dataclasses.replace(loaded, gives=tf.data.DatasetSpec(self.spec)) if datasets else loaded


def _unversioned(name: str) -> str:
    return re.sub(r"V\d+$", "", name)


def _inputs(dataset: Any) -> list[Any]:
    """The datasets that one takes from; that of version 1 of the API wraps one of version 2."""
    return [dataset._dataset] if type(dataset).__name__ == "DatasetV1Adapter" else list(dataset._inputs())


def root(dataset: Any) -> Site:
    """The place of the whole dataset.

    Raises:
        PlanError: It cannot be serialized.
    """
    graph = Graph.of(dataset)
    return Site(graph, graph.result, dataset)
