"""Rows in any order whose floats are only nearly equal: which belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from pipeline_opt.errors import UsageError
from pipeline_opt.tuner.components import Array, Component
from pipeline_opt.tuner.differences import Bound, Errors, wrong_values
from pipeline_opt.tuner.hashing import digests_of

MOST_KEPT: Final = 256 * 2**20
"""Bytes of floats that are kept of each side. To compare more, rows would have to come in order."""


_MOST_TRIED: Final = 500
"""Rows that are matched one by one; more that are not side by side are not near each other."""


@dataclass
class Rows:
    """Rows by what must be equal bit for bit, with the floats of each, in the order in which they came."""

    floats: dict[bytes, list[Array]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0
    nbytes: int = 0

    def add(self, components: Sequence[Component], *, batched: bool, padding: Mapping[str, Any]) -> None:
        """Take in an element, or the rows of a batch.

        Raises:
            UsageError: Floats are in a component that is padded, or sparse or ragged and part of a batch.
        """
        keys = digests_of([_blank(c, padding) for c in components], batched=batched, padding=padding)
        own = [component.values for component in components if component.is_float]
        odd = next(
            (c.place for c in components if c.is_float and batched and (c.form != "dense" or c.place in padding)), None
        )
        if odd is not None:
            raise UsageError(
                f"component {odd or 'the element'}: floats of ragged, sparse or padded rows are compared in order only"
            )
        for row, key in enumerate(keys):
            parts = [_real(values[row] if batched else values) for values in own]
            joined = np.concatenate(parts) if parts else np.zeros(0)
            self.floats[key.tobytes()].append(joined)
            self.nbytes += joined.nbytes
        self.count += len(keys)


def _real(values: Any) -> Array:
    """The values in one line; a complex one as two."""
    array = np.asarray(values)
    wide: Any = np.complex128 if array.dtype.kind == "c" else np.float64
    return array.astype(wide).reshape(-1).view(np.float64)


def _blank(component: Component, padding: Mapping[str, Any]) -> Component:
    """The component with its floats wiped out, so that its digest tells only their dtype and shape."""
    if not component.is_float or component.place in padding:
        return component
    return replace(component, values=np.zeros_like(component.values))


def unmatched(original: Rows, rewritten: Rows, bound: Bound) -> tuple[int, Array | None, Errors]:
    """How many rows of the original have no partner, one of them, and how far the others are from theirs.

    Within rows that are otherwise equal, both sides are sorted by a random projection of their floats, which brings partners
    side by side, as the bound is small. Those that are not are matched one by one with any that is within the bound.
    """
    errors, count, example = Errors(), 0, None
    for key, own in original.floats.items():
        others = rewritten.floats.get(key, [])
        left, seen = _match(own, others, bound)
        errors = errors.worst(seen)
        count += len(left)
        example = left[0] if example is None and left else example
    return count, example, errors


def _match(own: Sequence[Array], others: Sequence[Array], bound: Bound) -> tuple[list[Array], Errors]:
    weights = np.random.default_rng(0).standard_normal(own[0].size)
    finite = [[np.nan_to_num(row, posinf=0.0, neginf=0.0) @ weights for row in side] for side in (own, others)]
    ranked = [
        [side[i] for i in np.argsort(values, kind="stable")] for side, values in zip((own, others), finite, strict=True)
    ]
    errors, left, free = Errors(), [], list(ranked[1][len(ranked[0]) :])
    for a, b in zip(*ranked, strict=False):
        wrong, seen = wrong_values(a, b, bound)
        if wrong.any():
            left.append(a)
            free.append(b)
        else:
            errors = errors.worst(seen)
    alone = [*ranked[0][len(ranked[1]) :], *left[_MOST_TRIED:]]
    for a in left[:_MOST_TRIED]:
        found = next((i for i, b in enumerate(free) if not wrong_values(a, b, bound)[0].any()), None)
        if found is None:
            alone.append(a)
        else:
            errors = errors.worst(wrong_values(a, free.pop(found), bound)[1])
    return alone, errors
