"""Where a function is cut in two so that what comes last can be computed for whole batches, though the whole cannot.

To read and decode a file takes an element at a time; what its label is, and how the image is scaled, does not. The cut is exact:
the same ops in the same order, each in one part, but for constants.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.graph_cut import Split, cut
from pipeline_opt.build.forms.graph_edit import PASSING, Draft, ancestors, data_inputs, node_name
from pipeline_opt.build.forms.graph_reach import foldings, independent
from pipeline_opt.build.forms.rules import RULES
from pipeline_opt.build.traced import Traced

_CALLING: Final = ("If", "PartitionedCall", "Placeholder", "StatefulPartitionedCall", "StatelessIf")
"""Ops of which it is their parts that can be computed for a batch, or not."""


def split_rows(function: Traced) -> Split | Refused:
    """Cut off all that does not come before something that is computed for one element at a time.

    Args:
        function: A function of one element.
    """
    draft = Draft(function)
    free = independent(draft)
    held = {name for name, node in draft.nodes.items() if name not in free and _is_single(draft, name, node.op)}
    if not held:
        return Refused("nothing in it is computed for one element at a time")
    while (more := set(_crossing_badly(draft, _below(draft, held, free), free))) - held:
        held |= more
    lower = _below(draft, held, free)
    if not any(draft.nodes[name].op not in PASSING for name in lower):
        return Refused("nothing at its end could be computed for a batch")
    return cut(function, lower)


def _is_single(draft: Draft, name: str, op: str) -> bool:
    return draft.acts(draft.nodes[name]) or (op not in RULES and op not in _CALLING)


def _below(draft: Draft, held: Collection[str], free: set[str]) -> set[str]:
    """All that neither is held nor comes before what is."""
    arguments = {node_name(name) for name in draft.function.arguments}
    return set(draft.nodes) - ancestors(draft.nodes, [*held, *arguments]) - free


def _crossing_badly(draft: Draft, lower: set[str], free: set[str]) -> Iterator[str]:
    """What has to be above the cut, too: it takes what has no fixed shape, so that there is no batch, or is one with what is."""
    for name in lower:
        for tensor in data_inputs(draft.nodes[name]):
            above = node_name(tensor) not in lower and node_name(tensor) not in free
            if above and not draft.traced(tensor).shape.is_fully_defined():
                yield name
    for pair in foldings(draft):
        if pair.second in lower and pair.first not in lower:
            yield pair.second
