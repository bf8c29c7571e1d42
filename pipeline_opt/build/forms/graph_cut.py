"""Cutting a function in two, of which the second takes what the first gives: the same ops, so the same results."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.graph_edit import (
    Draft,
    add_controls,
    ancestors,
    data_inputs,
    node_name,
    register,
    without_controls,
)
from pipeline_opt.build.forms.graph_reach import foldings, independent
from pipeline_opt.build.traced import Traced, inlined
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
ops = lazy_module("tensorflow.python.framework.ops")


class Split(NamedTuple):
    """A function as two: `tail` of what `head` gives is what the function gives."""

    head: Traced
    tail: Traced


def cut(function: Traced, lower: Collection[str]) -> Split | Refused:
    """Cut a function in two.

    Args:
        function: The function.
        lower: The names of the nodes of the second part. What takes a tensor of theirs has to be among them. What depends
            on no argument and has no state (constants, captured tables) is in both parts, as far as it is needed.
    """
    draft = Draft(function)
    free = independent(draft)
    parted = [pair for pair in foldings(draft) if (pair.first in lower) != (pair.second in lower)]
    if parted:
        return Refused(f"it would part {parted[0].first} and {parted[0].second}, which TensorFlow makes one op of")
    below = [node for name, node in draft.nodes.items() if name in lower and name not in free]
    taken = dict.fromkeys(name for node in below for name in data_inputs(node))
    taken |= dict.fromkeys(result for result in draft.results if node_name(result) not in lower)
    crossing = [name for name in taken if node_name(name) not in lower and node_name(name) not in free]
    specs = tuple(tf.TensorSpec(draft.traced(name).shape, draft.traced(name).dtype) for name in crossing)
    odd = [name for name, spec in zip(crossing, specs, strict=True) if spec.dtype in (tf.variant, tf.resource)]
    if odd or not crossing:
        return Refused(f"{odd[0]} is no plain tensor, which could stand between" if odd else "nothing crosses the cut")
    return Split(_head(draft, lower, crossing, specs), _tail(draft, {node.name for node in below}, crossing, specs))


def _head(draft: Draft, lower: Collection[str], crossing: Sequence[str], specs: tuple[Any, ...]) -> Traced:
    function = draft.function
    upper = {name: node for name, node in draft.nodes.items() if name not in lower}
    doing = [name for name, node in upper.items() if draft.acts(node) or node.op in ("Placeholder", "Assert")]
    graph_def = _graph(draft, ancestors(without_controls(upper), [*map(node_name, crossing), *doing]))
    return function.edited(graph_def, crossing, gives=specs)


def _tail(draft: Draft, below: Collection[str], crossing: Sequence[str], specs: tuple[Any, ...]) -> Traced:
    function = draft.function
    outside = {node_name(name) for name in crossing}
    nodes = {name: node for name, node in draft.nodes.items() if name not in outside}
    wanted = [*below, *map(node_name, draft.results)]
    graph_def = _graph(draft, ancestors(without_controls(nodes), wanted))
    captures, captured, results = function.captures, function.captured, draft.results

    def imported(*flat: Any) -> Any:
        graph = ops.get_default_graph()
        given = dict(zip(crossing, flat, strict=True))
        given |= {name: graph.capture(tensor) for name, tensor in zip(captures, captured, strict=True)}
        return inlined(graph_def, given, results)

    concrete = tf.function(imported, input_signature=list(specs), autograph=False).get_concrete_function()
    return Traced(concrete, specs, function.gives, function.python_function, function.label)


def _graph(draft: Draft, names: Collection[str]) -> Any:
    """A graph of some of a draft's nodes. They wait for those others of them that they waited for, at whatever remove."""
    graph_def = type(draft.function.graph_def)()
    graph_def.versions.CopyFrom(draft.function.graph_def.versions)
    graph_def.library.function.extend(draft.library)
    register(draft.library)
    for name, node in draft.nodes.items():
        if name in names:
            kept = copy.deepcopy(node)
            kept.ClearField("input")
            kept.input.extend(data_inputs(node))
            add_controls(kept, sorted(_awaited(draft, node, names)))
            graph_def.node.append(kept)
    return graph_def


def _awaited(draft: Draft, node: Any, names: Collection[str]) -> set[str]:
    """The control inputs of a node in a graph of these names: past nodes that are not in it, those that they depend on."""
    found: set[str] = set()
    seen: set[str] = set()
    pending = [node_name(given) for given in node.input if given.startswith("^")]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in names:
            pending += map(node_name, draft.nodes[name].input)
        elif draft.nodes[name].op != "Placeholder":
            found.add(f"^{name}")
    return found
