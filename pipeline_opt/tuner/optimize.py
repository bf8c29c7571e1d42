"""Tune a pipeline: gather facts, search, try the best plans against what was given, and prove that elements are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline_opt.build.dataset import build
from pipeline_opt.build.steps import build_steps
from pipeline_opt.clock import Clock
from pipeline_opt.functions import Function
from pipeline_opt.ingest import imported
from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import Machine
from pipeline_opt.names import inner_prefix
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.search import Found, Search, Step, search
from pipeline_opt.order.position import end
from pipeline_opt.plan import Combination, Plan, unfolded
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.stages import Map
from pipeline_opt.storage import resolve
from pipeline_opt.tuner.decision import Decision, decide
from pipeline_opt.tuner.equal import prove
from pipeline_opt.tuner.facts import gather_facts
from pipeline_opt.tuner.forms import traced_by
from pipeline_opt.tuner.proof import Equality, Preserves
from pipeline_opt.tuner.trials import Contest, contest
from pipeline_opt.variants import autotune

tf = lazy_module("tensorflow")

TRIED: Final = 4
"""Plans that are tried against what was given."""
GIVEN, AUTOTUNE = "given", "autotune"


@dataclass(frozen=True)
class Wishes:
    """What the user asks of the optimizer.

    Args:
        budget_s: Seconds that tuning may take.
        memory_bytes: Bytes that the pipeline may hold; None for what is free, with a reserve.
        epochs: Epochs that the job runs.
        step_s: Seconds that a training step takes for a batch; 0 to drain as fast as possible.
        bits: Whether results have to be the same bit for bit.
        order_free: Whether the order of elements does not matter.
        consent: Whether changes of meaning are wanted.
        seed: Draws the order of trials.
    """

    budget_s: float = 60.0
    memory_bytes: int | None = None
    epochs: int = 1
    step_s: float = 0.0
    bits: bool = False
    order_free: bool = False
    consent: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Tuning:
    """What came of it.

    Args:
        given: The plan that was given.
        plan: The plan to use: the given one where none was shown to be faster.
        steps: The changes that lead from the one to the other.
        decision: Why it is this plan.
        contest: The trials.
        equality: What was shown of the elements; None where nothing was changed.
        facts: What was measured before the search.
        search: What the search came to.
        refused: Plans that were faster and are not used, with the reason.
        notes: What the user should know.
    """

    given: Plan
    plan: Plan
    steps: tuple[Step, ...]
    decision: Decision
    contest: Contest
    equality: Equality | None
    facts: Facts
    search: Search
    refused: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


RESERVE: Final = 0.5
"""The part of the free memory that a pipeline may take where nothing is said."""


def tune(
    pipeline: Any, wishes: Wishes, machine: Machine, clock: Clock, on_progress: Callable[[float, str], object]
) -> Tuning:
    """Tune a plan or a dataset.

    Args:
        pipeline: A plan, or any `tf.data.Dataset`.
        wishes: What is asked.
        machine: What there is to work with.
        clock: Measures.
        on_progress: Told the seconds that have passed and what is done.

    Raises:
        PlanError, SourceError: The pipeline cannot be built.
    """
    started = clock.now()

    def tell(what: str) -> None:
        on_progress(clock.now() - started, what)

    given = with_traced(as_plan(pipeline))
    facts = _with_wishes(gather_facts(given, machine, clock, lambda name: tell(f"measuring {name}")), wishes, machine)
    tell("searching")
    found = search(given, facts)
    candidates = chosen(found, given, TRIED)
    plans = {GIVEN: given, AUTOTUNE: autotune(given), **{name: c.plan for name, c in candidates.items()}}
    left = max(wishes.budget_s - (clock.now() - started), wishes.budget_s / 4)
    makers = {name: _maker(plan) for name, plan in plans.items()}
    if not isinstance(pipeline, Plan):
        makers[GIVEN] = lambda: pipeline
    trials = contest(
        makers,
        seconds=left * 0.8,
        clock=clock,
        elements_of=_counter(given, makers[GIVEN]()),
        epochs=min(wishes.epochs, 2),
        seed=wishes.seed,
        memory_bytes=facts.memory_bytes,
        on_progress=lambda _, what: tell(what),
    )
    return _decided(given, candidates, plans, makers, trials, facts, found, left * 0.2, clock, tell)


def _decided(
    given: Plan,
    candidates: Mapping[str, Found],
    plans: Mapping[str, Plan],
    makers: Mapping[str, Callable[[], Any]],
    trials: Contest,
    facts: Facts,
    found: Search,
    seconds: float,
    clock: Clock,
    tell: Callable[[str], None],
) -> Tuning:
    """The best candidate whose elements are shown to be the same."""
    refused: dict[str, str] = {}
    while True:
        decision = decide(trials, [name for name in candidates if name not in refused])
        if not decision.changed:
            return Tuning(given, plans[decision.name], (), decision, trials, None, facts, found, refused)
        tell("comparing elements")
        winner = candidates[decision.name]
        equality = prove(given, winner.plan, _preserves(winner), seconds, clock)
        if equality.same:
            return Tuning(given, winner.plan, winner.steps, decision, trials, equality, facts, found, refused)
        refused[decision.name] = str(equality)


def with_traced(plan: Plan) -> Plan:
    """The plan with every map's function as it is traced where it stands, so that it can be moved, and cut in two."""
    found = {
        step.name: dataclasses.replace(step.item.function, call=traced_by(step, step.item))
        for step in build_steps(plan, resolve, on_host=True)
        if isinstance(step.item, Map) and not step.item.forms
    }
    return _with_functions(plan, found, "")


def _with_functions(plan: Plan, found: Mapping[str, Function], prefix: str) -> Plan:
    source = plan.source
    if isinstance(source, Combination):
        parts = (_with_functions(p, found, inner_prefix(prefix, n)) for n, p in enumerate(source.plans))
        source = dataclasses.replace(source, plans=tuple(parts))
    stages = (
        dataclasses.replace(stage, function=found[prefix + stage.name])
        if isinstance(stage, Map) and prefix + stage.name in found
        else stage
        for stage in plan.stages
    )
    return dataclasses.replace(plan, source=source, stages=tuple(stages))


def _preserves(found: Found) -> Preserves:
    kept = found.preserves
    return "rounding" if kept == "rounding" else "set" if kept in ("set", "consent") else "exact"


def as_plan(pipeline: Any) -> Plan:
    """The plan of what a user gives, read from its graph where it is a dataset."""
    if not isinstance(pipeline, Plan):
        return imported(pipeline)
    plan = unfolded(pipeline)
    if isinstance(plan.source, OpaqueDataset) and plan.source.dataset is not None:
        inner = imported(plan.source.dataset)
        stages = [*inner.stages, *plan.stages]
        return dataclasses.replace(inner, stages=tuple(_renamed(stages)))
    return plan


def _renamed(stages: Sequence[Any]) -> list[Any]:
    taken: set[str] = set()
    named = []
    for stage in stages:
        name, number = stage.name, 2
        while name in taken:
            name, number = f"{stage.name}_{number}", number + 1
        taken.add(name)
        named.append(dataclasses.replace(stage, name=name))
    return named


def _with_wishes(facts: Facts, wishes: Wishes, machine: Machine) -> Facts:
    free = int(machine.ram_available_bytes * RESERVE)
    return dataclasses.replace(
        facts,
        memory_bytes=free if wishes.memory_bytes is None else wishes.memory_bytes,
        epochs=wishes.epochs,
        step_s=wishes.step_s,
        bits=wishes.bits,
        order_free=wishes.order_free,
        consent=wishes.consent,
    )


def chosen(found: Search, given: Plan, count: int) -> dict[str, Found]:
    """The plans to try: the fastest by prediction, each in another way."""
    picked: dict[str, Found] = {}
    rules: set[frozenset[str]] = set()
    for candidate in found.found:
        used = frozenset(step.rule for step in candidate.steps)
        if candidate.plan == given or used in rules:
            continue
        rules.add(used)
        picked[f"plan {len(picked) + 1}"] = candidate
        if len(picked) == count:
            break
    return picked


def _maker(plan: Plan) -> Callable[[], Any]:
    return lambda: build(plan)


def _counter(plan: Plan, dataset: Any) -> Callable[[Any], int]:
    """How many examples a batch holds."""
    if end(plan).batched is False:
        return lambda _: 1
    parts = tf.nest.flatten(dataset.element_spec)
    if end(plan).batched is None and not all(getattr(p.shape, "rank", 0) and p.shape[0] is None for p in parts):
        return lambda _: 1

    def rows(batch: Any) -> int:
        first = tf.nest.flatten(batch)[0]
        return int(first.shape[0]) if first.shape.rank else 1

    return rows
