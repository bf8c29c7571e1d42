"""Elements of datasets as plain values, and in what two runs of them differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import tensorflow as tf

Element = tuple[Any, ...]
"""An element's components as plain values, equal bit for bit exactly if these are."""


class Equality(IntEnum):
    """What may be asked of two datasets of the same recipe; each asks what those above it ask, too."""

    SHAPES = 0
    """As many elements, of the same `element_spec`: values are random."""
    MULTISET = 1
    """The same elements in any order."""
    ORDERED = 2
    """The same elements in the same order."""


def plain(element: Any) -> Element:
    """An element as plain values; a dataset inside it by its elements."""
    components = tf.nest.flatten(element)
    return tuple(
        tuple(map(plain, part)) if isinstance(part, tf.data.Dataset) else _composite(part) for part in components
    )


def _composite(part: Any) -> Any:
    return tuple(map(_tensor, tf.nest.flatten(part, expand_composites=True)))


def _tensor(tensor: Any) -> Any:
    if tensor is None:
        return None
    array = np.asarray(tensor)
    # The bytes of an array of objects are their addresses.
    content = tuple(array.ravel().tolist()) if array.dtype == object else array.tobytes()
    return str(array.dtype), array.shape, content


def epochs(dataset: Any, count: int = 2) -> list[list[Element]]:
    """The elements of a dataset, epoch by epoch; without AUTOTUNE, with which the end of an epoch can take long."""
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.with_options(options)
    return [[plain(element) for element in dataset] for _ in range(count)]


def difference(expected: Sequence[Sequence[Element]], found: Sequence[Sequence[Element]], asked: Equality) -> str:
    """In what two runs differ; nothing where they are as equal as is asked."""
    for number, (first, second) in enumerate(zip(expected, found, strict=True)):
        if len(first) != len(second):
            return f"epoch {number}: {len(second)} elements where {len(first)} were expected"
        if asked == Equality.MULTISET and Counter(first) != Counter(second):
            only = list((Counter(second) - Counter(first)).elements())
            return f"epoch {number}: {len(only)} other elements, such as {only[:2]}"
        if asked == Equality.ORDERED:
            at = next((i for i, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1]), None)
            if at is not None:
                return f"epoch {number}, element {at}: {second[at]} where {first[at]} was expected"
    return ""
