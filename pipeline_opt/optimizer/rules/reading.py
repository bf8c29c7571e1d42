"""Files are read one at a time, or several: the same elements in the same order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.freedom import gives_one_element, order_is_free
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, in_order, is_deterministic, with_stages
from pipeline_opt.plan import Plan, with_inner
from pipeline_opt.stages import AUTO, FUNCTION_FIELDS, Interleave, Stage

_OWN_CYCLE = "with cycle_length AUTO TensorFlow takes other numbers of inputs in turn on one thread and on several"


def _sequential(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if not isinstance(stage, Interleave) or stage.num_parallel_calls is None:
            continue
        loose = stage.deterministic is False or (stage.deterministic is None and not is_deterministic(plan, facts))
        preserves = "set" if loose else _preserves(plan, at, stage, facts)
        if preserves is None:
            yield Declined(stage.name, f"the order would be another one: {_OWN_CYCLE}")
            continue
        alone = dataclasses.replace(stage, num_parallel_calls=None, deterministic=None)
        what = f"{stage.name} on one thread, as many files in turn as before"
        yield Rewrite(with_stages(plan, at, 1, (alone,)), stage.name, what, preserves)


def _parallel(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if not isinstance(stage, Interleave) or stage.num_parallel_calls is not None:
            continue
        preserves, reason = _preserves(plan, at, stage, facts), _together(stage, facts)
        if preserves is None:
            yield Declined(stage.name, f"the order would be another one: {_OWN_CYCLE}")
        elif reason:
            yield Declined(stage.name, reason)
        else:
            together = dataclasses.replace(stage, num_parallel_calls=AUTO, deterministic=in_order(plan, facts))
            what = f"{stage.name} on several threads, in order"
            yield Rewrite(with_stages(plan, at, 1, (together,)), stage.name, what, preserves)


def _preserves(plan: Plan, at: int, stage: Interleave, facts: Facts) -> str | None:
    """What is kept if the stage runs on another number of threads; None if the order is not, and may not change."""
    if stage.cycle_length != AUTO or gives_one_element(plan, stage):
        return "exact"
    return "set" if order_is_free(plan, at, facts) else None


def _together(stage: Interleave, facts: Facts) -> str:
    """Why the inputs of an interleave cannot work at the same time; nothing if they can."""
    for part in (stage, *with_inner(stage.inner)):
        function = _function(part)
        known = facts.of(function) if function is not None else None
        if known is None or known.purity == "pure":
            continue
        if known.python:
            return "it runs Python, which one thread does at a time whatever the parallelism"
        if known.purity == "unknown":
            return f"its inputs might depend on one another: {known.evidence}"
        if known.seeded:
            return "it draws numbers from a seed, and which element gets which would depend on the threads"
    return ""


def _function(stage: Stage) -> Function | None:
    found = (getattr(stage, name, None) for name in FUNCTION_FIELDS)
    return next((function for function in found if isinstance(function, Function)), None)


SEQUENTIAL = Rule(
    "read_sequentially", "handing single records from thread to thread costs more than reading them", _sequential
)
PARALLEL = Rule("read_in_parallel", "several files are waited for at once", _parallel)
