"""Tune a pipeline: gather facts, search, try the best plans against what was given, and prove that elements are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline_opt.build.dataset import build
from pipeline_opt.clock import Clock
from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import Machine
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.search import Found, Search, Step, search
from pipeline_opt.order.position import end
from pipeline_opt.plan import Plan
from pipeline_opt.tuner.bootstrap import Interval
from pipeline_opt.tuner.decision import Decision, decide
from pipeline_opt.tuner.equal import prove
from pipeline_opt.tuner.facts import gather_facts
from pipeline_opt.tuner.proof import Equality, Preserves
from pipeline_opt.tuner.reading_in import as_plan, hoisted, with_traced
from pipeline_opt.tuner.samples import rows_of
from pipeline_opt.tuner.shortened import elements_to_keep, shortened
from pipeline_opt.tuner.trials import Contest, contest
from pipeline_opt.variants import autotune

tf = lazy_module("tensorflow")

TRIED: Final = 3
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
        along: What each change brought, measured in a contest of its own; empty where there is one only, or none.
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
    along: tuple[Interval, ...] = ()


TRIAL_SHARE: Final = 0.6
"""The part of the time left that trials take; of what is left then, the proof takes its share, and the changes the rest."""
FINAL_SHARE: Final = 0.8
"""The part of the time left then that a second contest takes, where the first left it open."""
PROOF_SHARE: Final = 0.5
LEAST_SHARE: Final = 0.2
MOST_EPOCHS: Final = 2
"""Epochs of a turn: with more, the later ones are like the second."""

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
    return _Tuner(pipeline, wishes, machine, clock, on_progress).run()


class _Tuner:
    """A pipeline being tuned."""

    def __init__(
        self, pipeline: Any, wishes: Wishes, machine: Machine, clock: Clock, on_progress: Callable[[float, str], object]
    ) -> None:
        self._wishes, self._machine, self._clock, self._on_progress = wishes, machine, clock, on_progress
        self._started = clock.now()
        self._given = with_traced(hoisted(as_plan(pipeline)))
        # What is compared with is the pipeline itself, not what was read from it.
        self._make_given = _maker(self._given) if isinstance(pipeline, Plan) else lambda: pipeline
        self._refused: dict[str, str] = {}

    def run(self) -> Tuning:
        """Measure, search, try, and prove."""
        facts = self._facts()
        self._tell("searching")
        found = search(self._given, facts)
        candidates = chosen(found, self._given, TRIED)
        plans = {AUTOTUNE: autotune(self._given), **{name: c.plan for name, c in candidates.items()}}
        makers = self._makers({GIVEN: self._given, **plans}, facts)
        trials = self._contest(makers, facts, TRIAL_SHARE)
        finalist = self._finalist(trials, candidates)
        if finalist is not None:
            trials = self._contest({name: makers[name] for name in (GIVEN, AUTOTUNE, finalist)}, facts, FINAL_SHARE)
        while True:
            running = {c.name for c in trials.candidates}
            decision = decide(trials, [name for name in candidates if name in running and name not in self._refused])
            if not decision.changed:
                plan = plans.get(decision.name, self._given)
                return Tuning(self._given, plan, (), decision, trials, None, facts, found, self._refused)
            winner = candidates[decision.name]
            self._tell("comparing elements")
            seconds = PROOF_SHARE * self._left()
            equality = prove(self._given, winner.plan, _preserves(winner), seconds, self._clock)
            if not equality.known or equality.same:
                break
            self._refused[decision.name] = str(equality)
        along = self._along(winner, facts)
        return Tuning(
            self._given, winner.plan, winner.steps, decision, trials, equality, facts, found, self._refused, along
        )

    def _makers(self, plans: Mapping[str, Plan], facts: Facts) -> dict[str, Callable[[], Any]]:
        """What makes each dataset that is tried: all of it, or of all of them the first elements only."""
        count = elements_to_keep(self._given, facts)
        if count is not None:
            return {name: _maker(shortened(plan, count)) for name, plan in plans.items()}
        return {name: self._make_given if name == GIVEN else _maker(plan) for name, plan in plans.items()}

    def _finalist(self, trials: Contest, candidates: Mapping[str, Found]) -> str | None:
        """The most promising candidate, where none has been shown to be faster yet and there is time to look closer."""
        if decide(trials, list(candidates)).changed or self._left() <= LEAST_SHARE * self._wishes.budget_s:
            return None
        over = {name: trials.ratio(name, GIVEN).value for name in candidates if name not in trials.dropped}
        best = max(over, key=lambda name: over[name] if over[name] == over[name] else 0.0, default=None)
        return best if best is not None and not over[best] < 1 else None

    def _tell(self, what: str) -> None:
        self._on_progress(self._clock.now() - self._started, what)

    def _left(self) -> float:
        """Seconds of the budget that are left; a part of it even where measuring took longer than it should."""
        spent = self._clock.now() - self._started
        return max(self._wishes.budget_s - spent, LEAST_SHARE * self._wishes.budget_s)

    def _facts(self) -> Facts:
        facts = gather_facts(self._given, self._machine, self._clock, lambda name: self._tell(f"measuring {name}"))
        return _with_wishes(facts, self._wishes, self._machine)

    def _contest(self, makers: Mapping[str, Callable[[], Any]], facts: Facts, share: float) -> Contest:
        return contest(
            makers,
            seconds=self._left() * share,
            clock=self._clock,
            elements_of=_counter(self._given, self._make_given()),
            epochs=min(self._wishes.epochs, MOST_EPOCHS),
            whole=elements_to_keep(self._given, facts) is not None,
            seed=self._wishes.seed,
            memory_bytes=facts.memory_bytes,
            on_progress=lambda _, what: self._tell(what),
        )

    def _along(self, winner: Found, facts: Facts) -> tuple[Interval, ...]:
        """What each change brought, measured: the throughput of each plan on the way over that of the one before it."""
        if len(winner.steps) == 1:
            return ()
        plans = [self._given, *(step.rewrite.plan for step in winner.steps)]
        trials = self._contest(self._makers({str(n): plan for n, plan in enumerate(plans)}, facts), facts, 1.0)
        return tuple(trials.ratio(str(number), str(number - 1)) for number in range(1, len(plans)))


def _preserves(found: Found) -> Preserves:
    kept = found.preserves
    return "rounding" if kept == "rounding" else "set" if kept in ("set", "consent") else "exact"


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
    if end(plan).batched is None and not all(map(_is_batch, parts)):
        return lambda _: 1

    return rows_of


def _is_batch(spec: Any) -> bool:
    """Whether a component has a first axis of any length, as those of batches do."""
    shape = getattr(spec, "shape", None)
    return shape is not None and bool(shape.rank) and shape[0] is None
