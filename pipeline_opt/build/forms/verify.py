"""Whether a function that computes whole batches gives what the per-element function gives, tried on samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline_opt.build.ragged_rows import dense_rows
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
nest = lazy_module("tensorflow.python.data.util.nest")

Batch = Callable[[Any, int], Any]
"""A `tf.data.Dataset` of elements and a size to one of batches: `lambda ds, size: ds.padded_batch(size)`."""
Apart = Callable[[Any], Any]
"""A `tf.data.Dataset` of batches to one of their rows."""

NO_RESULTS: Final = "the function fails for every element that was tried, so that there is nothing to compare"
_FLOATS: Final = (float("nan"), float("inf"), -0.0, 1e30)
_EXTREMES: Final = 2
"""Samples that values at the edges are put into."""


@dataclass(frozen=True)
class Agreement:
    """How the results of two functions compare.

    Args:
        exact: All are the same bit for bit: types, shapes and values, and errors where the other one has errors.
        absolute: The largest difference of two floating-point numbers, where one of rounding is no mismatch.
        count: Elements of which there were results to compare, over all sizes of batches.
        mismatch: The first difference that is not one of rounding, or that there was nothing to compare; None if there is none.
    """

    exact: bool
    absolute: float
    count: int
    mismatch: str | None


_Side = Callable[..., Any]


class _Outcome(NamedTuple):
    parts: tuple[Any, ...]
    error: str


def compare_rows(function: Traced, derived: Traced, elements: Sequence[Any]) -> Agreement:
    """As `compare`, of a derived function whose batches are taken apart again: each row is to be what the function gives."""
    return compare(function, derived, elements, _as_they_are, dense_rows)


def compare(
    function: Traced,
    derived: Traced,
    elements: Sequence[Any],
    batch: Batch | None = None,
    apart: Apart | None = None,
) -> Agreement:
    """Run a function on each element and batch the results; run the other on batches of the elements; compare.

    Batches of one, of two, of all elements, and of all but one are tried, with values at the edges (empty strings, NaN,
    the largest numbers) put into copies of the first elements. One that the function fails for must fail in a batch, too;
    that alone shows nothing, so that a function that fails for all of them agrees with none.

    Args:
        function: The function of one element.
        derived: The function of a batch.
        elements: Some elements, arrays in the structure of `function.takes`, of fixed shapes.
        batch: How results become a batch; `Dataset.batch` where None.
        apart: How the batches of the other become rows again, which become a batch as results do; they stay where None.

    Raises:
        ValueError: There are no elements.
    """
    if not elements:
        raise ValueError("nothing to compare: there are no elements")
    put = batch or (lambda dataset, size: dataset.batch(size))
    tally = _Tally()
    sides = _sides(function, derived, elements[0], put, apart)
    good = []
    for element in [*elements, *_extremes(elements)]:
        expected, found = _both(sides, [element])
        tally.add(expected, found, 1, f"element {element!r} alone")
        if not expected.error:
            good.append(element)
    for size in sorted({2, len(good), len(good) - 1}):
        for start in range(0, len(good) if size > 1 else 0, max(size, 1)):
            chunk = good[start : start + size]
            outcomes = _both(sides, chunk)
            tally.add(*outcomes, len(chunk), f"a batch of {len(chunk)} from element {start} on")
    mismatch = tally.mismatch or (None if good else NO_RESULTS)
    return Agreement(tally.bits and mismatch is None, tally.absolute, tally.count, mismatch)


class _Tally:
    def __init__(self) -> None:
        self.absolute = 0.0
        self.bits = True
        self.count = 0
        self.mismatch: str | None = None

    def add(self, expected: _Outcome, found: _Outcome, count: int, where: str) -> None:
        self.count += 0 if expected.error else count
        difference = self._difference(expected, found)
        if difference and self.mismatch is None:
            self.mismatch = f"{where}: {difference}"

    def _difference(self, expected: _Outcome, found: _Outcome) -> str:
        if bool(expected.error) != bool(found.error):
            failed, error = ("the function", expected.error) if expected.error else ("its other form", found.error)
            return f"only {failed} fails: {error}"
        if len(expected.parts) != len(found.parts):
            return f"{len(found.parts)} components in place of {len(expected.parts)}"
        pairs = enumerate(zip(expected.parts, found.parts, strict=True))
        return next((f"component {i}: {said}" for i, (a, b) in pairs if (said := self._values(a, b))), "")

    def _values(self, expected: Any, found: Any) -> str:
        if expected.dtype != found.dtype or expected.shape != found.shape:
            return f"{found.dtype}{list(found.shape)} in place of {expected.dtype}{list(expected.shape)}"
        if expected.dtype == object:
            return "" if expected.tolist() == found.tolist() else f"strings differ: {_first(expected, found)}"
        if expected.tobytes() == found.tobytes():
            return ""
        self.bits = False
        if not np.issubdtype(expected.dtype, np.inexact) and expected.dtype.kind != "V":
            return f"values differ: {_first(expected, found)}"
        return self._rounding(expected, found)

    def _rounding(self, expected: Any, found: Any) -> str:
        wide = np.complex128 if expected.dtype.kind == "c" else np.float64
        a, b = expected.astype(wide), found.astype(wide)
        finite = np.isfinite(a)
        if not np.array_equal(finite, np.isfinite(b)) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return f"values that are not finite differ: {_first(expected, found)}"
        errors = np.abs(a[finite] - b[finite])
        self.absolute = max(self.absolute, float(errors.max(initial=0.0)))
        return ""


def _first(expected: Any, found: Any) -> str:
    a, b = expected.ravel(), found.ravel()
    place = (
        next(i for i in range(a.size) if a[i].tobytes() != b[i].tobytes())
        if a.dtype != object
        else (next(i for i in range(a.size) if a[i] != b[i]))
    )
    return f"{b[place]!r} in place of {a[place]!r}"


def _sides(function: Traced, derived: Traced, element: Any, put: Batch, apart: Apart | None) -> tuple[_Side, _Side]:
    """From stacked elements to a batch of results, by either function; each is traced once for batches of any size."""
    specs = [tf.TensorSpec((None, *np.shape(part)), spec.dtype) for part, spec in _flat(function.takes, element)]

    def expected(*flat: Any) -> Any:
        rows = tf.cast(tf.shape(flat[0])[0], tf.int64)
        stacked = nest.pack_sequence_as(element, flat)
        return put(tf.data.Dataset.from_tensor_slices(stacked).map(function), rows).get_single_element()

    def found(*flat: Any) -> Any:
        rows = tf.cast(tf.shape(flat[0])[0], tf.int64)
        stacked = nest.pack_sequence_as(element, flat)
        whole = tf.data.Dataset.from_tensor_slices(stacked).batch(rows).map(derived)
        return (whole if apart is None else put(apart(whole), rows)).get_single_element()

    one, other = (tf.function(side, input_signature=specs, autograph=False) for side in (expected, found))
    return one, other


def _as_they_are(dataset: Any, size: int) -> Any:
    """Elements in one batch in which none becomes another: not longer, and a sparse one not wider."""
    return dataset.map(lambda *row: tf.nest.flatten(row, expand_composites=True)).ragged_batch(size)


def _flat(spec: Any, element: Any) -> Iterator[tuple[Any, Any]]:
    return zip(nest.flatten(element), nest.flatten(spec), strict=True)


def _both(sides: tuple[_Side, _Side], chunk: Sequence[Any]) -> tuple[_Outcome, _Outcome]:
    columns = zip(*(nest.flatten(element) for element in chunk), strict=True)
    stacked = [np.stack([np.asarray(value) for value in column]) for column in columns]
    one, other = (_outcome(side, stacked) for side in sides)
    return one, other


def _outcome(side: _Side, stacked: Sequence[Any]) -> _Outcome:
    try:
        given = side(*stacked)
    except tf.errors.OpError as error:
        return _Outcome((), str(error).strip().splitlines()[0])
    except UnicodeDecodeError:
        # TensorFlow puts bytes of a record into its message, and fails to make Python text of it.
        return _Outcome((), "an error whose message is no text")
    return _Outcome(tuple(part for component in nest.flatten(given) for part in _arrays(component)), "")


def _arrays(component: Any) -> Iterator[Any]:
    """The arrays that a tensor is made of, however it is stored."""
    if isinstance(component, tf.SparseTensor | tf.RaggedTensor | tf.IndexedSlices):
        for part in tf.nest.flatten(component, expand_composites=True):
            yield np.asarray(part)
    else:
        yield np.asarray(component)


def _extremes(elements: Sequence[Any]) -> Iterator[Any]:
    """Copies of elements with a value at the edge of its type in one component."""
    for element in elements[:_EXTREMES]:
        flat = [np.asarray(value) for value in nest.flatten(element)]
        for place, array in enumerate(flat):
            for changed in _edges(array):
                yield nest.pack_sequence_as(element, [*flat[:place], changed, *flat[place + 1 :]])


def _edges(array: Any) -> Iterator[Any]:
    if array.dtype.kind in "OSU":
        texts = array.astype(object)
        for change in (lambda text: text[:0], lambda text: text[: len(text) // 2], lambda text: text + text):
            yield np.vectorize(change, otypes=[object])(texts)
    elif array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        for whole in (0, limits.min, limits.max):
            yield np.full_like(array, whole)
    elif array.dtype.kind == "f":
        for number in _FLOATS:
            changed = array.copy()
            with np.errstate(over="ignore"):  # of a half the largest is infinite
                changed.reshape(-1)[:1] = number
            yield changed
