"""A rewrite of a plan, and a rule that finds them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import OpaqueStage, Options, Prefetch, PrefetchToDevice, Repeat, Shuffle, Stage

PRESERVES: Final = ("exact", "rounding", "set")
"""What a change keeps, from the most to the least: every bit; results but for rounding; the same rows in an epoch."""


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


def said_of_order(plan: Plan, facts: Facts) -> bool | None:
    """What options say of the order: whether elements keep it; None where none says anything.

    TensorFlow takes all options of a pipeline together, wherever they stand: the last ones that say something count.
    """
    return _said(plan) if facts.ordered is None else facts.ordered


def _said(plan: Plan) -> bool | None:
    last = last_saying(plan, "deterministic")
    return None if last is None else last.deterministic


def last_saying(plan: Plan, option: str) -> Options | None:
    """The options of a pipeline that count for one of them: the last that say something of it; None where none do."""
    said = [options for options in _all_options(plan) if getattr(options, option) is not None]
    return said[-1] if said else None


def _all_options(plan: Plan) -> Iterator[Options]:
    """All options of a pipeline, those of plans inside its source first."""
    for part in plan.source.plans if isinstance(plan.source, Combination) else ():
        yield from _all_options(part)
    yield from (stage for stage in plan.stages if isinstance(stage, Options))


def is_deterministic(plan: Plan, facts: Facts) -> bool:
    """Whether options let elements come in their order, as they do where they say nothing."""
    return said_of_order(plan, facts) is not False


def in_order(plan: Plan, facts: Facts) -> bool | None:
    """The `deterministic` of a stage that is to keep the order: said only where options say otherwise."""
    return None if is_deterministic(plan, facts) else True


def works_ahead(stage: Stage) -> bool:
    """Whether a stage makes its next element before it is asked for it; a prefetch of nothing only passes elements on."""
    return isinstance(stage, PrefetchToDevice) or (isinstance(stage, Prefetch) and stage.buffer_size != 0)


def last_working(plan: Plan) -> Stage | None:
    """The last stage of a plan that is no options; None where there is none."""
    return next((stage for stage in reversed(plan.stages) if not isinstance(stage, Options)), None)


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
        if isinstance(first, Shuffle)
        and isinstance(second, Repeat)
        and first.seed is not None
        and first.buffer_size > 1
    }


OTHER_DRAWS: Final = "a seeded shuffle draws another order with a repeat right behind it than without"
"""Why a stage may neither come nor go between the two."""


PASSING_ERRORS: Final = frozenset(
    {
        "assert_cardinality",
        "assert_next",
        "assert_prev",
        "batch",
        "bucket_by_sequence_length",
        "cache",
        "concatenate",
        "dense_to_sparse_batch",
        "filter",
        "flat_map",
        "group_by_reducer",
        "interleave",
        "legacy_parallel_interleave",
        "map",
        "padded_batch",
        "parse_example",
        "prefetch",
        "rebatch",
        "repeat",
        "sample",
        "sampling",
        "scan",
        "shard",
        "shuffle",
        "skip",
        "sliding_window",
        "snapshot",
        "structure",
        "take",
        "take_while",
        "unbatch",
        "unique",
        "window",
        "zip",
    }
)
"""Ops of tf.data behind which an error still ends the pipeline, by the names that plans read from datasets have for them."""


def swallows_errors(plan: Plan, at: int, facts: Facts) -> str:
    """The name of a stage behind a place that might leave elements out where a function fails; nothing if there is none."""
    behind = (stage for stage in plan.stages[at:] if isinstance(stage, OpaqueStage))
    return next((stage.name for stage in behind if may_swallow(stage.transformation)), facts.swallows)


def may_swallow(function: Function | None) -> bool:
    """Whether a transformation might leave out what fails: a user's code might, most ops of tf.data do not."""
    return op_of(function) not in PASSING_ERRORS


def op_of(function: Function | None) -> str:
    """The op of tf.data that a transformation is, by the name that plans have for it; nothing of a user's code."""
    call = None if function is None or function.ref else function.call
    # A user's function may have any name. An op that was read from a dataset is an object that is named after the op.
    is_code = inspect.isroutine(call) or inspect.isclass(call)
    return "" if is_code else getattr(call, "__name__", "")
