"""What is known of the elements at a point of a recipe, without building it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from element_equality import Equality

MOST: Final = 80
"""Elements of a pipeline at the most."""


@dataclass(frozen=True)
class State:
    """The elements at a point.

    Args:
        spec: Their `element_spec`, where static shapes may be known less well than TensorFlow knows them.
        size: So many at the most.
        level: What equality may be asked of two runs.
        depth: How many leading dimensions are batches, alike in all components.
        inner: Whether this pipeline is a part of another one, which may not use it up.
        whole: Whether it has to be used up in every epoch: files of a cache stay locked otherwise.
        carries: Whether one epoch changes the next, and so does how far ahead it was read.
        python: Whether Python is called while it runs.
        changes: Whether it uses what the program can change.
        ended: Whether no step may follow.
    """

    spec: Any
    size: int
    level: Equality = Equality.ORDERED
    depth: int = 0
    inner: bool = False
    whole: bool = False
    carries: bool = False
    python: bool = False
    changes: bool = False
    ended: bool = False

    def but(self, **changes: Any) -> State:
        """The state with some things changed."""
        return dataclasses.replace(self, **changes)

    def at_most(self, level: Equality) -> State:
        """The state where no more than this equality may be asked."""
        return self.but(level=min(self.level, level))

    def regrouped(self, **changes: Any) -> State:
        """The state behind a step that depends on the order of the elements."""
        level = self.level if self.level == Equality.ORDERED else Equality.SHAPES
        return self.but(level=level, **changes)

    @property
    def parts(self) -> list[Any]:
        """The specs of the components; None where a component is None."""
        return list(tf.nest.flatten(self.spec))

    @property
    def is_dense(self) -> bool:
        """Whether every component is a tensor."""
        return all(isinstance(part, tf.TensorSpec) for part in self.parts)

    @property
    def has_none(self) -> bool:
        """Whether a component is None."""
        return any(type(part).__name__ == "NoneTensorSpec" for part in self.parts)

    @property
    def stacks(self) -> bool:
        """Whether elements can be stacked: all tensors have one shape."""
        return all(not isinstance(part, tf.TensorSpec) or part.shape.is_fully_defined() for part in self.parts)

    @property
    def is_ordered(self) -> bool:
        return self.level == Equality.ORDERED

    @property
    def picks(self) -> bool:
        """Whether some elements may be left out: what follows is then the same in number all the same."""
        return not self.whole and (self.is_ordered or self.depth == 0)

    @property
    def counts(self) -> bool:
        """Whether a step whose number of elements depends on their values gives the same number in every run."""
        return self.level >= Equality.MULTISET and not self.carries


@dataclass
class Places:
    """Where a recipe reads and writes.

    Args:
        data: The folder that `recipe_data.write_data` has filled.
        scratch: A folder of this build's own, for the files of caches.
    """

    data: Path
    scratch: Path
    used: int = 0

    def fresh(self) -> str:
        """A path in the scratch folder that no other step has."""
        self.used += 1
        return str(self.scratch / f"place_{self.used}")
