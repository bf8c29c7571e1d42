"""A function without what its results do not need."""

from __future__ import annotations

from pipeline_opt.build.forms.graph_edit import ancestors, node_name, without_controls
from pipeline_opt.build.traced import Traced


def needed(function: Traced) -> Traced:
    """The function with only the ops that its results are computed from: no checks, no printing, no other side effects.

    Args:
        function: The function.
    """
    nodes = {node.name: node for node in function.graph_def.node}
    kept = ancestors(without_controls(nodes), map(node_name, function.results))
    graph_def = type(function.graph_def)()
    graph_def.versions.CopyFrom(function.graph_def.versions)
    graph_def.library.CopyFrom(function.graph_def.library)
    for node in function.graph_def.node:
        if node.name in kept or node.op == "Placeholder":
            copy = graph_def.node.add()
            copy.CopyFrom(node)
            del copy.input[:]
            copy.input.extend(i for i in node.input if not i.startswith("^") or node_name(i) in kept)
    return function.edited(graph_def)
