"""A search over the plans that rules reach: the most promising ones are expanded until nothing gets better."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline_opt.errors import OrderError
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.freedom import inner_facts
from pipeline_opt.optimizer.model import Prediction, predict
from pipeline_opt.optimizer.rewrite import PRESERVES, Declined, Rewrite, Rule
from pipeline_opt.optimizer.rules import RULES
from pipeline_opt.order import check_order
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import Source
from pipeline_opt.stages import Stage, inner_stages
from pipeline_opt.text.explain import Line

WIDTH: Final = 16
"""Plans that are expanded in each round; assumed, as are the numbers below."""
FINISHED: Final = 8
"""Plans to which the rules that look at a pipeline as a whole are applied."""
PATIENCE: Final = 4
"""Rounds without a better plan after which the search ends."""
DETOUR: Final = 1.5
"""How much slower than the plan given one may be that is expanded all the same, as what it leads to may be faster."""
HEADROOM: Final = 0.5
"""What a pipeline may take of the time of the loop that takes its elements before it is worth a change to take less."""
LEAST_GAIN: Final = 0.02
"""What a change has to bring: times that differ by less count as the same, on one of the levels into which time is divided."""
ROUNDS: Final = 40
"""Rewrites in a row at the most."""


@dataclass(frozen=True)
class Step:
    """A rewrite on the way to a plan.

    Args:
        rule: The rule's name.
        why: Why it helps.
        rewrite: What was changed; its plan is the whole plan after it.
        before: What was predicted before it.
        after: What is predicted after it.
    """

    rule: str
    why: str
    rewrite: Rewrite
    before: Prediction
    after: Prediction

    @property
    def gain(self) -> float:
        """Predicted throughput after it over that before it."""
        return self.before.seconds / max(self.after.seconds, 1e-15)


@dataclass(frozen=True)
class Found:
    """A plan that was reached.

    Args:
        plan: The plan.
        prediction: What it is predicted to do.
        steps: The rewrites that lead to it, in order.
    """

    plan: Plan
    prediction: Prediction
    steps: tuple[Step, ...] = ()

    @property
    def preserves(self) -> str:
        """What is kept of the elements: the least of what the steps keep."""
        return max((step.rewrite.preserves for step in self.steps), key=PRESERVES.index, default="exact")


@dataclass(frozen=True)
class Search:
    """What a search came to.

    Args:
        found: Every plan that was reached, the fastest by prediction first; the given one is among them.
        declined: Where a rule could not be applied to the plan given or one on the way, and why, once each.
    """

    found: tuple[Found, ...]
    declined: tuple[tuple[str, Declined], ...]


def of_each_kind(found: Iterable[Found]) -> Iterator[Found]:
    """The first plan that each set of rules reached."""
    seen: set[frozenset[str]] = set()
    for place in found:
        rules = frozenset(step.rule for step in place.steps)
        if rules not in seen:
            seen.add(rules)
            yield place


def search(
    plan: Plan,
    facts: Facts,
    rules: Sequence[Rule] = RULES,
    stop: Callable[[], bool] = lambda: False,
) -> Search:
    """Follow the rules from a plan on. The same plan and facts give the same result.

    Args:
        plan: Where to start.
        facts: What is known.
        rules: The rules.
        stop: Asked between plans whether to end with what has been found.
    """
    return _Searcher(plan, facts, rules, stop).run()


@dataclass
class _Searcher:
    """A search that is under way.

    Args:
        plan: Where it starts.
        facts: What is known.
        rules: The rules.
        stop: Whether to end.
        seen: What was reached, by what tells plans apart.
        declined: What was declined, once each.
        names: What tells stages apart, by the stage's address; the stage is kept, so that nothing else has it.
    """

    plan: Plan
    facts: Facts
    rules: Sequence[Rule]
    stop: Callable[[], bool]
    seen: dict[Hashable, Found | None] = field(default_factory=dict)
    declined: dict[tuple[str, Declined], None] = field(default_factory=dict)
    names: dict[int, tuple[Stage | Source, Hashable]] = field(default_factory=dict)

    def run(self) -> Search:
        """Search until nothing gets better."""
        start = Found(self.plan, predict(self.plan, self.facts))
        self.seen[self._key(self.plan)] = start
        early = [rule for rule in self.rules if not rule.whole]
        self._follow([start], early, WIDTH)
        best = sorted((found for found in self.seen.values() if found), key=_merit)[:FINISHED]
        front = [start, *(found for found in best if found is not start)]
        self._follow(front, [rule for rule in self.rules if rule.whole], FINISHED)
        found = sorted((found for found in self.seen.values() if found), key=_merit)
        return Search(tuple(found), tuple(self.declined))

    def _follow(self, front: list[Found], rules: Sequence[Rule], width: int) -> None:
        """Expand plans, and the best of those that they lead to, until nothing gets better."""
        best, waited = min(map(_merit, front)), 0
        slowest = DETOUR * front[0].prediction.seconds
        for _ in range(ROUNDS):
            reached: list[Found] = []
            for place in front:
                if self.stop():
                    return
                reached += self._expand(place, rules)
            near = [found for found in reached if found.prediction.seconds <= slowest]
            front = sorted(near, key=_merit)[:width]
            if not front:
                return
            better = _merit(front[0])[:2] < best[:2]
            best, waited = min(best, _merit(front[0])), 0 if better else waited + 1
            if waited >= PATIENCE:
                return

    def _expand(self, place: Found, rules: Sequence[Rule]) -> Iterator[Found]:
        for rule, outcome in outcomes(place.plan, self.facts, rules):
            if isinstance(outcome, Declined):
                self.declined.setdefault((rule.name, outcome))
                continue
            key = self._key(outcome.plan)
            if key in self.seen:
                continue
            found = _reached(place, rule, outcome, self.facts) if is_allowed(outcome, self.facts) else None
            if found is not None and self._fits(found):
                self.seen[key] = found
                yield found
            else:
                self.seen[key] = None

    def _fits(self, found: Found) -> bool:
        """Whether a plan holds no more than it may, or no more than the one given does."""
        start = next(iter(self.seen.values()))
        assert start is not None
        return found.prediction.peak_bytes <= max(self.facts.memory_bytes, start.prediction.peak_bytes)

    def _key(self, plan: Plan) -> Hashable:
        """What tells a plan from others."""
        source = plan.source
        inner = tuple(map(self._key, source.plans)) if isinstance(source, Combination) else self._name(source)
        return inner, tuple(map(self._name, plan.stages))

    def _name(self, item: Stage | Source) -> Hashable:
        """What tells a stage or a source from others; worked out once for each object, as plans share most of them."""
        known = self.names.get(id(item))
        if known is None:
            told = Line(0, False, "", item).knobs
            inner = tuple(map(self._name, inner_stages(item))) if isinstance(item, Stage) else ()
            known = self.names[id(item)] = (item, (getattr(item, "name", ""), item.kind, told, inner))
        return known[1]


def outcomes(plan: Plan, facts: Facts, rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rewrite | Declined]]:
    """Everything that the rules make of a plan, and of the plans inside its source."""
    for rule in rules:
        for outcome in rule.find(plan, facts):
            yield rule, outcome
    if isinstance(plan.source, Combination):
        inner = [rule for rule in rules if not rule.whole]
        for number, known in enumerate(inner_facts(plan, facts) if inner else ()):
            for rule, outcome in outcomes(plan.source.plans[number], known, inner):
                yield rule, _in_source(plan, number, outcome)


def _in_source(plan: Plan, number: int, outcome: Rewrite | Declined) -> Rewrite | Declined:
    name = f"in{number}_{outcome.stage}"
    if isinstance(outcome, Declined):
        return Declined(name, outcome.reason)
    assert isinstance(plan.source, Combination)
    parts = (*plan.source.plans[:number], outcome.plan, *plan.source.plans[number + 1 :])
    whole = dataclasses.replace(plan, source=dataclasses.replace(plan.source, plans=parts))
    return dataclasses.replace(outcome, plan=whole, stage=name)


def _reached(place: Found, rule: Rule, rewrite: Rewrite, facts: Facts) -> Found:
    after = predict(rewrite.plan, facts)
    step = Step(rule.name, rule.why, rewrite, place.prediction, after)
    return Found(rewrite.plan, after, (*place.steps, step))


def is_allowed(rewrite: Rewrite, facts: Facts) -> bool:
    """Whether a rewrite keeps what was asked for, and its plan can be built."""
    if rewrite.preserves == "rounding" and facts.bits:
        return False
    try:
        check_order(rewrite.plan)
    except OrderError:
        return False
    return True


def _merit(found: Found) -> tuple[int, int, int, float]:
    """Faster first, then were the loop that takes elements faster; of equals with fewer changes, then with less memory.

    What could give elements twice as fast as the loop takes them is fast enough.
    """
    said = found.prediction
    undrained = max(said.undrained_s, HEADROOM * said.seconds)
    return (_level(said.seconds), _level(undrained), len(found.steps), said.peak_bytes)


def _level(seconds: float) -> int:
    """Which of the levels that tell times apart a time belongs to."""
    return round(math.log(max(seconds, 1e-15)) / math.log1p(LEAST_GAIN))
