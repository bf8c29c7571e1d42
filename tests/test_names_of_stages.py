"""Every stage has a name of its own, in the plan, in plans inside it and in those that functions return."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pipeline_opt as po
from pipeline_opt.functions import Function
from pipeline_opt.plan import Plan, Zip, item_names, unfolded
from pipeline_opt.sources import OpaqueDataset, Tensors
from pipeline_opt.stages import Batch, Map
from pipeline_opt.text import fingerprint

NUMBERS = Plan(Tensors(value=np.arange(6)))


def double(x: Any) -> Any:
    return x * 2


DOUBLED = NUMBERS.append(Map(function=Function.of(double)))


@pytest.mark.parametrize(
    ("plan", "name"),
    [(NUMBERS, "tensors"), (Plan(Zip(plans=(DOUBLED, DOUBLED))), "in0_map"), (Plan(Zip(plans=(DOUBLED,) * 2)), "zip")],
)
def test_a_name_of_the_source_is_taken(plan: Plan, name: str) -> None:
    with pytest.raises(po.PlanError, match=f"the name '{name}' stands twice; every stage needs a name of its own"):
        plan.append(Map(function=Function.of(double), name=name))


def test_the_same_source_in_plans_that_meet() -> None:
    assert list(item_names(Plan(Zip(plans=(DOUBLED, NUMBERS))))) == ["zip", "in0_tensors", "in0_map", "in1_tensors"]


def returning(made: Any) -> OpaqueDataset:
    return OpaqueDataset(factory=Function.of(lambda: made))


def test_a_plan_that_a_function_returns_is_unfolded() -> None:
    outer = Plan(returning(DOUBLED), (Map(function=Function.of(double)), Batch(batch_size=2)))
    assert list(item_names(unfolded(outer))) == ["tensors", "dataset_map", "map", "batch"]
    twice = Plan(Zip(plans=(Plan(returning(outer)), NUMBERS)))
    assert list(item_names(unfolded(twice))) == [
        *("zip", "in0_tensors", "in0_dataset_dataset_map", "in0_dataset_map", "in0_dataset_batch", "in1_tensors")
    ]


def test_a_function_is_called_once() -> None:
    calls = []

    def make() -> SimpleNamespace:
        calls.append(1)
        return SimpleNamespace(element_spec="numbers")

    folded = Plan(OpaqueDataset(factory=Function.of(make)))
    plan = unfolded(unfolded(folded))
    assert plan.source.dataset.element_spec == "numbers"  # type: ignore[attr-defined]
    assert calls == [1]
    assert fingerprint(plan) == fingerprint(folded), "the same pipeline, called or not"


def test_a_function_that_raises() -> None:
    def broken() -> None:
        raise OSError("no disk")

    with pytest.raises(po.FunctionError, match="source: broken raised OSError: no disk"):
        unfolded(Plan(OpaqueDataset(factory=Function.of(broken))))


@pytest.mark.tf
def test_stages_of_a_plan_that_a_function_returns_are_measured_apart() -> None:
    pipe = po.Pipeline.from_dataset(lambda: po.Pipeline.of(DOUBLED)).map(double).batch(2).prefetch()
    run = po.profile(pipe, trace="off")
    assert [stage.name for stage in run.stages] == ["tensors", "dataset_map", "map", "batch", "prefetch"]
    assert "dataset_map" in pipe.explain()
    assert [batch.tolist() for batch in pipe.build().as_numpy_iterator()] == [[0, 4], [8, 12], [16, 20]]
