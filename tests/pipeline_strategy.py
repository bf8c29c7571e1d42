"""Recipes of tf.data pipelines, and the hypothesis strategy that draws them.

A recipe is data: built twice, it gives two datasets that share nothing and whose elements are equal as far as `equality`
says. It is valid by construction: steps are drawn among those that fit the elements as they are known to be at that point.
Data are small, tens of elements, so that a pipeline takes milliseconds.

    data = write_data(folder)
    @given(recipes())
    def test(recipe):
        first, second = (recipe.build(Places(data, scratch)) for scratch in (one, other))
        assert not difference(epochs(first), epochs(second), recipe.equality)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import tensorflow as tf
from element_equality import Equality
from hypothesis import strategies as st
from recipe_sources import SOURCES
from recipe_state import Places, State
from recipe_steps import STEPS

MOST_STEPS: Final = 8
_IN_PARTS: Final = 3
"""Steps of a pipeline inside another one at the most."""


@dataclass(frozen=True)
class Told:
    """A source or a step by its name, with its arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass(frozen=True)
class Recipe:
    """A pipeline as data.

    Args:
        source: Where its elements come from.
        steps: What they pass through.
        part: The pipeline that a combination (zip, concatenate, sample, choose) puts together with variations of it.
        loose: Whether the whole has the option that lets elements come as they are ready.
        inner: Whether it is a part of another one.
    """

    source: Told
    steps: tuple[Told, ...] = ()
    part: Recipe | None = None
    loose: bool = False
    inner: bool = False

    def build(self, places: Places) -> Any:
        """A new dataset. AutoGraph has nothing to convert in functions of recipes, and would take its time to find out."""
        return tf.autograph.experimental.do_not_convert(self._build)(places)

    def _build(self, places: Places) -> Any:
        if self.part is not None:
            dataset = COMBINATIONS[self.source.name].build(self, places)
        else:
            dataset = SOURCES[self.source.name].build(self.source.arguments, places)
        for step in self.steps:
            dataset = STEPS[step.name].apply(dataset, step.arguments, places)
        if self.loose:
            options = tf.data.Options()
            options.deterministic = False
            dataset = dataset.with_options(options)
        return dataset

    @cached_property
    def state(self) -> State:
        """What its elements are."""
        state = _start(self)
        for step in self.steps:
            state = STEPS[step.name].after(state, step.arguments)
        return state

    @property
    def equality(self) -> Equality:
        """What may be asked of two datasets built of it."""
        return self.state.level

    def describe(self, indent: str = "") -> str:
        """The recipe as text, a step a line."""
        lines = [f"{indent}{self.source}"]
        if self.part is not None:
            lines.append(self.part.describe(indent + "    | "))
        lines += [f"{indent}  .{step}" for step in self.steps]
        return "\n".join(lines + ([f"{indent}  in any order"] if self.loose else []))

    def varied(self, *steps: Told) -> Recipe:
        """The recipe with more steps at its end."""
        return Recipe(self.source, (*self.steps, *steps), self.part, self.loose, self.inner)

    def __repr__(self) -> str:
        return f"\n{self.describe()}\n"


@dataclass(frozen=True)
class Combination:
    """A source in which pipelines meet.

    Args:
        arguments: What it may be told.
        build: Makes the dataset of a recipe.
        state: What its elements are, by the state of one part.
    """

    arguments: dict[str, st.SearchStrategy[Any]]
    build: Callable[[Recipe, Places], Any]
    state: Callable[[State, dict[str, Any]], State]


def _parts(recipe: Recipe, places: Places, count: int) -> list[Any]:
    """The part and variations of it, whose elements are of the same spec."""
    assert recipe.part is not None
    doubled = Told("map", {"change": "pure", "calls": None, "deterministic": None, "name": None})
    varied = (recipe.part, recipe.part.varied(doubled), recipe.part.varied(Told("skip", {"count": 1})))
    return [part.build(places) for part in varied[:count]]


def _zipped(recipe: Recipe, places: Places) -> Any:
    form = recipe.source.arguments["form"]
    a, b, *others = _parts(recipe, places, 3 if form == "nested" else 2)
    return tf.data.Dataset.zip(
        {"pair": (a, b), "dictionary": {"a": a, "b": b}, "nested": (a, {"b": (b, *others)})}[form]
    )


def _zipped_state(part: State, told: dict[str, Any]) -> State:
    s = part.spec
    spec = {"pair": (s, s), "dictionary": {"a": s, "b": s}, "nested": (s, {"b": (s, s)})}[told["form"]]
    return part.regrouped(spec=spec, depth=0)


def _concatenated(recipe: Recipe, places: Places) -> Any:
    first, *others = _parts(recipe, places, recipe.source.arguments["count"])
    for other in others:
        first = first.concatenate(other)
    return first


def _concatenated_state(part: State, told: dict[str, Any]) -> State:
    # The third part skips an element: which one follows from the order.
    return part.but(size=part.size * 3) if told["count"] < 3 else part.regrouped(size=part.size * 3)


def _sampled(recipe: Recipe, places: Places) -> Any:
    told = recipe.source.arguments
    weights = [0.7, 0.3] if told["weighted"] else None
    return tf.data.Dataset.sample_from_datasets(_parts(recipe, places, 2), weights, told["seed"], told["first_ends"])


def _sampled_state(part: State, told: dict[str, Any]) -> State:
    # Where the first part that ends ends it, which elements there are follows from the order of both.
    sampled = part.regrouped(size=part.size * 2) if told["first_ends"] else part.but(size=part.size * 2)
    return sampled if told["seed"] is not None else sampled.at_most(Equality.MULTISET)


def _chosen(recipe: Recipe, places: Places) -> Any:
    which = tf.data.Dataset.from_tensor_slices(tf.constant([0, 1, 1], tf.int64)).repeat(5)
    return tf.data.Dataset.choose_from_datasets(_parts(recipe, places, 2), which, recipe.source.arguments["first_ends"])


COMBINATIONS: Final[dict[str, Combination]] = {
    "zip": Combination({"form": st.sampled_from(["pair", "dictionary", "nested"])}, _zipped, _zipped_state),
    "concatenate": Combination({"count": st.sampled_from([2, 2, 3])}, _concatenated, _concatenated_state),
    "sample": Combination(
        {"weighted": st.booleans(), "seed": st.sampled_from([1, 8]), "first_ends": st.booleans()},
        _sampled,
        _sampled_state,
    ),
    "sample_anew": Combination(
        {"weighted": st.booleans(), "seed": st.none(), "first_ends": st.just(False)}, _sampled, _sampled_state
    ),
    "choose": Combination({"first_ends": st.booleans()}, _chosen, lambda s, a: s.regrouped(size=s.size * 2)),
}
"""The sources in which pipelines meet, by their names in a recipe."""


def _start(recipe: Recipe) -> State:
    """What the elements of a recipe's source are."""
    told = recipe.source.arguments
    if recipe.part is not None:
        found = COMBINATIONS[recipe.source.name].state(recipe.part.state, told)
    else:
        found = SOURCES[recipe.source.name].state(told)
    found = found.but(inner=recipe.inner)
    if not recipe.loose:
        return found
    # What is batched already, or put beside something else, was so in any order.
    return found.at_most(Equality.MULTISET if recipe.part is None and found.depth == 0 else Equality.SHAPES)


@st.composite
def recipes(draw: st.DrawFn, steps: int = MOST_STEPS) -> Recipe:
    """Recipes of 1 to `steps` steps."""
    loose = draw(st.integers(0, 9)) == 9
    if draw(st.integers(0, 3)) == 3:
        name = draw(st.sampled_from(sorted(COMBINATIONS)))
        part = draw(_drawn(Recipe(draw(_sources().filter(_keeps_its_spec)), inner=True), 0, _IN_PARTS))
        source = Told(name, draw(st.fixed_dictionaries(COMBINATIONS[name].arguments)))
        return draw(_drawn(Recipe(source, (), part, loose), 1, steps))
    return draw(_drawn(Recipe(draw(_sources()), loose=loose), 1, steps))


def _keeps_its_spec(source: Told) -> bool:
    """Whether elements that a map gives back unchanged are of the same spec: rows of ragged tensors are not."""
    return source.arguments.get("form") != "rows_of_ragged"


@st.composite
def _sources(draw: st.DrawFn) -> Told:
    name = draw(st.sampled_from(sorted(SOURCES)))
    return Told(name, draw(st.fixed_dictionaries(dict(SOURCES[name].arguments))))


@st.composite
def _drawn(draw: st.DrawFn, recipe: Recipe, least: int, most: int) -> Recipe:
    """The recipe with steps that fit one after the other."""
    for _ in range(draw(st.integers(least, most))):
        state = recipe.state
        fitting = [name for name, kind in sorted(STEPS.items()) if not state.ended and kind.fits(state)]
        if not fitting:
            break
        name = draw(st.sampled_from(fitting))
        recipe = recipe.varied(Told(name, draw(st.fixed_dictionaries(dict(STEPS[name].arguments(state))))))
    return recipe
