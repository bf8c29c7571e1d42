"""Of which maps is known what many rows at once take."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_opt.clock import SystemClock
from pipeline_opt.ingest import imported
from pipeline_opt.machine import machine
from pipeline_opt.optimizer.facts import Facts, FormFacts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite
from pipeline_opt.optimizer.rules import chunks
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Map
from pipeline_opt.tuner import samples
from pipeline_opt.tuner.facts import UNCOUNTED, gather_facts
from pipeline_opt.tuner.reading_in import as_plan

pytestmark = pytest.mark.tf


@pytest.fixture(autouse=True)
def _short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "TIMED_S", 1e-5)
    monkeypatch.setattr(samples, "REPEATS", 0)


def measured(dataset: Any) -> tuple[Plan, Facts]:
    plan, clock = as_plan(imported(dataset)), SystemClock()
    return plan, gather_facts(plan, machine(), clock, 60.0, lambda name: None)


def form_in(dataset: Any) -> FormFacts:
    """What is known of the only map of a pipeline."""
    plan, facts = measured(dataset)
    (stage,) = (stage for stage in plan.stages if isinstance(stage, Map))
    return facts.of(stage.function).form(chunks.FORM)


def numbers(tf: Any) -> Any:
    return tf.data.Dataset.range(500).map(lambda number: tf.range(number % 7))


def of_some_length(tf: Any) -> Any:
    return lambda row: tf.size(row) > 2


def test_rows_that_a_filter_follows(tf: Any) -> None:
    plan, facts = measured(numbers(tf).filter(of_some_length(tf)))
    assert "map_rows" in facts.stages
    outcomes = list(chunks.RULE.find(plan, facts))
    # Measured for so short a time, it may take more.
    assert all(
        isinstance(one, Rewrite) or (isinstance(one, Declined) and "us of a core" in one.reason) for one in outcomes
    )
    assert len(outcomes) == 1


def test_no_pipeline_forgets_how_many_elements_it_has(tf: Any) -> None:
    assert form_in(numbers(tf)).refused == UNCOUNTED
    assert form_in(numbers(tf).prefetch(1)).refused == UNCOUNTED
    assert form_in(tf.data.Dataset.range(9).repeat().map(lambda number: number + 1)).refused == UNCOUNTED
    assert form_in(numbers(tf).repeat()).refused is None


def test_what_a_batch_follows_is_not_looked_at(tf: Any) -> None:
    looked = "the form ragged was not looked for"
    assert form_in(numbers(tf).shuffle(9).padded_batch(4)).refused == looked
    assert form_in(numbers(tf).filter(of_some_length(tf)).padded_batch(4)).refused is None
