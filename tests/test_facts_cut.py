"""What is measured of stages that cut elements into rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from fake_clock import FakeClock

import pipeline_opt as po
from pipeline_opt.build.steps import build_steps
from pipeline_opt.clock import SystemClock
from pipeline_opt.functions import Function
from pipeline_opt.ingest import imported
from pipeline_opt.machine import machine
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import flows
from pipeline_opt.optimizer.rewrite import Declined, Rewrite
from pipeline_opt.optimizer.rules import rebatch, redundant
from pipeline_opt.plan import Plan
from pipeline_opt.sources import Tensors
from pipeline_opt.stages import Batch, Map, Unbatch
from pipeline_opt.storage import resolve
from pipeline_opt.tuner import samples
from pipeline_opt.tuner.facts import gather_facts

pytestmark = pytest.mark.tf


@pytest.fixture(autouse=True)
def _short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "TIMED_S", 1e-5)
    monkeypatch.setattr(samples, "REPEATS", 0)


def measured(dataset: Any) -> tuple[Any, Facts]:
    plan, clock = imported(dataset), SystemClock()
    return plan, gather_facts(plan, machine(), clock, 60.0, lambda name: None)


def documents(tf: Any) -> Any:
    """Vectors of 0, 20, .. 80 whole numbers, 40 in the mean."""
    return tf.data.Dataset.range(100).map(lambda number: tf.range(20 * (number % 5)))


def test_vectors_have_the_rows_that_they_have(tf: Any) -> None:
    plan, facts = measured(documents(tf).unbatch().batch(50).map(lambda block: block + 1))
    (unbatch,) = (stage for stage in plan.stages if isinstance(stage, Unbatch))
    known = facts.stages[unbatch.name]
    assert (known.ratio, known.bytes_out, known.rows) == (40.0, 8.0, 1.0)
    ends = [given for _, _, given in flows(plan, facts)]
    assert [flow.rows_in_all for flow in ends] == [1.0, 40.0, 40.0, 40.0]
    assert ends[-1].bytes == pytest.approx(400.0)


def test_batches_that_a_bucket_gives_as_the_data_ends_do_not_count(tf: Any) -> None:
    rows = tf.data.Dataset.range(60).map(lambda number: tf.range(number % 2 + 1))
    plan, facts = measured(rows.bucket_by_sequence_length(tf.size, [2], [50, 8]))
    (bucket,) = (stage for stage in plan.stages if stage.kind in ("bucket_by_sequence_length", "opaque"))
    # In the long run; the 60 alone give 5, of which two are cut short.
    assert facts.stages[bucket.name].ratio == pytest.approx((1 / 50 + 1 / 8) / 2, rel=0.05)


def test_rows_of_batches_are_as_many_as_before(tf: Any) -> None:
    plan, facts = measured(tf.data.Dataset.range(100).batch(8).unbatch().batch(3))
    assert facts.stages["unbatch"].ratio == 1.0
    assert flows(plan, facts)[-1][2].rows_in_all == 1.0


def test_vectors_that_are_cut_into_batches_at_once(tf: Any) -> None:
    plan, facts = measured(documents(tf).rebatch(50, drop_remainder=True))
    assert facts.stages["rebatch"].ratio == 40.0
    assert flows(plan, facts)[-1][2].elements == pytest.approx(0.8)


def test_enough_rows_are_looked_at_for_batches_of_them(tf: Any) -> None:
    _, facts = measured(
        documents(tf).repeat(20).unbatch().batch(400, drop_remainder=True).map(lambda b: b[::2]).batch(8)
    )
    # Of 512 rows there would be one block.
    assert all(known.bytes_out for known in facts.functions.values())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda tf: documents(tf), ""),
        (lambda tf: documents(tf).map(lambda d: {"a": d, "b": tf.stack([d, d], 1)}), ""),
        (lambda tf: documents(tf).map(lambda d: tf.zeros([2, 1 + tf.size(d) // 80])), "of several shapes"),
        (lambda tf: tf.data.Dataset.range(9).batch(3, drop_remainder=True), "it is known how many"),
        (lambda tf: tf.data.Dataset.range(9).batch(3).repeat(), "it is known how many"),
    ],
)
def test_what_batches_may_be_cut_from_at_once(tf: Any, make: Callable[[Any], Any], reason: str) -> None:
    _, facts = measured(make(tf).unbatch().batch(2))
    found = facts.stages["unbatch"].uncut
    assert reason in found
    assert bool(reason) == bool(found)


def test_elements_without_rows(tf: Any) -> None:
    plan, facts = measured(tf.data.Dataset.range(4).map(lambda number: tf.range(0 * number)).unbatch().batch(2))
    assert facts.stages["unbatch"].ratio == 0.0
    assert flows(plan, facts)[-1][2].rows_in_all == 1.0


def test_what_comes_behind_a_batch_sees_whole_batches_only() -> None:
    def both(rows: Any) -> Any:
        return tf.ensure_shape(rows, [3])[0]

    endless = tf.data.Dataset.range(100).repeat()
    _, facts = measured(endless.batch(3).map(both))
    assert [known.purity for known in facts.functions.values()] == ["pure"]


def test_a_function_that_fails_on_an_element_ends_what_is_known() -> None:
    def odd(x: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_less(x, tf.constant(20, tf.int64))]):
            return x + 1

    def later(x: Any) -> Any:
        return x * 2

    given = tf.data.Dataset.range(40).map(odd).map(later)
    _, facts = measured(given)
    assert not facts.functions
    kept = (
        given.ignore_errors() if hasattr(given, "ignore_errors") else given.apply(tf.data.experimental.ignore_errors())
    )
    best = po.optimize(kept, budget_s=2)
    assert [int(x) for x in best.dataset] == [2 * (x + 1) for x in range(20)]


@pytest.mark.parametrize(
    ("size", "drop", "cut"), [(2, False, False), (4, False, False), (3, False, True), (2, True, True)]
)
def test_batches_are_cut_at_once_where_no_more_is_known_of_them_then(size: int, drop: bool, cut: bool) -> None:
    rows = tf.data.Dataset.range(40).filter(lambda number: number > 3).batch(4, drop_remainder=True)
    given = rows.map(lambda batch: batch + 1).unbatch().batch(size, drop_remainder=drop)
    plan, facts = measured(given)
    (outcome,) = rebatch.RULE.find(plan, facts)
    assert isinstance(outcome, Rewrite) == cut
    if isinstance(outcome, Rewrite):
        assert build_steps(outcome.plan, resolve, on_host=True)[-1].after.element_spec == given.element_spec
    else:
        assert f"all of {size} rows" in outcome.reason


@pytest.mark.parametrize(
    ("function", "dense"),
    [(lambda x: (x, {"a": [x, x]}), True), (lambda x: (x, tf.sparse.from_dense(tf.range(x))), False)],
    ids=["dense", "sparse"],
)
def test_a_batch_that_is_taken_apart_again_is_left_out_where_it_changes_no_row(function: Any, dense: bool) -> None:
    plan = Plan(Tensors(value=[1, 2, 3, 4]), (Map(function=Function.of(function)), Batch(batch_size=2), Unbatch()))
    facts = gather_facts(plan, machine(), SystemClock(), 0.0, lambda name: None)
    assert facts.stages["unbatch"].dense == dense
    assert [type(one) for one in redundant.RULE.find(plan, facts)] == [Rewrite if dense else Declined]


def test_to_make_an_iterator_is_measured_without_its_end() -> None:
    clock = FakeClock()

    class Slow:
        def __iter__(self) -> Slow:
            clock.sleep(2.0)
            return Slow()

        def __next__(self) -> None:
            raise AssertionError("nothing is taken")

        def __del__(self) -> None:
            clock.sleep(50.0)

    assert samples.started(Slow(), clock) == 2.0
    _, facts = measured(tf.data.Dataset.range(40).map(lambda number: number + 1).batch(4))
    assert facts.start_s > 0
    assert 0 <= facts.take_s < math.inf
