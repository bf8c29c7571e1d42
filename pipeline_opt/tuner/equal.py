"""The proof for two plans: both are made reproducible in the same way, and their elements compared."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pipeline_opt.build.forms.image_checks import seeded
from pipeline_opt.build.purities import purities_of
from pipeline_opt.build.steps import Built, build_steps
from pipeline_opt.build.traced import Traced
from pipeline_opt.clock import Clock
from pipeline_opt.functions import Beside, Chain, Function
from pipeline_opt.lazy import lazy_module
from pipeline_opt.plan import Combination, Plan, with_inner
from pipeline_opt.stages import Batching, FlatMap, Interleave, Map, PaddedBatch, Repeat, Shuffle, Stage
from pipeline_opt.storage import resolve
from pipeline_opt.tuner.components import places_of
from pipeline_opt.tuner.differences import EXACT, Bound
from pipeline_opt.tuner.proof import Equality, Preserves, compare
from pipeline_opt.tuner.randomness import random_components
from pipeline_opt.tuner.rows import is_batched

tf = lazy_module("tensorflow")

BOUND: Final = Bound(relative=1e-5, absolute=1e-6)
"""How far floats may be apart where a plan promises them but for rounding."""
FIRST_SEED: Final = 7_001


@dataclasses.dataclass(frozen=True)
class Terms:
    """How plans are compared.

    Args:
        preserves: What the other plan is to preserve.
        rounds: Whether its floats may be rounded otherwise.
        seconds: How long elements are read.
        clock: Where time comes from.
        own: Gives a plan files of its own.
    """

    preserves: Preserves
    rounds: bool
    seconds: float
    clock: Clock
    own: Callable[[Plan], Plan]


def prove(given: Plan, other: Plan, terms: Terms, live: Any = None) -> Equality:
    """Compare the elements of two plans.

    Shuffles without a seed get one, the same in both plans, and what repeats for ever is gone through once: so elements can be
    compared one by one though the plans themselves never give them twice in the same order. Where elements are random, they are
    compared once more with a seed for every random op. That the two draw the same numbers then is no promise of a plan: where a
    filter asks earlier, fewer are drawn.

    Args:
        given: The plan that there was.
        other: The one that is to take its place.
        terms: How.
        live: The dataset of which the given plan was read, if it gives the same elements every time.
    """
    if terms.preserves == "set" and _leftover(given):
        # Which rows a dropped remainder leaves out follows from the order: where it can be kept, no row needs to be excused.
        half = dataclasses.replace(terms, seconds=terms.seconds / 2)
        whole = _proved(keeping_remainders(given), keeping_remainders(other), half)
        if whole.known:
            return whole
    return _proved(given, other, terms, live)


def _proved(given: Plan, other: Plan, terms: Terms, live: Any = None) -> Equality:
    before, after = (_built(reproducible(plan), terms) for plan in (given, other))
    mask = random_components(before)
    fresh = bool(mask) or _draws_order(given) or any(p.kind == "random" for p in purities_of(before).values())
    share = 0.5 if mask else 1.0
    original = before[-1].after if live is None or reproducible(given) != given else live
    found = _compare((original, after[-1].after), given, terms, share, mask=mask, fresh=fresh)
    if not mask or not found.same:
        return found
    first, second = (_built(reproducible(plan, randomness=True), terms)[-1].after for plan in (given, other))
    again = _compare((first, second), given, terms, share, randomness=True, mask=(), fresh=False)
    note = "with the same seed for every random op they are the same, too, as far as they were compared"
    return dataclasses.replace(found, notes=(*found.notes, note)) if again.same else found


def _built(plan: Plan, terms: Terms) -> list[Built]:
    return build_steps(terms.own(plan), resolve, on_host=True)


def _compare(
    pair: tuple[Any, Any], given: Plan, terms: Terms, share: float, *, randomness: bool = False, **how: Any
) -> Equality:
    original, rewritten = pair
    return compare(
        original,
        rewritten,
        preserves=terms.preserves,
        bound=BOUND if terms.rounds else EXACT,
        batched=is_batched(given, original.element_spec),
        padding=_padding(given, original.element_spec),
        leftover=_leftover(given) if terms.preserves == "set" else 0,
        max_seconds=terms.seconds * share,
        clock=terms.clock,
        loose=_is_loose(given),
        again=lambda: _built(reproducible(given, randomness=randomness), terms)[-1].after,
        **how,
    )


def _draws_order(plan: Plan) -> bool:
    """Whether elements come in another order in every epoch."""
    inside = plan.source.plans if isinstance(plan.source, Combination) else ()
    own = any(isinstance(stage, Shuffle) and stage.reshuffle_each_iteration for stage in plan.stages)
    return own or any(map(_draws_order, inside))


def _is_loose(plan: Plan) -> bool:
    """Whether somewhere in a plan elements may come as they are ready."""
    parts = plan.source.plans if isinstance(plan.source, Combination) else ()
    return any(getattr(s, "deterministic", None) is False for s in with_inner(plan.stages)) or any(
        map(_is_loose, parts)
    )


def _leftover(plan: Plan) -> int:
    """Rows that the last batch of an epoch may drop: others, where the order is another."""
    return sum(s.batch_size - 1 for s in plan.stages if isinstance(s, Batching) and s.drop_remainder)


def _padding(plan: Plan, spec: Any) -> Mapping[str, Any]:
    """By place of a component, what the last stage that pads fills it up with."""
    stage = next((s for s in reversed(plan.stages) if isinstance(s, PaddedBatch)), None)
    if stage is None:
        return {}
    places, parts = places_of(spec), tf.nest.flatten(spec)
    if stage.padding_values is None:
        values: Sequence[Any] = [b"" if part.dtype == tf.string else part.dtype.as_numpy_dtype(0) for part in parts]
    else:
        values = tf.nest.flatten(stage.padding_values)
    return dict(zip(places, values, strict=True)) if len(values) == len(places) else {}


def reproducible(plan: Plan, *, randomness: bool = False) -> Plan:
    """The plan with a seed for every shuffle that has none, and once through the data in place of without end.

    Args:
        plan: The plan, whose maps hold traced functions.
        randomness: Whether random ops get seeds, too, and maps make one call after another, as they draw in turn.
    """
    return _fixed(plan, itertools.count(FIRST_SEED), randomness)


def keeping_remainders(plan: Plan) -> Plan:
    """The plan whose batches drop no remainder."""
    source = plan.source
    if isinstance(source, Combination):
        source = dataclasses.replace(source, plans=tuple(map(keeping_remainders, source.plans)))
    stages = (
        dataclasses.replace(stage, drop_remainder=False)
        if isinstance(stage, Batching) and stage.drop_remainder
        else stage
        for stage in plan.stages
    )
    return dataclasses.replace(plan, source=source, stages=tuple(stages))


def _fixed(plan: Plan, seeds: Iterator[int], randomness: bool) -> Plan:
    source = plan.source
    if isinstance(source, Combination):
        source = dataclasses.replace(source, plans=tuple(_fixed(part, seeds, randomness) for part in source.plans))
    return dataclasses.replace(plan, source=source, stages=_stages(plan.stages, seeds, randomness))


def _stages(stages: Sequence[Stage], seeds: Iterator[int], randomness: bool) -> tuple[Stage, ...]:
    return tuple(made for stage in stages if (made := _stage(stage, seeds, randomness)) is not None)


def _stage(stage: Stage, seeds: Iterator[int], randomness: bool) -> Any:
    match stage:
        case Shuffle(seed=None):
            return dataclasses.replace(stage, seed=next(seeds))
        case Repeat(count=None):
            return None
        case Interleave(inner=(_, *_)) | FlatMap(inner=(_, *_)):
            return dataclasses.replace(stage, inner=_stages(stage.inner, seeds, randomness))
        case Map() if randomness:
            return dataclasses.replace(
                stage, function=_seeded(stage.function), num_parallel_calls=None, deterministic=None
            )
    return stage


def _seeded(function: Function) -> Function:
    """The function with a seed for every random op, which the forms made of it keep."""
    if isinstance(function.call, Traced):
        return dataclasses.replace(function, call=seeded(function.call))
    if isinstance(function.call, Chain):
        return Function.chain(*map(_seeded, function.call.functions))
    if isinstance(function.call, Beside):
        return Function.beside(*(part and _seeded(part) for part in function.call.functions))
    return function
