"""Places in a dataset: an op of its graph, with the Python object that made it where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline_opt.build.traced import Traced, of_wrapper
from pipeline_opt.errors import PlanError
from pipeline_opt.functions import Function
from pipeline_opt.ingest.graph import bare, constant, generators, serialized
from pipeline_opt.ingest.imports import loaded_function, made
from pipeline_opt.ingest.structures import REGROUPED, UNCHANGED, flat_spec, spec_before
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
np = lazy_module("numpy")
dataset_ops = lazy_module("tensorflow.python.data.ops.dataset_ops")
op_definitions = lazy_module("tensorflow.python.framework.op_def_registry")

_OF_CONSTANTS = ("Const", "Identity", "Cast", "Equal", "LogicalAnd", "NotEqual", "Select", "SelectV2")
"""Ops that tf.data itself makes of constants: seeds are checked so inside functions."""


_CHANGING = re.compile(r"VarHandleOp|MutableHashTable|MutableDenseHashTable|Anonymous|^Iterator")
"""Ops that make things which the rest of the program can change: the graph holds but a copy of them."""

SEEDED = re.compile(r"^Shuffle")
"""Ops whose seed is lost as they are made anew from the graph."""


class NotConstant(PlanError):
    """An argument of a dataset op that is found out only as the pipeline runs."""


class OnlyCopied(PlanError):
    """A part of which only the graph is known, where a copy of what the graph holds would not be the same."""


@dataclass(frozen=True, eq=False)
class Graph:
    """The graph of one dataset.

    Args:
        definition: Its `GraphDef`, functions, tables and variables included.
        outside: What the graph of a function captures, by the names of the placeholders: the live things themselves.
        of_function: Whether it is the graph of a function that gives a dataset.
    """

    definition: Any
    outside: Mapping[str, Any] = field(default_factory=dict)

    of_function: bool = False

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

    def maker(self, name: str) -> Any:
        """The op that makes a tensor; one that hands it on unchanged does not count."""
        node = self.nodes[bare(name)]
        while node.op == "Identity":
            node = self.nodes[bare(node.input[0])]
        return node

    def values(self, names: Sequence[str]) -> tuple[Any, ...]:
        """What some tensors of the graph are, found out now.

        Raises:
            NotConstant: In the graph of a function: they depend on what the function takes, or are made anew by each call.
        """
        if not names:
            return ()
        if self.of_function:
            self._require_constant(names)
        return made(self.definition, names, self.outside)

    def _require_constant(self, names: Sequence[str]) -> None:
        wanted = [bare(name) for name in names]
        while wanted:
            name = wanted.pop()
            node = self.nodes[name]
            if name in self.outside:
                continue
            if node.op not in _OF_CONSTANTS:
                raise NotConstant(f"{name} comes from {node.op} and is no constant")
            wanted += [bare(i) for i in node.input]

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
        known_spec: The `element_spec` that is known without such an object.
    """

    graph: Graph
    node: Any
    live: Any = None
    known_spec: Any = None

    @property
    def op(self) -> str:
        """The op's kind without its version, `ParallelMapDataset`."""
        return _unversioned(self.node.op)

    @cached_property
    def spec(self) -> Any:
        """The `element_spec`; of the flat components, where nothing else is known."""
        if self.live is not None:
            return self.live.element_spec
        return flat_spec(self.node) if self.known_spec is None else self.known_spec

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
        keeps = self.op in (*UNCHANGED, *REGROUPED)
        unknown = keeps and self.inputs[0].live is None and self.inputs[0].known_spec is None
        return unknown and bool(self.spec != flat_spec(self.node))

    @cached_property
    def _input_names(self) -> list[str]:
        return [name for name in self.node.input if not name.startswith("^")]

    @cached_property
    def inputs(self) -> tuple[Site, ...]:
        """The datasets that it takes from."""
        nodes = [self.graph.nodes[bare(name)] for name in self._input_names]
        nodes = [node for node in nodes if "Dataset" in node.op]
        live = [] if self.live is None else self._maker._inputs()
        if len(live) == len(nodes):
            return tuple(Site(self.graph, node, dataset) for node, dataset in zip(nodes, live, strict=True))
        known = spec_before(self.op, self.spec, nodes[0]) if len(nodes) == 1 else None
        return tuple(Site(self.graph, node, None, known) for node in nodes)

    @cached_property
    def dataset(self) -> Any:
        """The dataset itself: the live one, else one made anew from the graph.

        Raises:
            OnlyCopied: It would not give the same elements.
        """
        if self.live is not None:
            return self.live
        self._require_no_op(_CHANGING, [self.node.name], "uses what the program can change")
        self._require_no_op(SEEDED, [self.node.name], "holds a seed that its graph does not")
        (variant,) = made(self.graph.definition, [f"{self.node.name}:0"])
        return dataset_ops._VariantDataset(variant, self.spec)

    def argument(self, place: int) -> Any:
        """The constant at a place of the op's inputs, counted from its end where negative.

        Raises:
            NotConstant: It is none.
        """
        return self._constant(self._input_names[place])

    def arguments(self, first: int, attribute: str) -> list[Any]:
        """The constants from a place on, as many as an attribute of the op has entries."""
        value = self.node.attr[attribute]
        count = len(value.list.type) or len(value.list.shape)
        return [self._constant(name) for name in self._input_names[first : first + count]]

    def _constant(self, name: str) -> Any:
        node = self.graph.maker(name)
        if node.op == "Const" and node.attr["dtype"].type not in (
            tf.variant.as_datatype_enum,
            tf.resource.as_datatype_enum,
        ):
            array = constant(node)
        elif self.graph.of_function:
            array = self.graph.values([name])[0].numpy()
            array = array if hasattr(array, "ndim") else np.array(array, object)
        else:
            raise NotConstant(f"{self.node.op}: an argument comes from {node.op} and is no constant")
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

    @property
    def wrappers(self) -> Sequence[Any]:
        """The op's functions as tf.data traced them; none where only its graph is known."""
        return [] if self.live is None else list(self._maker._functions())

    def _live_function(self) -> Traced | None:
        wrappers = self.wrappers
        return of_wrapper(wrappers[0]) if len(wrappers) == 1 else None

    def _loaded_function(self, attribute: str, captured: str) -> Traced:
        """The function as the graph knows it.

        Raises:
            OnlyCopied: It uses what the program can change.
        """
        name = self.node.attr[attribute].func.name
        count = len(self.node.attr[captured].list.type)
        taken = self._input_names[len(self.inputs) :][:count]
        self.require_unchanging(taken)
        outside = self.graph.values(taken)
        gives = None
        if self.op in ("MapDataset", "ParallelMapDataset"):
            gives = self.spec
        elif self.op in ("FlatMapDataset", "InterleaveDataset", "ParallelInterleaveDataset"):
            gives = tf.data.DatasetSpec(self.spec)
        return loaded_function(self.graph.definition.library, name, outside, self.inputs[0].spec, gives)

    @cached_property
    def captured(self) -> Mapping[str, Any]:
        """The live tensors and handles that the op's functions capture, by the names of the ops that stand for them."""
        functions = self.wrappers
        tensors = [tensor for function in functions for tensor in function.function.captured_inputs]
        names = list(self._captured_names())
        return dict(zip(map(bare, names), tensors, strict=True)) if len(names) == len(tensors) else {}

    def _captured_names(self) -> Iterator[str]:
        """The inputs of the op that stand for what its functions capture."""
        at = 0
        for argument in op_definitions.get(self.node.op).input_arg:
            count = 1
            if argument.type_list_attr:
                count = len(self.node.attr[argument.type_list_attr].list.type)
            elif argument.number_attr:
                count = self.node.attr[argument.number_attr].i
            if "other_arg" in argument.name:
                yield from self._input_names[at : at + count]
            at += count

    def require_unchanging(self, names: Iterable[str]) -> None:
        """Refuse inputs, datasets aside, of which the graph holds but a copy.

        Raises:
            OnlyCopied: The rest of the program can change what one of them stands for.
        """
        known = {i.node.name for i in self.inputs} | set(self.captured)
        self._require_no_op(_CHANGING, names, "uses what the program can change", known)

    def _require_no_op(
        self, kinds: re.Pattern[str], names: Iterable[str], what: str, known: Iterable[str] = ()
    ) -> None:
        wanted, seen = [bare(name) for name in names], set(known)
        while wanted:
            name = wanted.pop()
            if name in seen:
                continue
            seen.add(name)
            node = self.graph.nodes[name]
            if kinds.search(node.op):
                raise OnlyCopied(f"{self.node.op} {what} ({node.op})")
            wanted += [bare(i) for i in node.input]


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
