"""Caches, snapshots and saved datasets of a dataset, by its own graph: also inside functions, of which a plan knows nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pipeline_opt.ingest.graph import bare, constant, serialized

_WRITERS: Final = (
    "CacheDataset",
    "CacheDatasetV2",
    "SnapshotDataset",
    "SnapshotDatasetV2",
    "SaveDataset",
    "SaveDatasetV2",
)
_PATH: Final = 1
"""Where, among the inputs of such an op, its path stands."""


def writes_outside(dataset: Any, folder: str) -> bool:
    """Whether a dataset keeps elements anywhere but in a folder: it would do so in every trial. Unknown paths are elsewhere.

    Raises:
        PlanError: Its graph cannot be looked into.
    """
    graph = serialized(dataset)
    bodies = [graph.node, *(function.node_def for function in graph.library.function)]
    return any(path != "" and not _is_below(path, folder) for body in bodies for path in _paths(body))


def _paths(nodes: Iterable[Any]) -> Iterator[str | None]:
    """The paths of what writes; "" for memory, None where it is no constant."""
    by_name = {node.name: node for node in nodes}
    for node in nodes:
        if node.op in _WRITERS:
            path = by_name.get(bare(node.input[_PATH]))
            yield os.fsdecode(constant(path).item()) if path is not None and path.op == "Const" else None


def _is_below(path: str | None, folder: str) -> bool:
    return path is not None and path.startswith(folder)
