"""What slows a pipeline down, or does harm: each thing alone, with what it costs on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from pipeline_opt.build.purities import purities, random_of
from pipeline_opt.clock import Clock
from pipeline_opt.functions import Function
from pipeline_opt.machine import Machine
from pipeline_opt.names import inner_prefix
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.model import predict
from pipeline_opt.optimizer.rewrite import Rewrite
from pipeline_opt.optimizer.rules import RULES
from pipeline_opt.optimizer.search import is_allowed, outcomes
from pipeline_opt.order import harms
from pipeline_opt.plan import Combination, Plan, with_inner
from pipeline_opt.stages import FUNCTION_FIELDS
from pipeline_opt.storage import remembering
from pipeline_opt.summary import SCHEMA
from pipeline_opt.text import plan_text
from pipeline_opt.tuner.allocator import keeping_memory
from pipeline_opt.tuner.bench import Bench
from pipeline_opt.tuner.bootstrap import Interval
from pipeline_opt.tuner.decision import GIVEN
from pipeline_opt.tuner.scratch import Scratch
from pipeline_opt.tuner.wishes import Wishes

MOST: Final = 5
"""Changes that are tried."""
LEAST_SHARE: Final = 0.3
"""The part of the budget that trying has even where measuring took all of it."""
WORTH: Final = 1.02
"""The predicted throughput, over that of the pipeline given, from which on a change is tried."""


@dataclass(frozen=True)
class Finding:
    """A thing that is wrong with a pipeline.

    Args:
        rule: The rule that found it; `order` for what an order does, `python` for what holds Python's lock.
        stage: The stage's name.
        what: What is wrong, or what would be changed.
        why: Why it helps; empty for what costs no time.
        preserves: What the change would keep of the elements; empty where there is no change.
        predicted: Throughput with that change alone over that without; None where there is no change.
        measured: Likewise, measured on this machine; None where it was not.
        unmeasured: Why it was not measured.
    """

    rule: str
    stage: str
    what: str
    why: str = ""
    preserves: str = ""
    predicted: float | None = None
    measured: Interval | None = None
    unmeasured: str = "the time was over"

    def __str__(self) -> str:
        if self.predicted is None:
            return f"{self.stage}: {self.what}"
        measured = f"not measured: {self.unmeasured}" if self.measured is None else f"measured {self.measured}"
        brings = f"throughput with it alone: predicted {self.predicted:.2f}, {measured}; preserves: {self.preserves}"
        return f"{self.stage}: {self.what}\n   why: {self.why}\n   {brings}"

    def summary(self) -> dict[str, Any]:
        """As plain values for JSON."""
        told = {"rule": self.rule, "stage": self.stage, "what": self.what, "why": self.why}
        measured = None if self.measured is None else self.measured.to_json()
        told |= {"unmeasured": self.unmeasured} if self.predicted is not None and measured is None else {}
        return {**told, "preserves": self.preserves, "predicted": self.predicted, "measured": measured}


@dataclass(frozen=True)
class Lint:
    """What is wrong with a pipeline.

    Args:
        plan: The pipeline, as it was read.
        findings: What is wrong: harm first, then what costs the most. What was measured to bring nothing is not among them.
        note: Why nothing was tried, if so.
    """

    plan: Plan
    findings: tuple[Finding, ...]
    note: str = ""

    def __str__(self) -> str:
        found = [f"{number}. {finding}" for number, finding in enumerate(self.findings, 1)] or ["nothing was found"]
        return "\n".join([plan_text(self.plan), "", *found, *([f"note: {self.note}"] if self.note else [])])

    def summary(self) -> dict[str, Any]:
        """As plain values for JSON; schema 1."""
        found = [finding.summary() for finding in self.findings]
        return {"schema": SCHEMA, "plan": plan_text(self.plan), "findings": found, "note": self.note}


def lint(
    pipeline: Any, wishes: Wishes, machine: Machine, clock: Clock, on_progress: Callable[[float, str], object]
) -> Lint:
    """Look for what slows a pipeline down or does harm, and try what each of them costs.

    Args:
        pipeline: A plan, or any `tf.data.Dataset`. It is not changed.
        wishes: What is asked; `budget_s` is for all.
        machine: What there is to work with.
        clock: Measures.
        on_progress: Told the seconds that have passed and what is done.

    Raises:
        PlanError, SourceError: The pipeline cannot be built.
    """
    with Scratch() as scratch, remembering(), keeping_memory():
        return _lint(Bench(pipeline, wishes, machine, clock, on_progress, scratch))


def _lint(bench: Bench) -> Lint:
    harm = tuple(_harms(bench.given))
    if bench.untouched:
        return Lint(bench.given, harm, f"nothing was tried: {bench.untouched}")
    facts = bench.facts()
    slow = _tried(bench, facts, _slow(bench.start, facts))
    return Lint(bench.given, (*harm, *_python(bench.start, facts), *sorted(slow, key=_order)))


def _harms(plan: Plan) -> Iterator[Finding]:
    for found in harms(plan, random_of(purities(plan))):
        yield Finding("order", found.stage, found.message)


def _python(plan: Plan, facts: Facts, prefix: str = "") -> Iterator[Finding]:
    """What holds Python's lock, which one thread has at a time: no number of parallel calls makes it faster."""
    for number, part in enumerate(plan.source.plans if isinstance(plan.source, Combination) else ()):
        yield from _python(part, facts, inner_prefix(prefix, number))
    for stage in with_inner(plan.stages):
        functions = [value for name in FUNCTION_FIELDS if isinstance(value := getattr(stage, name, None), Function)]
        for function in functions:
            known = facts.of(function)
            if known.python and known.cpu_s:
                limit = f"{1 / known.cpu_s:,.0f} rows a second at the most, on however many threads"
                what = f"runs Python, which one thread at a time can do: {limit}"
                yield Finding("python", f"{prefix}{stage.name}", what)


def _slow(plan: Plan, facts: Facts) -> list[tuple[Finding, Plan]]:
    """Changes that are predicted to make the pipeline faster, each alone, the best of each rule and stage first."""
    now, best = predict(plan, facts).seconds, dict[tuple[str, str], tuple[Finding, Plan]]()
    for rule, found in outcomes(plan, facts, RULES):
        if not isinstance(found, Rewrite) or not is_allowed(found, facts):
            continue
        gain = now / max(predict(found.plan, facts).seconds, 1e-15)
        known = best.get((rule.name, found.stage))
        if gain >= WORTH and (known is None or gain > (known[0].predicted or 0.0)):
            finding = Finding(rule.name, found.stage, found.what, rule.why, found.preserves, gain)
            best[rule.name, found.stage] = (finding, found.plan)
    return sorted(best.values(), key=lambda pair: _order(pair[0]))


def _tried(bench: Bench, facts: Facts, slow: list[tuple[Finding, Plan]]) -> Iterator[Finding]:
    """The findings with what each brings, measured beside the pipeline as it was given."""
    if not slow:
        return
    named = {str(number): plan for number, (_, plan) in enumerate(slow[:MOST], 1)}
    plans, seconds = {GIVEN: bench.given, **named}, bench.seconds(1.0, LEAST_SHARE)
    trials = bench.contest(plans, facts, seconds, bench.part(plans, facts, seconds))
    for name, (finding, _) in zip(named, slow, strict=False):
        found, dropped = trials.ratio(name, GIVEN), trials.dropped.get(name)
        if dropped is not None and dropped.reason != "slower":
            yield replace(finding, unmeasured=dropped.why)
        elif not found.rounds:
            yield finding
        elif found.high >= 1:
            yield replace(finding, measured=found)
    yield from (replace(finding, unmeasured=f"not among the {MOST} that were tried") for finding, _ in slow[MOST:])


def _order(finding: Finding) -> float:
    """What brings the most first: as measured, or else as predicted."""
    return -(finding.predicted or 0.0) if finding.measured is None else -finding.measured.value
