"""Whether what is random is drawn anew every epoch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline_opt.tuner.components import components_of, places_of, without
from pipeline_opt.tuner.hashing import digests_of, keys_of
from pipeline_opt.tuner.readings import Limits, Reading

CHANCE: Final = 1e-6
"""Randomness is called frozen where it would look like this by chance less often."""

LOOKS: Final = 20
"""Epochs more that are looked at before anything is called frozen, while there is time."""
ORDER: Final = "order"
_FEWEST_IN_ORDER: Final = 10

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Freshness:
    """How much of two epochs was the same.

    Args:
        original: For `order` and for the place of each random component, the part of the rows that came again in the second
            epoch of the original.
        rewritten: Likewise of the other one.
        frozen: What comes again there though it does not in the original.
        unknown: What cannot be told, as there are too few rows.
    """

    original: Mapping[str, float]
    rewritten: Mapping[str, float]
    frozen: tuple[str, ...]
    unknown: tuple[str, ...]


def freshness(
    original: Any, rewritten: Any, *, mask: Collection[int], batched: bool, padding: Mapping[str, Any], limits: Limits
) -> Freshness:
    """Compare two epochs of each, and more of the other one where it seems frozen.

    A component that randomness touches is looked at together with all that it does not touch, so that a row is compared with
    itself; and the order of the rows by what it does not touch. It is frozen where it comes again in every row, or in so many
    more than in the original that this is no chance.
    """
    names = {number: place for number, place in enumerate(places_of(original.element_spec)) if number in mask}
    epochs = [
        [_epoch(dataset, names, batched, padding, limits.part(1 / left)) for left in lefts]
        for dataset, lefts in ((original, (4, 3)), (rewritten, (2, 1)))
    ]
    before, after = (_again(*pair) for pair in epochs)
    rows = min(len(keys) for pair in epochs for epoch in pair for keys in epoch.values())
    frozen = _frozen(before, after, rows)
    for _ in range(LOOKS):
        if not frozen or limits.left_s <= 0:
            break
        # Rows are drawn together where only files are shuffled: two of them come in the same order in every other epoch.
        again = _again(epochs[1][0], _epoch(rewritten, names, batched, padding, limits.part(1 / 2)))
        after = {name: min(part, again[name]) for name, part in after.items()}
        frozen = _frozen(before, after, rows)
    few = tuple(
        name for name in before if name not in frozen and before[name] < 1 and _too_few(name, before[name], rows)
    )
    return Freshness(before, after, frozen, few)


def _epoch(
    dataset: Any, names: Mapping[int, str], batched: bool, padding: Mapping[str, Any], limits: Limits
) -> dict[str, Keys]:
    keys: dict[str, list[Keys]] = {name: [] for name in (ORDER, *names.values())}
    for element in Reading(dataset, limits):
        components = components_of(element)
        for number, name in ((None, ORDER), *names.items()):
            hidden = [other for other in names if other != number]
            keys[name].append(keys_of(digests_of(without(components, hidden), batched=batched, padding=padding)))
    return {name: np.concatenate([np.zeros(0, np.uint64), *parts]) for name, parts in keys.items()}


def _again(first: Mapping[str, Keys], second: Mapping[str, Keys]) -> dict[str, float]:
    order = _in_place(first[ORDER], second[ORDER])
    compare = _in_place if order >= 1 else _anywhere
    return {name: order if name == ORDER else compare(first[name], second[name]) for name in first}


def _in_place(first: Keys, second: Keys) -> float:
    rows = min(len(first), len(second))
    return float((first[:rows] == second[:rows]).mean()) if rows else 1.0


def _anywhere(first: Keys, second: Keys) -> float:
    (one, counts), (other, others) = (np.unique(keys, return_counts=True) for keys in (first, second))
    _, here, there = np.intersect1d(one, other, return_indices=True)
    rows = min(len(first), len(second))
    return float(np.minimum(counts[here], others[there]).sum() / rows) if rows else 1.0


def _frozen(before: Mapping[str, float], after: Mapping[str, float], rows: int) -> tuple[str, ...]:
    return tuple(name for name in before if _is_frozen(before[name], after[name], rows))


def _is_frozen(before: float, after: float, rows: int) -> bool:
    if before >= 1 or rows == 0:
        return False
    if after >= 1:
        return rows * math.log(max(before, 1 / (rows + 1))) < math.log(CHANCE)
    mean = (before + after) / 2
    return after - before > 5 * math.sqrt(2 * mean * (1 - mean) / rows)


def _too_few(name: str, before: float, rows: int) -> bool:
    return rows * math.log(max(before, 1 / (rows + 1))) >= math.log(CHANCE) or (
        name == ORDER and rows < _FEWEST_IN_ORDER
    )
