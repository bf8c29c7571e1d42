"""The plans of golden cases that may be made of others, built by TensorFlow and run for two epochs: the same elements."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tensorflow as tf
from element_equality import Equality, difference, epochs
from test_rules import ALL, BY_NAME, facts_of

from pipeline_opt.build.steps import build_steps
from pipeline_opt.errors import PlanWarning
from pipeline_opt.optimizer.rewrite import Rewrite
from pipeline_opt.order.position import end
from pipeline_opt.plan import Combination, Plan, Zip
from pipeline_opt.stages import Map, Shuffle
from pipeline_opt.storage import resolve
from pipeline_opt.text import loads, plan_text
from pipeline_opt.tuner.reading_in import with_traced

pytestmark = pytest.mark.tf

MADE = [(name, case) for name, case in ALL if "after" in case]
RANDOM: Final = ("augment",)
"""Functions that draw anew in every run."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `records` and `images`, in each a folder `a` with the files that golden plans read."""
    made, rng = tmp_path_factory.mktemp("golden"), np.random.default_rng(0)
    for name in ("records", "images"):
        (made / name / "a").mkdir(parents=True)
    for file in range(5):
        images = [tf.io.encode_jpeg(rng.integers(0, 256, (24, 32, 3), np.uint8)).numpy() for _ in range(14)]
        with tf.io.TFRecordWriter(str(made / "records" / "a" / f"{file}.tfrecord")) as writer:
            for image in images:
                writer.write(image)
        (made / "images" / "a" / f"{file}.jpg").write_bytes(images[0])
    return made


@pytest.fixture(autouse=True)
def _functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "m", importlib.import_module("golden_functions"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlanWarning)
        yield


def stages_of(plan: Plan) -> Iterator[Any]:
    """Every stage of a plan and of those inside its source."""
    for part in plan.source.plans if isinstance(plan.source, Combination) else ():
        yield from stages_of(part)
    yield from plan.stages


def asked(preserves: str, plan: Plan) -> Equality:
    """What may be asked. Whole numbers do not round, so that results are the same where they might round otherwise, too."""
    stages = list(stages_of(plan))
    loose = any(getattr(stage, "deterministic", None) is False for stage in stages)
    drawn = any(isinstance(stage, Map) and stage.function.label in RANDOM for stage in stages)
    if drawn or (loose and isinstance(plan.source, Zip)):
        return Equality.SHAPES
    fresh = any(isinstance(stage, Shuffle) and stage.seed is None and stage.buffer_size > 1 for stage in stages)
    return Equality.MULTISET if preserves == "set" or loose or fresh else Equality.ORDERED


def rows(plan: Plan) -> Any:
    """The dataset of a plan, its batches taken apart."""
    dataset = build_steps(plan, resolve, on_host=True)[-1].after
    return dataset.unbatch() if end(plan).batched else dataset


@pytest.mark.parametrize(("name", "case"), MADE, ids=[f"{name}: {case['title']}" for name, case in MADE])
def test_what_a_rule_makes_has_the_same_elements(
    name: str, case: Mapping[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = loads(case["plan"])
    monkeypatch.chdir(root / ("images" if plan.source.kind == "images" else "records"))
    given = with_traced(plan)
    found = BY_NAME[name].find(given, facts_of(case.get("facts", {})))
    made = {plan_text(one.plan): one for one in found if isinstance(one, Rewrite)}[case["after"].strip("\n")]
    before, after = rows(given), rows(made.plan)
    assert before.element_spec == after.element_spec
    expected = epochs(before)
    assert expected[0]
    assert not difference(expected, epochs(after), asked(made.preserves, given))
