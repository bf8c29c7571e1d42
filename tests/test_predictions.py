"""What `benchmarks/predictions.py` compares, without running a pipeline."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import predictions

from pipeline_opt.optimizer.facts import Facts, StageFacts
from pipeline_opt.optimizer.model import Prediction
from pipeline_opt.optimizer.rewrite import Rewrite
from pipeline_opt.optimizer.search import Found, Step
from pipeline_opt.plan import Plan
from pipeline_opt.sources import Tensors

pytestmark = pytest.mark.tf


def found(*rules: str, seconds: float = 0.01) -> Found:
    plan, prediction = (
        Plan(Tensors(value=[1, 2, 3, 4])),
        Prediction(1 / seconds, 1 / seconds, "", (), 0.0, seconds, 0.5),
    )
    steps = [Step(rule, "", Rewrite(plan, "", ""), prediction, prediction) for rule in rules]
    return Found(plan, prediction, tuple(steps))


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [""]), (2, ["", "a"]), (3, ["", "a", "d"]), (9, ["", "a", "b", "c", "d"])]
)
def test_plans_are_spread_from_the_one_given_to_the_slowest(count: int, expected: list[str]) -> None:
    reached = [found("a"), found("b"), found("a"), found(), found("c"), found("d")]
    told = ["+".join(step.rule for step in one.steps) for one in predictions.spread(reached, count)]
    assert told == expected
    assert len(predictions.spread([found()], count)) == 1


def test_a_predicted_rate_is_of_rows_as_they_are_counted_here() -> None:
    # 4 rows as the model counts them, at 10 ms in all epochs together.
    facts = Facts(stages={"tensors": StageFacts(elements=4)})
    assert predictions.predicted_rate(found(), facts, 8, 3) == pytest.approx(3 * 8 / (4 * 0.01))
    assert predictions.predicted_rate(found(), Facts(), 8, 1) == pytest.approx(8 / (8 * 0.01))


def test_plans_are_told_over_the_one_given_too() -> None:
    pairs = [
        predictions.Pair("w", "given", 100.0, 50.0),
        predictions.Pair("w", "a", 300.0, 100.0),
        predictions.Pair("v", "a", 1.0, 1.0),
    ]
    assert predictions.over_given(pairs) == [predictions.Pair("w", "a", 3.0, 2.0)]
    assert predictions.sentences(pairs)[-1] == "over the plans given, 1 pairs: median error 50%, 90th percentile 50%"
