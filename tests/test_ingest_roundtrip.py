"""Any dataset becomes a plan, and the plan built is the dataset again: with generated pipelines.

The recipes are the same in every run. `INGEST_SEED=7 INGEST_EXAMPLES=1000` draws others, and as many.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from element_equality import difference, epochs
from hypothesis import HealthCheck, Phase, given, seed, settings
from pipeline_strategy import Recipe, recipes
from recipe_sources import write_data
from recipe_state import Places

from pipeline_opt.build.dataset import build
from pipeline_opt.errors import PlanWarning
from pipeline_opt.ingest import imported
from pipeline_opt.text import plan_text

pytestmark = pytest.mark.tf

EXAMPLES: Final = int(os.environ.get("INGEST_EXAMPLES", "30"))
SEED: Final = os.environ.get("INGEST_SEED")
_numbers = count()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield write_data(tmp_path_factory.mktemp("recipe_data"))
    gc.unfreeze()


def _drawn(test: Callable[..., None]) -> Callable[..., None]:
    drawn = seed(int(SEED))(test) if SEED else test
    return settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=SEED is None,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(given(recipe=recipes())(drawn))


@_drawn
def test_a_dataset_built_of_its_plan_is_the_same(
    data: Path, tmp_path_factory: pytest.TempPathFactory, recipe: Recipe
) -> None:
    def made() -> Any:
        return recipe.build(Places(data, tmp_path_factory.mktemp(f"scratch{next(_numbers)}")))

    # Every example collects its garbage; what was there before is none and need not be looked at again and again.
    gc.freeze()
    dataset, other = made(), made()
    expected = _Facts(dataset, epochs(dataset))
    again, text = _round_trip(other)
    del other
    expected.require(again, recipe, text, "from the live dataset")
    if recipe.state.changes:
        # What such a dataset did in its first epochs shows in the next.
        dataset = made()
    again, text = _round_trip(_known_by_its_graph(dataset))
    if not recipe.state.python:
        # Python functions live as long as the dataset whose they are.
        del dataset
    expected.require(again, recipe, text, "from the graph alone")


class _Facts:
    """What is expected of a dataset that is to be the same as another."""

    def __init__(self, dataset: Any, elements: Any) -> None:
        self.element_spec, self.cardinality = dataset.element_spec, int(dataset.cardinality())
        self.options, self.elements = dataset.options(), elements

    def require(self, again: Any, recipe: Recipe, text: str, how: str) -> None:
        gc.collect()
        said = f"{how}: {recipe!r}\nits plan:\n{text}\n"
        assert again.element_spec == self.element_spec, said
        assert int(again.cardinality()) == self.cardinality, said
        if how == "from the live dataset" or not recipe.state.changes:
            assert again.options() == self.options, said
        differs = difference(self.elements, epochs(again), recipe.equality)
        assert not differs, f"{differs} {said}"


def _round_trip(dataset: Any) -> tuple[Any, str]:
    plan = imported(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlanWarning)
        return build(plan), plan_text(plan)


def _known_by_its_graph(dataset: Any) -> Any:
    """A dataset without the Python objects that made it, as other libraries hand them over."""
    from tensorflow.python.data.ops import dataset_ops

    return dataset_ops._VariantDataset(dataset._variant_tensor, dataset.element_spec)
