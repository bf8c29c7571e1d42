"""Comparing a form with its function: seeds for what is random, and what counts as agreement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from forms_images import jpegs

from pipeline_opt.build.forms.batched import batched
from pipeline_opt.build.forms.graph_edit import Draft
from pipeline_opt.build.forms.image_checks import same_results, seeded
from pipeline_opt.build.forms.verify import NO_RESULTS, compare
from pipeline_opt.build.traced import Traced, traced

pytestmark = pytest.mark.tf

NUMBER = tf.TensorSpec([], tf.float32)


def sometimes_more(x: Any) -> Any:
    """Draws in its own graph, in a branch, and in a function that a branch calls."""
    inner = tf.function(lambda y: y + tf.random.normal([]))
    return tf.cond(tf.random.uniform([]) < 0.5, lambda: inner(x), lambda: x + tf.random.uniform([]))


def drawn(function: Traced) -> list[float]:
    return [float(y) for y in tf.data.Dataset.from_tensor_slices(tf.zeros([20])).map(function)]


def test_seeds_do_not_change_the_function() -> None:
    given = traced(sometimes_more, NUMBER)
    before = given.graph_def.SerializeToString(deterministic=True)
    seeds = seeded(given)
    assert drawn(seeds) == drawn(seeds) == drawn(seeded(given))
    assert len(set(drawn(seeds))) > 10
    assert given.graph_def.SerializeToString(deterministic=True) == before
    assert drawn(given) != drawn(given)


def test_a_draft_does_not_change_the_library_of_the_function() -> None:
    given = traced(sometimes_more, NUMBER)
    draft = Draft(given)
    for inner in draft.library:
        del inner.node_def[:]
    assert all(inner.node_def for inner in given.graph_def.library.function)


def test_draws_in_functions_that_are_called_are_the_same_in_both() -> None:
    given, other = traced(sometimes_more, NUMBER), traced(lambda x: sometimes_more(x) + 1.0, NUMBER)
    elements = [np.float32(n) for n in range(20)]
    assert same_results(given, Draft(given).finished(), elements).exact
    assert "values differ" in str(same_results(given, other, elements).mismatch)


def decoded(contents: Any) -> Any:
    return tf.io.decode_jpeg(contents)


def test_what_both_fail_for_does_not_count() -> None:
    given = traced(decoded, tf.TensorSpec([], tf.string))
    agreement = same_results(given, given, [b"no image", *jpegs(1, 2), b""])
    assert (agreement.exact, agreement.count, agreement.mismatch) == (True, 2, None)


def test_where_both_fail_for_all_nothing_is_shown() -> None:
    given = traced(decoded, tf.TensorSpec([], tf.string))
    agreement = same_results(given, given, [b"no image", b""])
    assert (agreement.exact, agreement.count, agreement.mismatch) == (False, 0, NO_RESULTS)


def test_where_only_one_fails_they_differ() -> None:
    given = traced(decoded, tf.TensorSpec([], tf.string))
    other = traced(lambda contents: tf.zeros([1, 1, 3], tf.uint8), tf.TensorSpec([], tf.string))
    assert "only the function fails" in str(same_results(given, other, [b"no image"]).mismatch)


def test_nothing_to_compare() -> None:
    given = traced(decoded, tf.TensorSpec([], tf.string))
    with pytest.raises(ValueError, match="no elements"):
        same_results(given, given, [])


def test_halves_at_their_edges_are_no_warning() -> None:
    doubled = traced(lambda x: x + x, tf.TensorSpec([], tf.float16))
    form = batched(doubled)
    assert isinstance(form, Traced)
    assert compare(doubled, form, [np.float16(n) for n in range(3)]).exact
