"""Functions made at random of ops that have rules: a batch gives what its elements give, bit for bit.

The ops that are declared to round differ in signs of zeros here, and in nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline_opt.build.forms import Derived, derive
from pipeline_opt.build.forms.verify import NO_RESULTS, compare
from pipeline_opt.build.traced import traced

Step = tuple[int, int, int]
"""Which op, on which of the tensors so far, and a number that chooses among its variants."""


class Recipe(NamedTuple):
    kind: str
    shape: tuple[int, ...]
    steps: list[Step]
    seed: int


def is_vector(x: Any) -> bool:
    return x.shape.rank == 1


def is_fixed(x: Any) -> bool:
    return bool(x.shape.is_fully_defined()) and bool(x.shape.rank)


def is_number(x: Any) -> bool:
    return bool(x.dtype.is_integer or x.dtype.is_floating)


def is_whole(x: Any) -> bool:
    return bool(x.dtype.is_integer)


def is_text(x: Any) -> bool:
    return x.dtype.name == "string"


def ops(tf: Any) -> list[tuple[Callable[[Any], bool], Callable[[Any, int], Any]]]:
    """What each op may be applied to, and the op with a number that varies it."""
    return [
        (is_number, lambda x, n: x + tf.cast(n, x.dtype)),
        (is_number, lambda x, n: tf.minimum(x, tf.cast(n, x.dtype)) * x),
        (is_number, lambda x, n: tf.where(x > tf.cast(n, x.dtype), x, tf.zeros_like(x))),
        (is_number, lambda x, n: tf.cast(x, [tf.float32, tf.int64, tf.int32, tf.float64][n % 4])),
        (is_number, lambda x, n: tf.clip_by_value(x, tf.cast(0, x.dtype), tf.cast(n, x.dtype))),
        (lambda x: is_number(x) and x.shape.rank >= 1, lambda x, n: x - tf.reduce_max(x, axis=-1, keepdims=True)),
        (lambda x: is_number(x) and is_fixed(x), lambda x, n: tf.reduce_min(x, axis=n % x.shape.rank)),
        (lambda x: is_whole(x) and x.shape.rank >= 1, lambda x, n: tf.reduce_sum(x, axis=0)),
        (lambda x: is_whole(x) and is_vector(x), lambda x, n: tf.cumsum(x, exclusive=bool(n % 2))),
        (lambda x: is_number(x) and is_vector(x), lambda x, n: tf.boolean_mask(x, x > tf.cast(n - 2, x.dtype))),
        (lambda x: is_number(x) and is_fixed(x), lambda x, n: tf.argmax(x, axis=n % x.shape.rank)),
        (is_whole, lambda x, n: tf.one_hot(x, 3 + n)),
        (is_whole, lambda x, n: tf.gather(tf.constant([0.5, 1.5, 2.5, -1.0]), x % 4)),
        (lambda x: x.shape.rank >= 1, lambda x, n: x[: n + 1]),
        (lambda x: x.shape.rank >= 1, lambda x, n: x[n:]),
        (lambda x: x.shape.rank >= 1, lambda x, n: x[:-1]),
        (lambda x: x.shape.rank >= 1, lambda x, n: x[:: [-1, 2, 3][n % 3]]),
        (lambda x: x.shape.rank >= 1, lambda x, n: tf.reverse(x, [0])),
        (lambda x: x.shape.rank >= 2, lambda x, n: x[..., n % 2]),
        (lambda x: x.shape.rank >= 1, lambda x, n: x[: tf.size(x) - n]),
        (is_fixed, lambda x, n: tf.reshape(x, [-1])),
        (is_fixed, lambda x, n: tf.transpose(x)),
        (is_fixed, lambda x, n: tf.expand_dims(x, n % x.shape.rank)),
        (is_fixed, lambda x, n: x[tf.newaxis, ..., tf.newaxis]),
        (is_fixed, lambda x, n: tf.tile(x, [1 + n % 2] * x.shape.rank)),
        (is_fixed, lambda x, n: tf.stack([x, tf.reverse(x, [-1])], axis=n % (x.shape.rank + 1))),
        (is_fixed, lambda x, n: tf.concat([x, x[..., :1]], axis=-1)),
        (is_fixed, lambda x, n: tf.pad(x, [[n % 2, 1]] * x.shape.rank)),
        (lambda x: is_vector(x) and not is_text(x), lambda x, n: tf.concat([tf.cast([n], x.dtype), x], 0)),
        (is_vector, lambda x, n: tf.concat([x[:2], x], 0)),
        (is_vector, lambda x, n: padded_to(tf, x, n + 1)),
        (is_vector, lambda x, n: tf.gather(x, tf.range(tf.size(x))[::-1])),
        (lambda x: True, lambda x, n: tf.size(x)),
        (lambda x: True, lambda x, n: tf.shape(x)),
        (lambda x: x.shape.rank >= 1, lambda x, n: tf.range(tf.shape(x)[0])),
        (lambda x: is_text(x) and x.shape.rank == 0, lambda x, n: tf.strings.split(x, [None, "o"][n % 2])),
        (lambda x: is_text(x) and x.shape.rank == 0, lambda x, n: tf.io.decode_raw(x, tf.uint8)),
        (lambda x: is_text(x) and x.shape.rank == 0, lambda x, n: tf.strings.unicode_split(x, "UTF-8")),
        (lambda x: is_text(x) and is_vector(x), lambda x, n: tf.strings.reduce_join(x, separator="_")),
        (lambda x: is_text(x) and is_vector(x), lambda x, n: tf.boolean_mask(x, tf.not_equal(x, "a"))),
        (is_text, lambda x, n: tf.strings.upper(x)),
        (is_text, lambda x, n: tf.strings.regex_replace(x, "[aeiou]", str(n))),
        (is_text, lambda x, n: tf.strings.to_hash_bucket_fast(x, n + 2)),
        (is_text, lambda x, n: tf.strings.length(x)),
        (is_text, lambda x, n: tf.strings.join([x, "-", str(n)])),
        (is_text, lambda x, n: tf.strings.substr(x, 0, n)),
    ]


def padded_to(tf: Any, x: Any, length: int) -> Any:
    x = x[:length]
    missing = tf.fill([length - tf.shape(x)[0]], tf.constant("" if is_text(x) else 0, x.dtype))
    return tf.ensure_shape(tf.concat([x, missing], 0), [length])


def function_of(tf: Any, recipe: Recipe) -> Callable[[Any], Any]:
    table = ops(tf)

    def function(element: Any) -> Any:
        made = [element]
        for op, place, number in recipe.steps:
            x = made[place % len(made)]
            fits, apply = table[op % len(table)]
            if fits(x) and x.shape.rank is not None and x.shape.rank < 4:
                try:
                    made.append(apply(x, number))
                except (ValueError, TypeError):
                    continue
        return tuple(made[-3:])

    return function


def elements_of(recipe: Recipe) -> list[Any]:
    random = np.random.default_rng(recipe.seed)
    if recipe.kind == "string":
        words = ["a", "oo", "hello", "wörld", "", "x"]
        return [np.array(" ".join(random.choice(words, random.integers(0, 6))).encode(), object) for _ in range(6)]
    scale = 9 if recipe.kind.startswith("int") else 4
    return [(random.normal(size=recipe.shape) * scale).astype(recipe.kind) for _ in range(6)]


STEPS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=7)
SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)
RECIPES = st.one_of(
    st.builds(Recipe, st.sampled_from(["float32", "float64", "int32", "int64"]), SHAPES, STEPS, st.integers(0, 99)),
    st.builds(Recipe, st.just("string"), st.just(()), STEPS, st.integers(0, 99)),
)


@given(recipe=RECIPES)
@settings(max_examples=40)
def test_a_batch_gives_what_its_elements_give(tf: Any, recipe: Recipe) -> None:
    spec = tf.TensorSpec(recipe.shape, recipe.kind)
    function = traced(function_of(tf, recipe), spec)
    form = "batched" if all(part.shape.is_fully_defined() for part in tf.nest.flatten(function.gives)) else "padded"
    derived = derive(function, form)
    assert isinstance(derived, Derived), derived
    put = (lambda dataset, size: dataset.padded_batch(size)) if form == "padded" else None
    agreement = compare(function, derived, elements_of(recipe), put)
    assume(agreement.mismatch != NO_RESULTS)
    assert agreement.mismatch is None, agreement
    assert agreement.absolute == 0, agreement
    assert agreement.exact or derived.rounding, agreement


@given(recipes=st.tuples(RECIPES, RECIPES))
@settings(max_examples=10)
def test_components_do_not_mix(tf: Any, recipes: tuple[Recipe, Recipe]) -> None:
    specs = tuple(tf.TensorSpec(recipe.shape, recipe.kind) for recipe in recipes)
    one, other = (function_of(tf, recipe) for recipe in recipes)
    function = traced(lambda x, y: {"a": one(x), "b": other(y), "x": x}, specs)
    derived = derive(function, "padded")
    assert isinstance(derived, Derived), derived
    elements = list(zip(*map(elements_of, recipes), strict=True))
    agreement = compare(function, derived, elements, lambda dataset, size: dataset.padded_batch(size))
    assume(agreement.mismatch != NO_RESULTS)
    assert agreement.mismatch is None, agreement
    assert agreement.absolute == 0, agreement
