"""The purity of every function of a plan, and the warnings that rest on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pipeline_opt as po
from pipeline_opt.build import purities as judging

pytestmark = pytest.mark.tf

NUMBERS = po.Pipeline.from_tensors(np.arange(4, dtype=np.int64))
FROZEN = "cache: stands after {}, which is random"


def augment(x: Any) -> Any:
    import tensorflow as tf

    return x + tf.random.uniform([], 0, 9, tf.int64)


def double(x: Any) -> Any:
    return x * 2


def through_python(x: Any) -> Any:
    import tensorflow as tf

    return tf.ensure_shape(tf.py_function(lambda v: v, [x], tf.int64), [])


def warned(act: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    return [str(each.message) for each in caught if issubclass(each.category, po.PlanWarning)]


@pytest.mark.parametrize("act", [lambda pipe: pipe.build(), lambda pipe: po.profile(pipe)], ids=["build", "profile"])
def test_a_cache_after_a_map_that_is_found_to_be_random_warns(act: Callable[[Any], Any]) -> None:
    pipe = NUMBERS.map(augment).cache().batch(2).prefetch()
    (said,) = warned(lambda: act(pipe))
    assert said.startswith(FROZEN.format("map"))


@pytest.mark.parametrize("function", [double, through_python])
def test_what_is_pure_or_unknown_does_not_warn(function: Any) -> None:
    assert warned(lambda: NUMBERS.map(function).cache().batch(2).prefetch().build()) == []


def test_what_is_declared_is_taken_at_its_word() -> None:
    assert warned(lambda: NUMBERS.map(augment, random=False).cache().prefetch().build()) == []


def test_functions_are_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(x)
        return augment(x)

    NUMBERS.map(counted).prefetch().build()
    once = len(calls)
    warned(lambda: NUMBERS.map(counted).cache().prefetch().build())
    assert len(calls) == 2 * once


def test_functions_that_tf_data_wraps_are_traced_apart() -> None:
    pipe = NUMBERS.map(double).bucket_by_sequence_length(length, [2], [1, 1])
    found = pipe.purities()
    assert {name: purity.kind for name, purity in found.items()} == {
        "map": "pure",
        "bucket_by_sequence_length": "random",
    }


def length(x: Any) -> Any:
    import tensorflow as tf

    return tf.cast(augment(x), tf.int32)


@pytest.mark.parametrize("meet", [po.Pipeline.zip, po.Pipeline.concatenate, po.Pipeline.sample])
def test_plans_inside_others(meet: Callable[..., po.Pipeline]) -> None:
    pipe = meet(NUMBERS.map(augment).cache(), NUMBERS.filter(lambda x: x > 0).map(double)).batch(2).prefetch()
    kinds = {name: purity.kind for name, purity in pipe.purities().items()}
    assert kinds == {"in0_map": "random", "in1_filter": "pure", "in1_map": "pure"}
    (said,) = warned(pipe.build)
    assert said.startswith("in0_" + FROZEN.format("in0_map"))
    assert [harm.stage for harm in pipe.warnings()] == ["in0_cache"]
    assert "random: random op RandomUniformInt" in pipe.explain()


def test_a_cache_behind_a_random_map_of_a_plan_inside() -> None:
    pipe = po.Pipeline.zip(NUMBERS.map(augment), NUMBERS).cache().prefetch()
    (said,) = warned(pipe.build)
    assert said.startswith(FROZEN.format("in0_map"))


def test_nothing_is_judged_where_no_rule_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "purity_of_graph", None)
    NUMBERS.map(augment).prefetch().build()
