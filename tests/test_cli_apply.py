"""`optimize --apply`: which file is written, what is kept, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_optimized import AFTER, GIVEN, tuning

from pipeline_opt.cli import applying
from pipeline_opt.errors import PlanError, UsageError
from pipeline_opt.functions import Function
from pipeline_opt.optimized import Optimized
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.stages import Map
from pipeline_opt.text import loads, to_toml
from pipeline_opt.tuner.decision import Decision


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.toml"
    path.write_text(to_toml(GIVEN))
    return path


def test_the_tuned_plan_takes_the_place_of_the_given_one(plan: Path) -> None:
    said = applying.apply(Optimized(tuning()), plan)
    assert loads(plan.read_text()) == AFTER
    assert loads((plan.parent / "pipe.before.toml").read_text()) == GIVEN
    assert said == f"{plan} is the tuned plan now; the one before is {plan.parent / 'pipe.before.toml'}"
    assert Pipeline.from_config(plan).stages == AFTER.stages


def test_an_unchanged_plan_is_not_written(plan: Path) -> None:
    kept = Decision("given", False, None, None, "given is returned unchanged")
    assert "is as it was" in applying.apply(Optimized(tuning(decision=kept, plan=GIVEN)), plan)
    assert [path.name for path in plan.parent.iterdir()] == ["pipe.toml"]


def test_a_plan_that_was_kept_before_is_not_lost(plan: Path) -> None:
    applying.apply(Optimized(tuning()), plan)
    applying.apply(Optimized(tuning()), plan)
    assert loads((plan.parent / "pipe.before.toml").read_text()) == GIVEN
    assert loads((plan.parent / "pipe.before2.toml").read_text()) == AFTER


def test_a_plan_that_cannot_be_written_leaves_the_file_as_it_was(plan: Path) -> None:
    odd = AFTER.append(Map(name="odd", function=Function.of(lambda x: x)))
    with pytest.raises(PlanError):
        applying.apply(Optimized(tuning(plan=odd)), plan)
    assert [path.name for path in plan.parent.iterdir()] == ["pipe.toml"]


def test_the_file_is_the_one_that_holds_the_whole_plan() -> None:
    assert applying.file_to_apply_to(["a/pipe.toml"], None) == Path("a/pipe.toml")
    assert applying.file_to_apply_to([], Path("pipe.toml")) == Path("pipe.toml")


@pytest.mark.parametrize(
    ("targets", "config"), [(["train.py:make"], None), (["data"], Path("pipe.toml")), (["a.toml", "b.toml"], None)]
)
def test_code_and_data_are_refused_before_anything_runs(targets: list[str], config: Path | None) -> None:
    with pytest.raises(UsageError, match=r"^--apply: .* valid: PLAN.toml"):
        applying.file_to_apply_to(targets, config)
