"""Whether data ends: TensorFlow does not know it behind a filter, the dataset's graph does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline_opt.ingest.graph import Node
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def is_endless(dataset: Any, nodes: Sequence[Node]) -> bool:
    """Whether a dataset, whose ops are `nodes`, goes on for ever, as far as it can be known without running it."""
    size = dataset.cardinality().numpy()
    if size == tf.data.UNKNOWN_CARDINALITY:
        return goes_on(nodes)
    return bool(size == tf.data.INFINITE_CARDINALITY)


def goes_on(nodes: Sequence[Node]) -> bool:
    """Whether something among the ops of a dataset, sources first, is without end and nothing above bounds it."""
    endless: dict[str, bool] = {}
    for node in nodes:
        endless[node.key] = _goes_on(node, [endless.get(key, False) for key in node.inputs])
    return bool(nodes) and endless[nodes[-1].key]


def _goes_on(node: Node, inputs: list[bool]) -> bool:
    match node.kind:
        case "random":
            return True
        case "take_while":
            return False
        case "take" if node.count != -1:
            return False
        case "sample":
            # The first input says from which of the others the next element comes.
            return bool(inputs) and inputs[0] and (all if node.ends_with_first else any)(inputs[1:])
    repeats = node.kind != "take" and node.count == -1
    return repeats or (bool(inputs) and (all if node.ends_with_first else any)(inputs))
