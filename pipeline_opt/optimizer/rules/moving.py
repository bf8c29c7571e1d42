"""A pure map moves past stages that only pass elements on: behind them, or before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of
from pipeline_opt.optimizer.rewrite import (
    OTHER_DRAWS,
    Declined,
    Rewrite,
    Rule,
    keeps_draws,
    moved,
    swallows_errors,
)
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Cache, Map, Prefetch, Repeat, Shard, Shuffle, Skip, Snapshot, Stage, Take


@dataclass(frozen=True)
class _Way:
    """A direction in which maps move.

    Args:
        step: From one place to the next one.
        passing: Stages that look at no element: whether a pure function is applied before or after them makes no difference.
        choosing: Those of them that would choose others where elements are left out before them, not behind.
        to: Where the map goes.
        stays: Where it is.
        kept: What files of an earlier run may hold.
        chosen: What would be different where elements are left out.
    """

    step: int
    passing: tuple[type[Stage], ...]
    choosing: tuple[type[Stage], ...]
    to: str
    stays: str
    kept: str
    chosen: str

    def places(self, plan: Plan, at: int) -> range:
        """The places on the way from one on, the nearest first."""
        return range(at + self.step, len(plan.stages) if self.step > 0 else -1, self.step)


_LATE: Final = _Way(
    1,
    (Shuffle, Take, Skip, Shard, Repeat, Prefetch, Cache, Snapshot),
    (Shuffle, Take, Skip, Shard),
    "after",
    "before",
    "it makes",
    "others would be chosen",
)
_EARLY: Final = _Way(
    -1,
    (Shuffle, Repeat, Prefetch, Cache, Snapshot),
    (Shuffle,),
    "before",
    "after",
    "it takes",
    "the shuffle would draw among fewer",
)


def _find(way: _Way, plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if isinstance(stage, Map):
            yield from _along(way, plan, at, stage, facts)


def _along(way: _Way, plan: Plan, at: int, stage: Map, facts: Facts) -> Iterator[Rewrite | Declined]:
    """The map past each of the stages that only pass elements on, up to the first that it may not pass."""
    for to in way.places(plan, at):
        passed = plan.stages[to]
        if not isinstance(passed, way.passing):
            return
        reason = _refusal(way, plan, at, to, facts)
        if reason:
            yield Declined(stage.name, f"it stays {way.stays} {passed.name}{reason}")
            return
        elsewhere = moved(plan, at, to)
        if keeps_draws(plan, elsewhere):
            yield Rewrite(elsewhere, stage.name, f"{stage.name} {way.to} {passed.name}")
        else:
            yield Declined(stage.name, f"it may not stand right {way.to} {passed.name}: {OTHER_DRAWS}")


def _refusal(way: _Way, plan: Plan, at: int, to: int, facts: Facts) -> str:
    """Why a map may not pass a stage; nothing if it may."""
    stage, passed = plan.stages[at], plan.stages[to]
    assert isinstance(stage, Map)
    known = form_of(stage, facts)
    if known.purity != "pure":
        return f", as it is {known.purity}: {known.evidence}"
    if isinstance(passed, Snapshot) or (isinstance(passed, Cache) and passed.filename):
        return f", whose files may be there already and hold what {way.kept}"
    swallows = swallows_errors(plan, max(at, to) + 1, facts)
    if swallows and isinstance(passed, way.choosing):
        return f": {swallows} leaves out what it fails on, and {way.chosen}"
    return ""


LATE = Rule(
    "late_map",
    "what is held, dropped or repeated are the elements before the function, not what it makes of them",
    partial(_find, _LATE),
)
EARLY = Rule(
    "early_map", "what it makes can be kept by a cache, or is smaller than what it takes", partial(_find, _EARLY)
)
