"""A search over the plans that rules reach: the most promising ones are expanded until nothing gets better."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline_opt.errors import OrderError
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import within
from pipeline_opt.optimizer.model import Prediction, predict
from pipeline_opt.optimizer.rewrite import PRESERVES, Declined, Rewrite, Rule
from pipeline_opt.optimizer.rules import RULES
from pipeline_opt.order import check_order
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.text import plan_text

WIDTH: Final = 24
"""Plans that are expanded in each round."""
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
        looked_at: How many plans were looked at.
    """

    found: tuple[Found, ...]
    declined: tuple[tuple[str, Declined], ...]
    looked_at: int


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
    start = Found(plan, predict(plan, facts))
    seen, declined = {plan_text(plan): start}, dict[tuple[str, str, str], tuple[str, Declined]]()
    front = [start]
    for _ in range(ROUNDS):
        reached: list[Found] = []
        for place in front:
            if stop():
                break
            for rule, outcome in outcomes(place.plan, facts, rules):
                if isinstance(outcome, Declined):
                    declined.setdefault((rule.name, outcome.stage, outcome.reason), (rule.name, outcome))
                    continue
                text = plan_text(outcome.plan)
                if text not in seen and _is_allowed(outcome, facts):
                    found = _reached(place, rule, outcome, facts)
                    if found.prediction.peak_bytes <= max(facts.memory_bytes, start.prediction.peak_bytes):
                        seen[text] = found
                        reached.append(found)
        front = sorted(reached, key=_merit)[:WIDTH]
        if not front:
            break
    return Search(tuple(sorted(seen.values(), key=_merit)), tuple(declined.values()), len(seen))


def outcomes(plan: Plan, facts: Facts, rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rewrite | Declined]]:
    """Everything that the rules make of a plan, and of the plans inside its source."""
    for rule in rules:
        for outcome in rule.find(plan, facts):
            if isinstance(outcome, Declined) or _is_legal(outcome.plan):
                yield rule, outcome
    if isinstance(plan.source, Combination):
        for number, part in enumerate(plan.source.plans):
            inner = [rule for rule in rules if rule.name not in WHOLE]
            for rule, outcome in outcomes(part, within(facts, number), inner):
                yield rule, outcome if isinstance(outcome, Declined) else _in_source(plan, number, outcome)


WHOLE: Final = frozenset({"freeze", "prefetch"})
"""Rules that look at a pipeline as a whole, not at one inside another."""


def _in_source(plan: Plan, number: int, outcome: Rewrite) -> Rewrite:
    assert isinstance(plan.source, Combination)
    parts = (*plan.source.plans[:number], outcome.plan, *plan.source.plans[number + 1 :])
    whole = dataclasses.replace(plan, source=dataclasses.replace(plan.source, plans=parts))
    return dataclasses.replace(outcome, plan=whole, stage=f"in{number}_{outcome.stage}")


def _reached(place: Found, rule: Rule, rewrite: Rewrite, facts: Facts) -> Found:
    after = predict(rewrite.plan, facts)
    step = Step(rule.name, rule.why, rewrite, place.prediction, after)
    return Found(rewrite.plan, after, (*place.steps, step))


def _is_allowed(rewrite: Rewrite, facts: Facts) -> bool:
    if rewrite.preserves == "rounding":
        return not facts.bits
    return rewrite.preserves != "consent" or facts.consent


def _is_legal(plan: Plan) -> bool:
    try:
        check_order(plan)
    except OrderError:
        return False
    return True


def _merit(found: Found) -> tuple[float, int, float]:
    """Faster first; of equals the one with fewer changes, then with less memory."""
    return (float(f"{found.prediction.seconds:.2e}"), len(found.steps), found.prediction.peak_bytes)
