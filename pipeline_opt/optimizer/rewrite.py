"""A rewrite of a plan, and a rule that finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.plan import Plan
from pipeline_opt.stages import OpaqueStage, Options, Repeat, Shuffle, Stage

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
        whole: Whether it looks at a pipeline as a whole, when all else is done, and not at one inside another.
    """

    name: str
    why: str
    find: Callable[[Plan, Facts], Iterable[Rewrite | Declined]]
    whole: bool = False


def with_stages(plan: Plan, at: int, old: int, new: Sequence[Stage]) -> Plan:
    """The plan with other stages in place of `old` ones from a place on."""
    return plan.with_stages((*plan.stages[:at], *new, *plan.stages[at + old :]))


def neighbours(plan: Plan) -> Iterator[tuple[int, Stage, Stage]]:
    """Every stage with the next one that works, where no options stand between, and the place of the first."""
    for at, (first, second) in enumerate(pairwise(plan.stages)):
        if not isinstance(first, Options) and not isinstance(second, Options):
            yield at, first, second


def is_deterministic(plan: Plan, facts: Facts) -> bool:
    """Whether the options of a plan, or else of the one around it, let elements come in their order."""
    said = [stage.deterministic for stage in plan.stages if isinstance(stage, Options)]
    return next((value for value in reversed(said) if value is not None), facts.ordered)


def in_order(plan: Plan, facts: Facts) -> bool | None:
    """The `deterministic` of a stage that is to keep the order: said only where options say otherwise."""
    return None if is_deterministic(plan, facts) else True


def with_options(plan: Plan, **told: object) -> Plan:
    """The plan with some options set, in its last options stage if it has one."""
    own = [stage for stage in plan.stages if isinstance(stage, Options)]
    if not own:
        return plan.append(Options(**told))  # type: ignore[arg-type]
    return plan.replace(own[-1].name, **told)


def moved(plan: Plan, at: int, to: int) -> Plan:
    """The plan with the stage at one place at another one, as those between close up."""
    stages = list(plan.stages)
    stages.insert(to, stages.pop(at))
    return plan.with_stages(stages)


def keeps_draws(plan: Plan, other: Plan) -> bool:
    """Whether every seeded shuffle draws in another plan as it does in this one.

    TensorFlow fuses a shuffle and the repeat behind it, and the fused one draws another order from the second epoch on.
    """
    return _fused(plan) == _fused(other)


def _fused(plan: Plan) -> set[str]:
    return {
        first.name
        for first, second in pairwise(stage for stage in plan.stages if not isinstance(stage, Options))
        if isinstance(first, Shuffle) and isinstance(second, Repeat) and first.seed is not None
    }


OTHER_DRAWS: Final = "a seeded shuffle draws another order with a repeat right behind it than without"
"""Why a stage may neither come nor go between the two."""


def swallows_errors(plan: Plan, at: int, facts: Facts) -> str:
    """The name of a stage behind a place that leaves elements out where a function fails; nothing if there is none."""
    for stage in plan.stages[at:]:
        if isinstance(stage, OpaqueStage):
            label = stage.transformation.label if stage.transformation is not None else ""
            if "ignore_errors" in (stage.name, label) or stage.name.startswith("ignore_errors"):
                return stage.name
    return facts.swallows
