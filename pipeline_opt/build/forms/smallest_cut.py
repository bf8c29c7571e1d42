"""The cheapest place to cut a network of tensors in two."""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import pairwise
from typing import Final

UNCUTTABLE: Final = 1 << 60
"""The capacity of an edge that must not be cut."""


class Network:
    """A directed graph with capacities, cut where the least capacity goes from the source's side to the sink's.

    By augmenting shortest paths (Edmonds and Karp, 1972); the graphs of users' functions have some hundred nodes.
    """

    def __init__(self) -> None:
        self._left: defaultdict[str, dict[str, int]] = defaultdict(dict)

    def join(self, one: str, other: str, capacity: int) -> None:
        """Add an edge; capacities of edges between the same two add up."""
        self._left[one][other] = self._left[one].get(other, 0) + capacity
        self._left[other].setdefault(one, 0)

    def sink_side(self, source: str, sink: str) -> set[str]:
        """The smallest set of nodes on the sink's side of a cheapest cut; empty where every cut would cut an uncuttable edge."""
        while path := self._path(source, sink):
            edges = list(pairwise(path))
            flow = min(self._left[one][other] for one, other in edges)
            # Where other flow has gone through uncuttable edges, they have less left, but never half as little.
            if flow > UNCUTTABLE // 2:
                return set()
            for one, other in edges:
                self._left[one][other] -= flow
                self._left[other][one] += flow
        return self._reaching(sink)

    def _path(self, source: str, sink: str) -> list[str]:
        before: dict[str, str] = {source: source}
        pending = deque([source])
        while pending and sink not in before:
            node = pending.popleft()
            for other, left in self._left[node].items():
                if left and other not in before:
                    before[other] = node
                    pending.append(other)
        if sink not in before:
            return []
        path: list[str] = [sink]
        while path[-1] != source:
            path.append(before[path[-1]])
        return path[::-1]

    def _reaching(self, sink: str) -> set[str]:
        found, pending = {sink}, deque([sink])
        while pending:
            node = pending.popleft()
            new = [other for other in self._left[node] if self._left[other][node] and other not in found]
            found.update(new)
            pending.extend(new)
        return found
