"""Where two elements differ, said for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline_opt.tuner.components import Array, Component

_SHOWN: Final = 60
_DIGITS: Final = 9


@dataclass(frozen=True)
class Bound:
    """How far floats may be apart: |a - b| <= absolute + relative * max(|a|, |b|)."""

    relative: float = 0.0
    absolute: float = 0.0


EXACT: Final = Bound()
"""Bit by bit."""


@dataclass(frozen=True)
class Errors:
    """The largest differences of floats that were found: absolute, and relative to the larger of the two."""

    absolute: float = 0.0
    relative: float = 0.0

    def worst(self, other: Errors) -> Errors:
        """The larger of both."""
        return Errors(max(self.absolute, other.absolute), max(self.relative, other.relative))


NO_ERRORS: Final = Errors()


@dataclass(frozen=True)
class Difference:
    """The first difference.

    Args:
        what: What kind it is.
        index: The number of the element, or row, from 0; None where it is of all.
        component: The place of the component in the structure, as `[0]['image']`; empty where it is the element.
        original: What the original has there.
        rewritten: What the other one has.
    """

    what: str
    index: int | None = None
    component: str = ""
    original: str = ""
    rewritten: str = ""

    def __str__(self) -> str:
        where = "" if self.index is None else f"element {self.index:,}"
        where += f"{', ' if where and self.component else ''}{self.component}"
        values = (
            f": {self.original} in the original, {self.rewritten} in the other"
            if self.original or self.rewritten
            else ""
        )
        return f"{where}{': ' if where else ''}{self.what}{values}"


def compare_components(
    original: Sequence[Component], rewritten: Sequence[Component], bound: Bound, index: int
) -> tuple[Difference | None, Errors]:
    """The first difference between two elements, and how far their floats are apart before it."""
    places = [[component.place for component in side] for side in (original, rewritten)]
    if places[0] != places[1]:
        return Difference("other components", index, "", ", ".join(places[0]), ", ".join(places[1])), NO_ERRORS
    errors = NO_ERRORS
    for a, b in zip(original, rewritten, strict=True):
        found, seen = _compare(a, b, bound, index)
        errors = errors.worst(seen)
        if found is not None:
            return found, errors
    return None, errors


def _compare(a: Component, b: Component, bound: Bound, index: int) -> tuple[Difference | None, Errors]:
    for what, kind in (("another form", "form"), ("another dtype", "dtype")):
        if getattr(a, kind) != getattr(b, kind):
            return Difference(what, index, a.place, getattr(a, kind), getattr(b, kind)), NO_ERRORS
    for one, other in zip(a.parts, b.parts, strict=True):
        if one.shape != other.shape or (one != other).any():
            what = "other row lengths" if a.form == "ragged" else "other places or another dense shape"
            return Difference(what, index, a.place, shown(one), shown(other)), NO_ERRORS
    if a.values.shape != b.values.shape:
        return Difference("another shape", index, a.place, str(a.values.shape), str(b.values.shape)), NO_ERRORS
    wrong, errors = wrong_values(a.values, b.values, bound if a.is_float else EXACT)
    if not wrong.any():
        return None, errors
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"{a.place}{list(first) if first else ''}"
    what = f"{int(wrong.sum()):,} of {wrong.size:,} values differ"
    return Difference(what, index, place, _value(a.values[first]), _value(b.values[first])), errors


def wrong_values(a: Array, b: Array, bound: Bound) -> tuple[Array, Errors]:
    """Where two arrays of one dtype and shape differ by more than a bound, and how far they are apart where they do not.

    Without a bound it is bit by bit. With one, NaN equals NaN, -0.0 equals 0.0, and an infinity only itself.
    """
    if a.dtype == object:
        return np.not_equal(a, b).astype(bool), NO_ERRORS
    bits, others = (np.ascontiguousarray(side).reshape(-1).view(np.uint8) for side in (a, b))
    if bound == EXACT or np.array_equal(bits, others):
        width = max(a.dtype.itemsize, 1)
        return (bits != others).reshape(-1, width).any(axis=1).reshape(a.shape), NO_ERRORS
    wide: Any = np.complex128 if a.dtype.kind == "c" else np.float64
    x, y = a.astype(wide), b.astype(wide)
    with np.errstate(invalid="ignore", over="ignore"):
        apart, size = np.abs(x - y), np.maximum(np.abs(x), np.abs(y))
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        right = same | (np.isfinite(size) & (apart <= bound.absolute + bound.relative * size))
    near = right & ~same
    if not near.any():
        return ~right, NO_ERRORS
    return ~right, Errors(float(apart[near].max()), float((apart[near] / size[near]).max()))


def shown(array: Array) -> str:
    """An array in short."""
    if array.ndim == 0:
        return _value(array[()])
    text = np.array2string(array, threshold=6, edgeitems=3, separator=", ", precision=_DIGITS).replace("\n", "")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."


def describe(components: Sequence[Component], row: int | None) -> str:
    """An element, or a row of a batch, in short."""
    parts = []
    for component in components[:4]:
        values: Any = component.values
        if row is not None and component.form == "dense" and component.values.ndim:
            values = component.values[row]
        elif row is not None and component.form == "ragged" and len(component.parts) == 1:
            values = component.values[component.parts[0][row] : component.parts[0][row + 1]]
        parts.append(f"{component.place}{'=' if component.place else ''}{shown(np.asarray(values))}")
    return ", ".join(parts) + (", ..." if len(components) > 4 else "")


def _value(value: Any) -> str:
    text = repr(value) if isinstance(value, bytes) else f"{value!s}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."
