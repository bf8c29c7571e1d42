"""Whether a dataset ever ends, also where tf.data's own cardinality does not tell, as behind a filter."""

from __future__ import annotations

from typing import Any, Final

from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

ENDING: Final = ("_TakeDataset", "_TakeWhileDataset")
"""Datasets that end although their input does not."""

UNTIL_THE_FIRST_ENDS: Final = ("_ZipDataset",)
"""Datasets of several inputs that end with the first of them."""


def is_endless(dataset: Any) -> bool:
    """Whether a dataset goes on for ever: it says so, or what it takes from does and nothing in between ends it."""
    cardinality = dataset.cardinality().numpy()
    if cardinality != tf.data.UNKNOWN_CARDINALITY:
        return bool(cardinality == tf.data.INFINITE_CARDINALITY)
    kind, inputs = type(dataset).__name__, dataset._inputs()
    if kind in ENDING or not inputs:
        return False
    return (all if kind in UNTIL_THE_FIRST_ENDS else any)(is_endless(taken) for taken in inputs)
