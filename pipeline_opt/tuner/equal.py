"""The proof for two plans: both are made reproducible in the same way, and their elements compared."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, Final

from pipeline_opt.build.purities import purities_of
from pipeline_opt.build.steps import build_steps
from pipeline_opt.clock import Clock
from pipeline_opt.order.position import end
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import Cache, Repeat, Shuffle, Stage
from pipeline_opt.storage import resolve
from pipeline_opt.tuner.differences import Bound
from pipeline_opt.tuner.proof import Equality, Preserves, compare
from pipeline_opt.tuner.randomness import random_components

BOUND: Final = Bound(relative=1e-5, absolute=1e-6)
"""How far floats may be apart where a plan promises them but for rounding."""
FIRST_SEED: Final = 7_001


def prove(given: Plan, other: Plan, preserves: Preserves, seconds: float, clock: Clock) -> Equality:
    """Compare the elements of two plans.

    Shuffles without a seed get one, the same in both plans, and what repeats for ever is gone through once: so elements can be
    compared one by one though the plans themselves never give them twice in the same order.

    Args:
        given: The plan that there was.
        other: The one that is to take its place.
        preserves: What it is to preserve.
        seconds: How long elements are read.
        clock: Where time comes from.
    """
    before = build_steps(reproducible(given), resolve, on_host=True)
    after = build_steps(reproducible(other), resolve, on_host=True)
    mask = random_components(before)
    state = any(purity.kind == "random" for purity in purities_of(before).values())
    return compare(
        before[-1].after,
        after[-1].after,
        preserves=preserves,
        bound=BOUND,
        batched=end(given).batched is not False,
        mask=mask,
        fresh=state,
        max_seconds=seconds,
        clock=clock,
    )


def reproducible(plan: Plan) -> Plan:
    """The plan with a seed for every shuffle that has none, and once through the data in place of without end."""
    return _fixed(plan, itertools.count(FIRST_SEED))


def _fixed(plan: Plan, seeds: Iterator[int]) -> Plan:
    source = plan.source
    if isinstance(source, Combination):
        source = dataclasses.replace(source, plans=tuple(_fixed(part, seeds) for part in source.plans))
    stages = tuple(stage for given in plan.stages if (stage := _stage(given, seeds)) is not None)
    return dataclasses.replace(plan, source=source, stages=stages)


def _stage(stage: Stage, seeds: Iterator[int]) -> Any:
    if isinstance(stage, Shuffle) and stage.seed is None:
        return dataclasses.replace(stage, seed=next(seeds))
    if isinstance(stage, Repeat) and stage.count is None:
        return None
    if isinstance(stage, Cache) and stage.filename:
        return None
    return stage
