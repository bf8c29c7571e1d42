"""Whether a form gives what the function gives, tried on elements; also where the function draws random numbers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline_opt.build.forms.graph_edit import Draft
from pipeline_opt.build.forms.verify import NO_RESULTS, Agreement
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
nest = lazy_module("tensorflow.python.data.util.nest")

_SCOPE: Final = "edited/"


def same_results(function: Traced, derived: Traced, elements: Sequence[Any]) -> Agreement:
    """Run two functions of the same elements over them, in order, and compare what they give bit for bit.

    Any difference is a mismatch, also one of rounding, and so is it if only one of them fails for an element, or the function
    for all. Random ops without a seed are given one, the same in both, so that they draw the same numbers. What keeps its
    state in variables (`tf.random.Generator`) goes on where it is, and will differ.

    Args:
        function: The function.
        derived: Another form of it.
        elements: Some elements, in the structure of `function.takes`.

    Raises:
        ValueError: There are no elements.
    """
    if not elements:
        raise ValueError("nothing to compare: there are no elements")
    mismatch, count = None, 0
    for number, (expected, found) in enumerate(zip(_run(function, elements), _run(derived, elements), strict=True)):
        count += not isinstance(expected, str)
        said = _difference(expected, found)
        mismatch = mismatch or (f"element {number}: {said}" if said else None)
    mismatch = mismatch or (None if count else NO_RESULTS)
    return Agreement(mismatch is None, 0.0, count, mismatch)


def _run(function: Traced, elements: Sequence[Any]) -> Iterator[list[Any] | str]:
    """What a function gives for each element: flat arrays, or its error's first line."""
    dataset = tf.data.Dataset.from_generator(lambda: iter(elements), output_signature=function.takes)
    results = iter(dataset.map(seeded(function)))
    for _ in elements:
        try:
            yield [np.asarray(part) for part in nest.flatten(next(results))]
        except tf.errors.OpError as error:
            yield str(error).strip().partition("\n")[0]


def seeded(function: Traced) -> Traced:
    """The function with a seed, made of the op's name, for each random op that has none.

    The functions that it calls get other names: TensorFlow knows those of the user's by the ones that they have.
    """
    draft = Draft(function)
    names = {inner.signature.name: f"{inner.signature.name}_seeded" for inner in draft.library}
    for inner in draft.library:
        inner.signature.name = names[inner.signature.name]
    for node in (*draft.nodes.values(), *(node for inner in draft.library for node in inner.node_def)):
        _rename_called(node, names)
        if "seed" in node.attr and "seed2" in node.attr and not (node.attr["seed"].i or node.attr["seed2"].i):
            node.attr["seed"].i = zlib.crc32(node.name.replace(_SCOPE, "").encode()) or 1
    return draft.finished()


def _rename_called(node: Any, names: Mapping[str, str]) -> None:
    node.op = names.get(node.op, node.op)
    for value in node.attr.values():
        for called in (*([value.func] if value.HasField("func") else []), *value.list.func):
            called.name = names.get(called.name, called.name)


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
