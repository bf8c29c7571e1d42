"""Tune a pipeline: gather facts, search, try the best plans against what was given, and prove that elements are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline_opt.clock import Clock
from pipeline_opt.machine import Machine
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.model import predict
from pipeline_opt.optimizer.rewrite import Rewrite
from pipeline_opt.optimizer.search import LEAST_GAIN, Found, Search, Step, of_each_kind, search
from pipeline_opt.plan import Plan
from pipeline_opt.storage import remembering
from pipeline_opt.tuner.allocator import keeping_memory
from pipeline_opt.tuner.baselines import autotuned
from pipeline_opt.tuner.bench import Bench
from pipeline_opt.tuner.bootstrap import LEVEL, Interval
from pipeline_opt.tuner.decision import AUTOTUNE, FEWEST, GIVEN, Decision, decide, winners
from pipeline_opt.tuner.equal import Terms, prove
from pipeline_opt.tuner.proof import Equality, Preserves
from pipeline_opt.tuner.sampled import sampled, share_to_compare
from pipeline_opt.tuner.scratch import Scratch
from pipeline_opt.tuner.trials import Contest
from pipeline_opt.tuner.wishes import Wishes

TRIED: Final = 3
"""Plans that are tried against what was given."""

SEARCH_SHARE: Final = 0.2
"""The part of the budget that is spent on looking for plans at the most."""
TRIAL_SHARE: Final = 0.35
"""The part of the time left that the trials of all plans take."""
FINAL_SHARE: Final = 0.75
"""The part of the time left then that a second contest takes, of the most promising plan alone, where the first left it open."""
AMONG_SHARE: Final = 0.35
"""The part of the time left then that a contest takes of those plans alone that have won, where there are several."""
PROOF_SHARE: Final = 0.5
"""The part of the time left in the end that the proof takes."""
SMALLER: Final = (1.0, 3.0, 9.0)
"""How much less of the data is compared, one after another, where whole epochs turn out to take too long."""
WAY_SHARE: Final = 0.8
"""The part of the time left after that that the trials of single changes take."""
LEAST_SHARE: Final = 0.2
"""The part of the budget that trials have even where measuring took all of it; a proof has half of that."""
LOOKS: Final = 2
"""Contests at the most: a difference that is none may be seen in either."""
STRICT: Final = 1 - (1 - LEVEL) / LOOKS


@dataclass(frozen=True)
class LeftOut:
    """Changes that were found to bring nothing, or to slow a plan down.

    Args:
        steps: They, the last ones of that plan.
        cost: Throughput with them over that without.
        over_given: Throughput without them over that of the pipeline given, measured beside it.
    """

    steps: tuple[Step, ...]
    cost: Interval
    over_given: Interval


@dataclass(frozen=True)
class Tuning:
    """What came of it.

    Args:
        given: The plan that was given, as it was read.
        plan: The plan to use: the given one where none was shown to be faster.
        dataset: The very dataset that was given, where that is to be used.
        steps: The changes that lead from the one to the other.
        decision: Why it is this plan.
        contest: The trials.
        equality: What was shown of the elements; None where nothing was changed.
        facts: What was measured before the search.
        search: What the search came to.
        refused: Plans that were faster and are not used, with the reason.
        along: What each change brought, measured in a contest of its own; empty where there is one only, or no time was left.
        left_out: The last changes of a plan that was faster without them.
        untouched: Why it was not run at all; empty if it was.
    """

    given: Plan
    plan: Plan
    dataset: Any
    steps: tuple[Step, ...]
    decision: Decision
    contest: Contest
    equality: Equality | None
    facts: Facts
    search: Search
    refused: Mapping[str, str] = field(default_factory=dict)
    along: tuple[Interval, ...] = ()
    left_out: LeftOut | None = None
    untouched: str = ""

    @property
    def measured_plan(self) -> Plan:
        """The plan to use, in the form that facts are of: unchanged, where the search began."""
        start = next((found.plan for found in self.search.found if not found.steps), self.plan)
        return self.plan if self.changed else start

    @property
    def changed(self) -> bool:
        """Whether it is another pipeline than the given one."""
        return self.decision.name != GIVEN


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
    with Scratch() as scratch, remembering(), keeping_memory():
        return _Tuner(Bench(pipeline, wishes, machine, clock, on_progress, scratch)).run()


Along = tuple[Found, Equality | None, tuple[Interval, ...], LeftOut | None]


class _Tuner:
    """A pipeline being tuned."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._given = bench, bench.given
        self._refused: dict[str, str] = {}

    def run(self) -> Tuning:
        """Measure, search, try, and prove."""
        bench = self._bench
        if bench.untouched:
            return self._untouched(bench.untouched)
        facts = bench.facts()
        bench.tell("searching")
        until = bench.spent_s + SEARCH_SHARE * bench.wishes.budget_s
        found = search(bench.start, facts, stop=lambda: bench.spent_s > until)
        candidates = {name: self._whole(c, facts) for name, c in chosen(found, self._given, TRIED).items()}
        plans = {GIVEN: self._given, AUTOTUNE: autotuned(self._given), **{n: c.plan for n, c in candidates.items()}}
        trials = self._trials(plans, facts)
        decision, equality = self._settled(trials, plans, candidates, facts)
        if decision.changed:
            whole = candidates[decision.name]
            kept, equality, along, left_out = self._along(whole, equality, facts)
            plan, dataset, steps = kept.plan, None, kept.steps
            decision = _with_left_out(decision, left_out)
        else:
            plan, dataset = bench.as_given() if decision.name == GIVEN else (plans[decision.name], None)
            steps, along, left_out = (), (), None
        told = (self._given, plan, dataset, steps, decision, trials, equality, facts, found, self._refused)
        return Tuning(*told, along, left_out)

    def _untouched(self, why: str) -> Tuning:
        """What was given, of which nothing could be tried."""
        plan, dataset = self._bench.as_given()
        nothing, none = Contest((), 0.0, 0, self._bench.wishes.seed), Search((), ())
        return Tuning(self._given, plan, dataset, (), _kept(why), nothing, None, Facts(), none, untouched=why)

    def _whole(self, found: Found, facts: Facts) -> Found:
        """What was found, with its way from the given plan: a search may begin behind some changes."""
        same = predict(self._bench.start, facts)
        steps = tuple(
            Step(change.rule, change.why, Rewrite(change.plan, change.stage, change.what), same, same)
            for change in self._bench.prepared
        )
        return dataclasses.replace(found, steps=(*steps, *found.steps))

    # ---- trials ------------------------------------------------------------------------------------------------------

    def _trials(self, plans: Mapping[str, Plan], facts: Facts) -> Contest:
        """The trials; where they leave it open, more of them for the most promising plan alone with the baselines.

        It counts with the rounds that it had among all, so that it is held to the level for all of them. Where several plans
        have won, they go on without the baselines, which may take most of the time: their rounds tell which is the fastest.
        """
        bench = self._bench
        seconds = bench.seconds(TRIAL_SHARE, LEAST_SHARE)
        part = bench.part(plans, facts, seconds)
        trials = bench.contest(plans, facts, seconds, part)
        candidates = [name for name in plans if name not in (GIVEN, AUTOTUNE)]
        won, seconds = winners(trials, candidates, level=STRICT), bench.seconds(AMONG_SHARE)
        if len(won) > 1 and seconds > 0:
            rivals = {name: plans[name] for name in won}
            return trials.joined(bench.contest(rivals, facts, seconds, part, whole=trials.whole))
        finalist = None if won else self._finalist(trials, candidates)
        if finalist is None:
            return trials
        last = {name: plans[name] for name in (GIVEN, AUTOTUNE, finalist)}
        return trials.joined(bench.contest(last, facts, bench.seconds(FINAL_SHARE), part, whole=trials.whole))

    def _finalist(self, trials: Contest, candidates: list[str]) -> str | None:
        """The most promising candidate, where there is time to look closer; none that many rounds have shown no promise of."""
        if self._bench.seconds(FINAL_SHARE) < LEAST_SHARE * self._bench.wishes.budget_s:
            return None
        over = {name: trials.ratio(name, GIVEN) for name in candidates if name not in trials.dropped}
        best = max(over, key=lambda name: over[name].value if over[name].rounds else 0.0, default=None)
        return None if best is None or (over[best].rounds >= FEWEST and over[best].value < 1) else best

    # ---- the decision ------------------------------------------------------------------------------------------------

    def _settled(
        self, trials: Contest, plans: Mapping[str, Plan], candidates: Mapping[str, Found], facts: Facts
    ) -> tuple[Decision, Equality | None]:
        """The best plan whose elements were shown to be the same."""
        measured = {candidate.name for candidate in trials.candidates}
        while True:
            names = [name for name in candidates if name in measured and name not in self._refused]
            decision = decide(trials, names, level=STRICT)
            if decision.name == GIVEN:
                return decision, None
            self._bench.tell("comparing elements")
            steps = candidates[decision.name].steps if decision.changed else ()
            equality = self._proof(plans[decision.name], steps, facts)
            if equality.same:
                return decision, equality
            self._refused[decision.name] = str(equality)
            if not decision.changed:
                why = f"the elements of {AUTOTUNE}, which would be returned, were not shown to be the same"
                return _kept(why), None

    def _proof(self, plan: Plan, steps: tuple[Step, ...], facts: Facts) -> Equality:
        """The comparison. Where rows may come in any order it takes whole epochs: of a part of the data, if they are long.

        Where those turn out to be too long, it takes epochs of less of it.
        """
        bench, kept = self._bench, {step.rewrite.preserves for step in steps}
        preserves: Preserves = "set" if "set" in kept else "rounding" if "rounding" in kept else "exact"
        for smaller in SMALLER:
            seconds = bench.seconds(PROOF_SHARE, LEAST_SHARE / 2)
            terms = Terms(preserves, "rounding" in kept, seconds, bench.clock, bench.scratch.own)
            share = share_to_compare(bench.start, facts, seconds) / smaller if preserves == "set" else 1.0
            found = self._proved(plan, share, terms, facts)
            if found.known or preserves != "set" or bench.seconds(1.0) <= 0:
                break
        return found

    def _proved(self, plan: Plan, share: float, terms: Terms, facts: Facts) -> Equality:
        """The comparison of a share of the data."""
        part = sampled(self._given, share, facts)
        if part == self._given:
            return prove(self._given, plan, terms, self._bench.live())
        found = prove(part, sampled(plan, share, facts), terms)
        notes = (*found.notes, "of the first part of the data, as whole epochs take long")
        return dataclasses.replace(found, same=found.same and found.elements > 0, whole=False, notes=notes)

    def _along(self, found: Found, equality: Equality | None, facts: Facts) -> Along:
        """What each change brought, measured beside the one before it; the last ones are left out if it is faster without."""
        seconds = self._bench.seconds(WAY_SHARE)
        if len(found.steps) < 2 or seconds <= 0:
            return found, equality, (), None
        plans = [self._given, *(step.rewrite.plan for step in found.steps)]
        named = {str(number): plan for number, plan in enumerate(plans)}
        trials = self._bench.contest(named, facts, seconds, self._bench.part(named, facts, seconds))
        gains = tuple(trials.ratio(str(number), str(number - 1)) for number in range(1, len(plans)))
        left_out = _left_out(trials, found.steps)
        if left_out is None:
            # There may have been no time for a round of all.
            return found, equality, gains if all(gain.rounds for gain in gains) else (), None
        count = len(found.steps) - len(left_out.steps)
        shorter = dataclasses.replace(found, plan=plans[count], steps=found.steps[:count])
        proof = self._proof(shorter.plan, shorter.steps, facts)
        return (shorter, proof, gains[:count], left_out) if proof.same else (found, equality, gains, None)


def _left_out(trials: Contest, steps: tuple[Step, ...]) -> LeftOut | None:
    """The last changes that surely bring next to nothing, or less, to what is faster than what was given without them.

    Of several it is those that cost the most. None where all are needed.
    """
    last = len(steps)
    level = 1 - (1 - LEVEL) / (last - 1)
    sure = []
    for count in range(1, last):
        cost, over = (trials.ratio(a, b, level=level) for a, b in ((str(last), str(count)), (str(count), "0")))
        if cost.rounds and cost.high < 1 + LEAST_GAIN and over.low > 1:
            sure.append(LeftOut(steps[count:], cost, over))
    return min(sure, key=lambda found: found.cost.value, default=None)


def _with_left_out(decision: Decision, left_out: LeftOut | None) -> Decision:
    """The decision, which was of the whole plan, for the one without the changes that are left out."""
    if left_out is None:
        return decision
    count = "its last change" if len(left_out.steps) == 1 else f"its last {len(left_out.steps)} changes"
    less = f"it is used without {count}, with which throughput was {left_out.cost} of that without"
    said = f"{decision.sentence}; {less}: {left_out.over_given} of {GIVEN}"
    over = left_out.over_given
    return dataclasses.replace(decision, over_given=over, over_autotune=None, sentence=said, level=over.level)


def _kept(why: str) -> Decision:
    return Decision(GIVEN, False, None, None, f"{GIVEN} is returned unchanged: {why}")


def chosen(found: Search, given: Plan, count: int) -> dict[str, Found]:
    """The plans to try: the fastest by prediction, each in another way, one of them by a single change.

    What is predicted of many changes is wrong in more places, and the next ones after the fastest mostly share them.
    """
    others = [candidate for candidate in of_each_kind(found.found) if candidate.plan != given]
    tried, single = others[:count], next((candidate for candidate in others if len(candidate.steps) == 1), None)
    if single is not None and single not in tried:
        tried[-1] = single
    return {f"plan {number}": candidate for number, candidate in enumerate(tried, start=1)}
