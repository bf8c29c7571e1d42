"""Whatever plan the rules reach has the same elements: with generated pipelines, for the two fastest plans by prediction.

The recipes are the same in every run of a version of TensorFlow. `SAME_SEED=7 SAME_EXAMPLES=1000` draws others, and as many.
Facts are gathered as ever, but for moments too short to tell costs well, so that what is tried differs from machine to machine
as it does for users.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
import tensorflow as tf
from element_equality import Equality, difference, epochs
from hypothesis import HealthCheck, Phase, assume, given, reject, seed, settings
from pipeline_strategy import Recipe, recipes
from recipe_sources import write_data
from recipe_state import Places

from pipeline_opt.clock import SystemClock
from pipeline_opt.errors import PlanWarning
from pipeline_opt.machine import machine
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.search import Found, search
from pipeline_opt.plan import Plan
from pipeline_opt.text import plan_text
from pipeline_opt.tuner import samples
from pipeline_opt.tuner.equal import Terms, prove
from pipeline_opt.tuner.facts import gather_facts
from pipeline_opt.tuner.reading_in import as_plan, prepared, with_traced
from pipeline_opt.tuner.scratch import Scratch
from pipeline_opt.tuner.writers import writes_outside

pytestmark = pytest.mark.tf

EXAMPLES: Final = int(os.environ.get("SAME_EXAMPLES", "12"))
SEED: Final = int(os.environ.get("SAME_SEED", "".join(filter(str.isdigit, tf.__version__))))
PLANS: Final = 2
_numbers = count()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield write_data(tmp_path_factory.mktemp("recipe_data"))
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def _short_measurements() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "TIMED_S", 1e-5)
        patch.setattr(samples, "REPEATS", 0)
        yield


def _facts(plan: Plan, number: int, scratch: Scratch) -> Facts:
    """What is measured of a plan; jobs of one and of three epochs in turn, and, less often, floats that may be rounded."""
    clock = SystemClock()
    found = gather_facts(scratch.own(plan), machine(), clock, 60.0, lambda name: None)
    return replace(found, epochs=1 + 2 * (number % 2), memory_bytes=1 << 28, bits=number % 3 > 0)


def _asked(recipe: Recipe, preserves: str, *, rounds: bool) -> Equality:
    """What may be asked; where what was done while measuring shows in what comes next, no more than shapes."""
    if recipe.state.changes or rounds:
        return Equality.SHAPES
    return min(recipe.equality, Equality.MULTISET) if preserves == "set" else recipe.equality


def _rounds(found: Found) -> bool:
    return any(step.rewrite.preserves == "rounding" for step in found.steps)


def _proved(given: Plan, found: Found, recipe: Recipe, scratch: Scratch) -> str:
    """What the proof itself says that is wrong; nothing where it says that they are the same, or that it does not know.

    Of elements that chance chooses, or orders before a cache that keeps the order, it may say that they are others.
    """
    kept = recipe.equality < Equality.ORDERED and ("cache" in repr(recipe) or "snapshot" in repr(recipe))
    if recipe.state.changes or recipe.state.carries or recipe.equality == Equality.SHAPES or kept:
        return ""
    preserves: Any = found.preserves
    shown = prove(given, found.plan, Terms(preserves, _rounds(found), 4.0, SystemClock(), scratch.own))
    return "" if shown.difference is None else str(shown)


def _check(data: Path, folder: Path, recipe: Recipe, number: int) -> None:
    gc.freeze()
    folders = (folder / str(number) for number in count())

    def made() -> Any:
        place = next(folders)
        place.mkdir()
        return recipe.build(Places(data, place))

    with warnings.catch_warnings(), Scratch() as scratch:
        warnings.simplefilter("ignore", PlanWarning)
        try:
            expected = epochs(made())
        except tf.errors.InvalidArgumentError as error:
            # Batches of ragged rows can be of shapes that no further batch takes, which no spec tells.
            if "Cannot batch tensors with different shapes" not in str(error):
                raise
            reject()
        read = with_traced(as_plan(made()))
        # What writes to the user's files is left as it is: all that is tried would share them. Another recipe is drawn for it.
        assume(not writes_outside(scratch.build(read), scratch.path))
        plan = next((change.plan for change in reversed(prepared(read))), read)
        for found in search(plan, _facts(plan, number, scratch)).found[:PLANS]:
            text = f"{recipe!r}\nits plan:\n{plan_text(plan)}\nbecame:\n{plan_text(found.plan)}\n"
            asked = _asked(recipe, found.preserves, rounds=_rounds(found))
            differs = difference(expected, epochs(scratch.build(found.plan)), asked)
            assert not differs, f"{differs} {text}"
            assert not (wrong := _proved(read, found, recipe, scratch)), f"the proof says {wrong} {text}"


def _drawn(test: Any) -> Any:
    return settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )(seed(SEED)(given(recipe=recipes())(test)))


@_drawn
def test_optimized_pipelines_have_the_same_elements(
    data: Path, tmp_path_factory: pytest.TempPathFactory, recipe: Recipe
) -> None:
    number = next(_numbers)
    _check(data, tmp_path_factory.mktemp(f"scratch{number}"), recipe, number)
