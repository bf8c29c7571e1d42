"""Whether a form gives what the function gives, tried on elements; also where the function draws random numbers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from pipeline_opt.build.forms.graph_edit import Draft
from pipeline_opt.build.forms.verify import Agreement
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
nest = lazy_module("tensorflow.python.data.util.nest")

_SCOPE: Final = "edited/"


def same_results(function: Traced, derived: Traced, elements: Sequence[Any]) -> Agreement:
    """Run two functions of the same elements over them, in order, and compare what they give bit for bit.

    Random ops without a seed are given one, the same in both, so that they draw the same numbers. What keeps its state in
    variables (`tf.random.Generator`) goes on where it is, and will differ.

    Args:
        function: The function.
        derived: Another form of it.
        elements: Some elements, in the structure of `function.takes`.

    Raises:
        ValueError: There are no elements.
    """
    if not elements:
        raise ValueError("nothing to compare: there are no elements")
    absolute = relative = 0.0
    mismatch = None
    for number, (expected, found) in enumerate(zip(_run(function, elements), _run(derived, elements), strict=True)):
        said = _difference(expected, found)
        mismatch = mismatch or (f"element {number}: {said}" if said else None)
        if said.startswith("values"):
            largest = [_distance(a, b) for a, b in zip(expected, found, strict=True)]
            absolute = max(absolute, *(pair[0] for pair in largest))
            relative = max(relative, *(pair[1] for pair in largest))
    return Agreement(mismatch is None, absolute, relative, len(elements), mismatch)


def _run(function: Traced, elements: Sequence[Any]) -> Iterator[list[Any] | str]:
    """What a function gives for each element: flat arrays, or its error's first line."""
    specs = tf.nest.map_structure(lambda spec: spec, function.takes)
    dataset = tf.data.Dataset.from_generator(lambda: iter(elements), output_signature=specs)
    results = iter(dataset.map(seeded(function)))
    for _ in elements:
        try:
            yield [np.asarray(part) for part in nest.flatten(next(results))]
        except tf.errors.OpError as error:
            yield str(error).strip().partition("\n")[0]


def seeded(function: Traced) -> Traced:
    """The function with a seed, made of the op's name, for each random op that has none."""
    draft = Draft(function)
    for node in (*draft.nodes.values(), *(node for inner in draft.library for node in inner.node_def)):
        if "seed" in node.attr and "seed2" in node.attr and not (node.attr["seed"].i or node.attr["seed2"].i):
            node.attr["seed"].i = zlib.crc32(node.name.replace(_SCOPE, "").encode()) or 1
    return draft.finished()


def _difference(expected: list[Any] | str, found: list[Any] | str) -> str:
    if isinstance(expected, str) or isinstance(found, str):
        failed = [
            f"{who} fails: {what}" for who, what in (("function", expected), ("form", found)) if isinstance(what, str)
        ]
        return "" if len(failed) == 2 else f"only the {failed[0]}"
    for place, (one, other) in enumerate(zip(expected, found, strict=True)):
        if one.dtype != other.dtype or one.shape != other.shape:
            return f"{other.dtype}{list(other.shape)} in place of {one.dtype}{list(one.shape)} (component {place})"
        same = one.tolist() == other.tolist() if one.dtype == object else one.tobytes() == other.tobytes()
        if not same:
            return f"values differ (component {place})"
    return ""


def _distance(one: Any, other: Any) -> tuple[float, float]:
    """The largest difference of two arrays of numbers, and the largest as a part of the larger number."""
    if one.dtype.kind not in "iufb" or not one.size:
        return 0.0, 0.0
    a, b = one.astype(np.float64), other.astype(np.float64)
    errors = np.abs(a - b)
    scale = np.maximum(np.abs(a), np.abs(b))
    return float(errors.max()), float((errors / np.where(scale > 0, scale, 1)).max())
