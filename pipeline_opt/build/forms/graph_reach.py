"""What depends on what in a graph that is being changed, and which ops TensorFlow makes one of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pipeline_opt.build.forms.graph_edit import Draft, data_inputs, node_name
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

_FOLDED: Final[Mapping[str, str]] = {"Mul": "Mul", "Add": "Add", "AddV2": "Add"}
"""Ops of which TensorFlow makes `x * (a * b)` of `(x * a) * b` when it runs a function: the last bits are others then."""
_SEEN_THROUGH: Final = ("Bitcast", "Identity", "IdentityN", "PreventGradient", "Reshape", "Squeeze", "StopGradient")


class Folding(NamedTuple):
    """Two ops with a constant each, of which TensorFlow makes one.

    Args:
        first: The name of the first.
        second: The name of the second.
        between: The tensors from the first to the second.
    """

    first: str
    second: str
    between: tuple[str, ...]


def foldings(draft: Draft) -> list[Folding]:
    """The pairs of ops of a graph that TensorFlow may make one of; seen with 2.17.1 and 2.21 for floating-point numbers.

    A rewrite is exact only if it neither parts such a pair nor makes one.
    """
    free = independent(draft)
    return [found for node in draft.nodes.values() if _has_constant(node, free) for found in _before(draft, node, free)]


def _has_constant(node: Any, free: set[str]) -> bool:
    return node.op in _FOLDED and any(node_name(name) in free for name in data_inputs(node))


def _before(draft: Draft, second: Any, free: set[str]) -> Iterator[Folding]:
    for tensor in data_inputs(second):
        between = [tensor]
        while (first := draft.maker(between[-1])).op in _SEEN_THROUGH and data_inputs(first):
            between.append(data_inputs(first)[0])
        same = _FOLDED.get(first.op) == _FOLDED[second.op]
        if same and first.name not in free and _has_constant(first, free):
            yield Folding(first.name, second.name, tuple(between))


def independent(draft: Draft) -> set[str]:
    """The names of nodes that depend on no argument and do nothing: they give the same for every element."""
    arguments = {node_name(name) for name in draft.function.arguments}
    acting = {node.name for node in draft.nodes.values() if draft.acts(node)}
    return set(draft.nodes) - descendants(draft.nodes, arguments | acting)


def descendants(nodes: Mapping[str, Any], names: Iterable[str]) -> set[str]:
    """Nodes and all that takes a tensor of theirs, by name."""
    takers: dict[str, list[str]] = {name: [] for name in nodes}
    for node in nodes.values():
        for given in data_inputs(node):
            takers[node_name(given)].append(node.name)
    found: set[str] = set()
    pending = [name for name in names if name in nodes]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += takers[name]
    return found
