"""What is known of components that are random: the shapes that they had."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pipeline_opt.tuner.components import Component
from pipeline_opt.tuner.differences import Difference


class Shapes:
    """The shapes that random components had, without the dimension of the batch."""

    def __init__(self, mask: Collection[int], *, batched: bool) -> None:
        self._mask, self._first = mask, int(batched)
        self.seen: dict[str, set[tuple[int, ...]]] = {}

    def add(self, components: Sequence[Component]) -> None:
        """Look at one more element."""
        for number in self._mask:
            if components[number].form == "dense":
                shape = components[number].values.shape[self._first :]
                self.seen.setdefault(components[number].place, set()).add(shape)

    def difference(self, other: Shapes) -> Difference | None:
        """A component that always had one shape, and not that one there. Where it has several, they may be random, too."""
        for place, shapes in self.seen.items():
            others = other.seen.get(place, set())
            if len(shapes) == 1 and others and others != shapes:
                return Difference(
                    "another shape", None, place, str(min(shapes)), ", ".join(map(str, sorted(others)[:3]))
                )
        return None
