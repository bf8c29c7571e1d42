"""A rewrite of a plan, and a rule that finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Options, Shuffle, Stage

PRESERVES: Final = ("exact", "rounding", "set", "consent")
"""What a change keeps, from the most to the least: every bit; floating-point results but for rounding; the same rows in an epoch;
nothing that was not consented to."""


@dataclass(frozen=True)
class Rewrite:
    """A plan that a rule makes of another one.

    Args:
        plan: The new plan.
        stage: The name of the stage that is changed.
        what: What is changed, a phrase.
        preserves: What is kept.
        evidence: How that is known, where it does not follow from the rule alone.
    """

    plan: Plan
    stage: str
    what: str
    preserves: str = "exact"
    evidence: str = ""


@dataclass(frozen=True)
class Declined:
    """A place where a rule could have helped and may not: the stage, and why."""

    stage: str
    reason: str


@dataclass(frozen=True)
class Rule:
    """A way to make plans faster.

    Args:
        name: A short name.
        why: Why it helps, a sentence.
        find: Every place in a plan where it applies, or where it declines.
    """

    name: str
    why: str
    find: Callable[[Plan, Facts], Iterable[Rewrite | Declined]]


def with_stages(plan: Plan, at: int, old: int, new: Sequence[Stage]) -> Plan:
    """The plan with other stages in place of `old` ones from a place on."""
    return plan.with_stages((*plan.stages[:at], *new, *plan.stages[at + old :]))


def neighbours(plan: Plan) -> Iterator[tuple[int, Stage, Stage]]:
    """Every stage with the next one that works, options left out, and the place of the first."""
    working = [(at, stage) for at, stage in enumerate(plan.stages) if not isinstance(stage, Options)]
    for (at, first), (other, second) in pairwise(working):
        if other == at + 1:
            yield at, first, second


def is_deterministic(plan: Plan) -> bool:
    """Whether the options of a plan let elements come in their order."""
    said = [stage.deterministic for stage in plan.stages if isinstance(stage, Options)]
    return next((value for value in reversed(said) if value is not None), True)


def order_is_free(plan: Plan, at: int, facts: Facts) -> bool:
    """Whether nobody can rely on the order of the elements that reach a stage: one behind it shuffles them anew every time."""
    fresh = (s for s in plan.stages[at:] if isinstance(s, Shuffle) and s.seed is None and s.reshuffle_each_iteration)
    return facts.order_free or next(fresh, None) is not None


def with_options(plan: Plan, **told: object) -> Plan:
    """The plan with some options set, in its last options stage if it has one."""
    own = [stage for stage in plan.stages if isinstance(stage, Options)]
    if not own:
        return plan.append(Options(**told))  # type: ignore[arg-type]
    return plan.replace(own[-1].name, **told)


def swapped(plan: Plan, at: int) -> Plan:
    """The plan with a stage behind the one that follows it."""
    first, second = plan.stages[at], plan.stages[at + 1]
    return with_stages(plan, at, 2, (second, first))
