"""The proof that a rewritten pipeline has the elements of the original.

What can be shown depends on the original. Where its elements come in the same order every time, both are compared in lock step.
Where they do not, only whole epochs can be compared, as multisets of rows: of two samples of an epoch in unknown order nothing
follows, and the result then says that it is not known. Components that random operations touch are compared by dtype and shape
only; that their randomness is still drawn anew is another question (`freshness`).

Datasets that repeat are to be given without their `repeat`, as an endless one has no epoch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np

from pipeline_opt.clock import Clock, SystemClock
from pipeline_opt.errors import UsageError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.tuner.components import components_of, without
from pipeline_opt.tuner.differences import (
    EXACT,
    NO_ERRORS,
    Bound,
    Difference,
    Errors,
    compare_components,
    describe,
    shown,
)
from pipeline_opt.tuner.freshness import Freshness, freshness
from pipeline_opt.tuner.hashing import Fingerprint, Fingerprinter, digests_of, keys_of, row_counts
from pipeline_opt.tuner.matching import MOST_KEPT, Rows, unmatched
from pipeline_opt.tuner.readings import Limits, Reading
from pipeline_opt.tuner.shapes import Shapes

tf = lazy_module("tensorflow")

Preserves = Literal["exact", "rounding", "set"]

MAX_ELEMENTS: Final = 1_000_000
ENOUGH: Final = 10
"""Rows that are compared for each that a dropped remainder may explain."""
IN_ORDER: Final = 0.8
"""The part of the time in which elements are compared in order; the rest finds out whether they have one, where they differ."""
LOOKED_AT: Final = 3
"""How often it is looked at whether an original has an order."""
COMPARED: Final = 0.75
"""The part of the time in which elements are compared; the rest shows that what is random is drawn anew."""
NAME_THEM: Final = "what can be compared has to be told by the components that are random"


@dataclass(frozen=True)
class Equality:
    """What was shown.

    Args:
        same: Whether the elements were shown to be the same, as far as `whole` and `notes` say.
        elements: Elements of the original that were compared.
        whole: Whether that was all of them.
        ordered: Whether they were compared in order; otherwise as a multiset of rows.
        errors: The largest differences of floats that are within the bound.
        difference: The first difference, where there is one.
        fresh: What two epochs have in common, where it was asked for.
        notes: Sentences on what was shown and what was not.
    """

    same: bool
    elements: int = 0
    whole: bool = False
    ordered: bool = True
    errors: Errors = NO_ERRORS
    difference: Difference | None = None
    fresh: Freshness | None = None
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether something was shown, be it that they are the same or that they are not."""
        return self.same or self.difference is not None

    def __str__(self) -> str:
        much = f"{'all ' if self.whole else 'the first '}{self.elements:,} elements"
        how = "in order" if self.ordered else "as a multiset of rows"
        verdict = f"the same, {much}, {how}" if self.same else "different" if self.known else f"not known: {much} read"
        return "; ".join([verdict, *([str(self.difference)] if self.difference else []), *self.notes])


@dataclass(frozen=True)
class _Job:
    preserves: Preserves
    bound: Bound
    batched: bool
    mask: Collection[int]
    padding: Mapping[str, Any]
    leftover: int
    limits: Limits
    again: Callable[[], Any]
    loose: bool


def compare(
    original: Any,
    rewritten: Any,
    *,
    preserves: Preserves = "exact",
    bound: Bound = EXACT,
    ordered: bool | None = None,
    batched: bool = False,
    mask: Collection[int] = (),
    padding: Mapping[str, Any] | None = None,
    leftover: int = 0,
    fresh: bool = False,
    max_elements: int = MAX_ELEMENTS,
    max_seconds: float = 60.0,
    clock: Clock | None = None,
    again: Callable[[], Any] | None = None,
    loose: bool = False,
) -> Equality:
    """Compare the elements of two datasets.

    Args:
        original: The dataset that there was.
        rewritten: The one that is to take its place.
        preserves: `exact`: bit for bit, in the same batches, in order where there is one. `rounding`: likewise, but floats within
            `bound`. `set`: the same rows in an epoch, in batches of the same sizes, in whatever order.
        bound: How far floats may be apart; not for `exact`.
        ordered: Whether the original's elements come in the same order every time. None: that is found out where they differ.
        batched: Whether the elements are batches, so that their rows can be compared in any order.
        mask: Numbers of the components (in the order of `tf.nest.flatten`) that random operations touch.
        padding: For places of components (as `['tokens']`) the value with which `padded_batch` fills up; such filling does
            not count where rows are compared in any order.
        leftover: Rows of each that need no partner, where an unordered pipeline drops the remainder of the last batch.
        fresh: Whether to show that what is random, and the order, still differ from epoch to epoch; takes two epochs of each.
        max_elements: Elements that are read of each at the most.
        max_seconds: Seconds after which no further element is read.
        clock: Where time comes from.
        again: Makes the original once more: it may draw its order as it is made. None: it is the same in any case.
        loose: Whether the original promises no order, though it may come in one most of the time.
    """
    clock = SystemClock() if clock is None else clock
    limits = Limits(clock, clock.now() + max_seconds, max_elements)
    allowed = EXACT if preserves == "exact" else bound
    parts = limits.part(COMPARED) if fresh else limits
    job = _Job(
        preserves, allowed, batched, tuple(mask), padding or {}, leftover, parts, again or (lambda: original), loose
    )
    types = _types(original.element_spec, rewritten.element_spec)
    if types is not None:
        return Equality(False, ordered=bool(ordered), difference=types)
    found = _compared(original, rewritten, ordered, job)
    if mask:
        found = replace(found, notes=(*found.notes, _masked(original, job)))
    if not fresh or not found.same:
        return found
    try:
        seen = freshness(original, rewritten, mask=job.mask, batched=batched, padding=job.padding, limits=limits)
    except UsageError as error:
        return replace(found, notes=(*found.notes, f"whether epochs still differ is not known: {error}"))
    return _with_freshness(found, seen)


def _masked(original: Any, job: _Job) -> str:
    """What of a dataset was compared by dtype and shape only; that may be all of it."""
    count = len(set(job.mask))
    every = "; nothing else is there" if count == len(tf.nest.flatten(original.element_spec)) else ""
    return f"{count} random components compared by dtype and shape only{every}"


def _types(original: Any, rewritten: Any) -> Difference | None:
    """A difference unless the one type is as the other, or more precise."""
    specs = [tf.nest.flatten(spec) for spec in (original, rewritten)]
    try:
        tf.nest.assert_same_structure(original, rewritten)
        same = all(a == b or b.is_subtype_of(a) for a, b in zip(*specs, strict=True))
    except (TypeError, ValueError):
        same = False
    return None if same else Difference("another element_spec", None, "", str(original), str(rewritten))


def _compared(original: Any, rewritten: Any, ordered: bool | None, job: _Job) -> Equality:
    """As `_of_epoch`; what cannot be compared is not known."""
    try:
        return _of_epoch(original, rewritten, ordered, job)
    except UsageError as error:
        return Equality(False, ordered=False, notes=(str(error),))


def _of_epoch(original: Any, rewritten: Any, ordered: bool | None, job: _Job) -> Equality:
    if job.preserves == "set" or ordered is False:
        return _as_sets(original, rewritten, job)
    found = _in_order(original, rewritten, replace(job, limits=job.limits if ordered else job.limits.part(IN_ORDER)))
    if found.difference is None or ordered:
        return found
    kept = not job.loose and _keeps_order(original, found.elements, job)
    if kept is None:
        why = f"{found.difference}; whether the original has an order was not found out in the time"
        return replace(found, difference=None, notes=(*found.notes, why))
    if kept:
        return found
    seen = _as_sets(original, rewritten, job)
    order = "promises no order" if job.loose else "comes in another order each time"
    return replace(seen, notes=(f"the original {order}", *seen.notes))


def _keeps_order(original: Any, count: int, job: _Job) -> bool | None:
    """Whether a dataset gave the same elements every time, further than so many of them; None if it was not read so far.

    Few elements that are drawn may come in the same order by chance: it is looked at more than once.
    """
    enough = True
    for left in range(LOOKED_AT, 0, -1):
        itself = _in_order(original, job.again(), replace(job, bound=EXACT, limits=job.limits.part(0.5 / left)))
        if itself.difference is not None:
            return False
        enough &= itself.whole or itself.elements > count
    return True if enough else None


def _as_sets(original: Any, rewritten: Any, job: _Job) -> Equality:
    """Both as multisets of rows; a difference counts only if the original does not differ from itself as much."""
    found = _as_rows(original, rewritten, replace(job, limits=job.limits.part(0.7)))
    if found.difference is None or _as_rows(original, job.again(), job).difference is None:
        return found
    return replace(
        found, difference=None, notes=(*found.notes, f"the original itself has other rows in each epoch: {NAME_THEM}")
    )


def _in_order(original: Any, rewritten: Any, job: _Job) -> Equality:
    """Both in lock step."""
    sides = [Reading(dataset, job.limits) for dataset in (original, rewritten)]
    shapes = [Shapes(job.mask, batched=job.batched), Shapes(job.mask, batched=job.batched)]
    errors, count, difference = NO_ERRORS, 0, None
    streams = [iter(side) for side in sides]
    while difference is None:
        pair = [next(stream, None) for stream in streams]
        if pair[0] is None or pair[1] is None:
            difference = _ends(sides, count) or shapes[0].difference(shapes[1])
            break
        one, other = (components_of(element) for element in pair)
        difference, seen = compare_components(without(one, job.mask), without(other, job.mask), job.bound, count)
        for side, components in zip(shapes, (one, other), strict=True):
            side.add(components)
        errors = errors.worst(seen)
        count += 1
    whole = all(side.whole for side in sides)
    notes = _end_notes(sides, count)
    return Equality(difference is None and (count > 0 or whole), count, whole, True, errors, difference, None, notes)


def _ends(sides: Sequence[Reading], count: int) -> Difference | None:
    """Whether one ended, or failed, where the other did not. The limits are no end."""
    ends = [side.end or "goes on" for side in sides]
    if "time" in ends or ends[0] == ends[1]:
        return None
    said = {"data": "it ends", "elements": "it goes on", "goes on": "it goes on"}
    texts = [said.get(end, f"it fails: {side.error}") for side, end in zip(sides, ends, strict=True)]
    return Difference("not the same number of elements", count, "", *texts)


def _end_notes(sides: Sequence[Reading], count: int) -> tuple[str, ...]:
    ends = {side.end for side in sides}
    if "error" in ends:
        return (f"the original fails after {count:,} elements: {sides[0].error}",) if sides[0].end == "error" else ()
    why = "time" if "time" in ends else "max_elements" if "elements" in ends else ""
    return (f"a sample, as {why} allowed no more",) if why else ()


@dataclass
class _Epoch:
    """One pass: the hash of its rows, how large its batches are, and, for rounding, its floats."""

    reading: Reading
    shapes: Shapes
    hashes: Fingerprinter = field(default_factory=Fingerprinter)
    keys: list[Any] = field(default_factory=list)
    sizes: Counter[int] = field(default_factory=Counter)
    rows: Rows = field(default_factory=Rows)
    too_much: bool = False

    @property
    def fingerprint(self) -> Fingerprint:
        return self.hashes.result()


def _read(dataset: Any, job: _Job, limits: Limits) -> _Epoch:
    epoch = _Epoch(Reading(dataset, limits), Shapes(job.mask, batched=job.batched))
    for element in epoch.reading:
        everything = components_of(element)
        components = without(everything, job.mask)
        epoch.shapes.add(everything)
        epoch.sizes[(next(iter(row_counts(components)), None) or 0) if job.batched else 1] += 1
        if job.bound != EXACT:
            epoch.rows.add(components, batched=job.batched, padding=job.padding)
            epoch.too_much = epoch.rows.nbytes > MOST_KEPT
        else:
            digests = digests_of(components, batched=job.batched, padding=job.padding)
            epoch.hashes.add(digests)
            epoch.keys.append(keys_of(digests))
        if epoch.too_much:
            break
    return epoch


def _as_rows(original: Any, rewritten: Any, job: _Job) -> Equality:
    """A whole epoch of each, in whatever order."""
    one, other = _read(original, job, job.limits.part(0.4)), _read(rewritten, job, job.limits.part(0.8))
    sides = [one.reading, other.reading]
    whole = all(side.whole for side in sides)
    result = Equality(False, sides[0].count, whole, False, notes=_end_notes(sides, sides[0].count))
    if one.too_much or other.too_much:
        return replace(
            result, notes=(f"more floats than the {MOST_KEPT:,} bytes that are kept to compare them in any order",)
        )
    early = _ends(sides, min(side.count for side in sides)) or one.shapes.difference(other.shapes)
    if early is not None:
        return replace(result, difference=early)
    if not whole:
        return replace(result, notes=(*result.notes, "of a part of an epoch without order nothing follows"))
    if job.batched and one.sizes != other.sizes:
        texts = [
            ", ".join(f"{n:,} of {size:,}" for size, n in sorted(e.sizes.items(), reverse=True)) for e in (one, other)
        ]
        return replace(result, difference=Difference("batches of other sizes", None, "", *texts))
    if job.bound != EXACT:
        return _nearly(one, other, job, result)
    if one.fingerprint.same_rows(other.fingerprint):
        return replace(result, same=True)
    return _odd_rows((original, rewritten), (one, other), job, result)


def _nearly(one: _Epoch, other: _Epoch, job: _Job, result: Equality) -> Equality:
    count, example, errors = unmatched(one.rows, other.rows, job.bound)
    result = replace(result, errors=errors)
    if count <= job.leftover and one.rows.count == other.rows.count:
        return _but_for_leftover(result, count, one.rows.count, job)
    what = f"{count:,} of {one.rows.count:,} rows of the original have no partner within the bound among {other.rows.count:,}"
    text = "" if example is None else f"floats {shown(example)}"
    return replace(result, difference=Difference(what, None, "", text, "none" if text else ""))


def _but_for_leftover(result: Equality, odd: int, rows: int, job: _Job) -> Equality:
    """The same but for rows that a dropped remainder can explain; not known where it could explain a large part of them."""
    if not odd:
        return replace(result, same=True)
    if rows < ENOUGH * job.leftover:
        said = f"{odd:,} rows differ, and the remainder that is dropped may be {job.leftover:,} of {rows:,}: too many to tell"
        return replace(result, notes=(*result.notes, said))
    return replace(result, same=True, notes=(*result.notes, f"{odd:,} rows differ, as the remainder is dropped"))


def _odd_rows(datasets: tuple[Any, Any], epochs: tuple[_Epoch, _Epoch], job: _Job, result: Equality) -> Equality:
    """Rows that one epoch has more often than the other; they are looked for in another pass, to be shown."""
    counts = [Counter(np.concatenate([np.zeros(0, np.uint64), *epoch.keys]).tolist()) for epoch in epochs]
    missing, added = counts[0] - counts[1], counts[1] - counts[0]
    if 0 < max(missing.total(), added.total()) <= job.leftover:
        return _but_for_leftover(result, missing.total(), sum(map(len, epochs[0].keys)), job)
    what = f"{missing.total():,} rows are missing and {added.total():,} are too many or others"
    texts = [
        _find(dataset, set(odd), job) if odd else "none"
        for dataset, odd in zip(datasets, (missing, added), strict=True)
    ]
    return replace(result, difference=Difference(what, None, "", *texts))


def _find(dataset: Any, keys: set[int], job: _Job) -> str:
    """The first row with one of some keys, in short; an epoch that is random may not have it again."""
    for element in Reading(dataset, job.limits):
        components = without(components_of(element), job.mask)
        found = np.isin(keys_of(digests_of(components, batched=job.batched, padding=job.padding)), list(keys))
        if found.any():
            return describe(components, int(np.argmax(found)) if job.batched else None)
    return "a row that did not come again"


def _with_freshness(found: Equality, seen: Freshness) -> Equality:
    notes = found.notes
    if seen.unknown:
        notes = (*notes, f"too few rows to tell whether {', '.join(seen.unknown)} differ from epoch to epoch")
    if not seen.frozen:
        return replace(found, fresh=seen, notes=notes)
    name = seen.frozen[0]
    texts = [f"{side[name]:.1%} of rows come again" for side in (seen.original, seen.rewritten)]
    frozen = Difference(f"{', '.join(seen.frozen)}: no longer drawn anew every epoch", None, "", *texts)
    return replace(found, same=False, fresh=seen, difference=frozen, notes=notes)
