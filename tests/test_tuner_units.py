"""The small parts of the tuner: what is compared, what is cut, what is random."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline_opt.build.forms.needed import needed
from pipeline_opt.build.steps import build_steps
from pipeline_opt.build.traced import traced
from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts, FunctionFacts, Overheads, StageFacts
from pipeline_opt.plan import Concatenate, Plan, Zip
from pipeline_opt.sources import Source, Tensors, TextLines, TFRecords
from pipeline_opt.stages import Batch, Interleave, Map, Repeat, Shuffle, Skip, Stage, Take, Unbatch
from pipeline_opt.storage import resolve
from pipeline_opt.text.sides import side_by_side
from pipeline_opt.tuner.equal import reproducible
from pipeline_opt.tuner.randomness import random_components
from pipeline_opt.tuner.sampled import sampled, share_to_compare
from pipeline_opt.tuner.shortened import Part, part_to_compare, shortened

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]

PARSE = Function("module:parse")


def records(*stages: Any) -> Plan:
    return Plan(TFRecords(paths=("a",)), stages)


def numbers(*stages: Any, many: int = 4) -> Plan:
    return Plan(Tensors(value=np.arange(1, many + 1, dtype=np.int32)), stages)


def test_two_plans_stand_side_by_side_and_what_differs_is_marked() -> None:
    before = records(Map(function=PARSE), Batch(batch_size=2))
    after = records(Batch(batch_size=2), Map(function=PARSE, forms=("batched",)))
    rows = side_by_side(before, after, width=90).splitlines()
    assert rows[0].split() == ["before", "after"]
    assert rows[1].startswith("  tfrecords")
    assert sum(row.startswith("*") for row in rows) == 2
    narrow = side_by_side(before, after, width=40)
    assert max(map(len, narrow.splitlines())) <= 84
    assert all(part in narrow for row in rows[1:] for part in row[2:].split())


def test_what_repeats_for_ever_is_gone_through_once_and_shuffles_get_seeds() -> None:
    plan = reproducible(numbers(Shuffle(buffer_size=3), Repeat(), Shuffle(buffer_size=2, seed=5), Batch(batch_size=2)))
    assert [stage.kind for stage in plan.stages] == ["shuffle", "shuffle", "batch"]
    first, second = plan.stages[:2]
    assert isinstance(first, Shuffle)
    assert isinstance(second, Shuffle)
    assert first.seed is not None
    assert second.seed == 5


def test_two_plans_are_made_reproducible_in_the_same_way() -> None:
    one = reproducible(Plan(Zip(plans=(numbers(Shuffle(buffer_size=2)), numbers(Shuffle(buffer_size=2))))))
    assert isinstance(one.source, Zip)
    seeds = [plan.stages[0].seed for plan in one.source.plans if isinstance(plan.stages[0], Shuffle)]
    assert len(set(seeds)) == 2


@pytest.mark.parametrize(
    ("cpu_s", "stages", "cut"),
    [(0.05, (), True), (1e-5, (), False), (1e-5, (Batch(batch_size=32), Unbatch()), True)],
    ids=["long batches", "short batches", "many rows at once"],
)
def test_whole_epochs_are_run_of_a_part_of_the_data(cpu_s: float, stages: tuple[Stage, ...], cut: bool) -> None:
    plan = records(Interleave(), Map(function=PARSE), Batch(batch_size=32))
    other = plan.with_stages((*plan.stages[:-1], *stages, plan.stages[-1]))
    functions = {PARSE: FunctionFacts("pure", cpu_s=cpu_s)}
    facts = Facts(
        cores=2, functions=functions, stages={"tfrecords": StageFacts(elements=10**8, bytes_out=10.0, files=1)}
    )
    part = part_to_compare(plan, [plan, other, plan], facts, 12.0)
    assert (part is not None) is cut
    if part is not None:
        kinds = [stage.kind for stage in shortened(plan, part, facts).stages]
        assert kinds == ["interleave", "take", "map", "batch"]
    if part is not None and not stages:
        # 2 cores, 50 ms an element: 40 in the second that an epoch of one of three may take in four rounds; but four batches.
        assert part.elements == 4 * 32
        # With more time, no more than five times as long as a first batch, of 0.8 s, takes.
        longer = part_to_compare(plan, [plan, other, plan], facts, 120.0)
        assert longer is not None
        assert longer.elements == pytest.approx(160, abs=2)


def test_a_short_epoch_is_not_cut() -> None:
    plan = records(Interleave(), Map(function=PARSE), Batch(batch_size=2))
    functions = {PARSE: FunctionFacts("pure", cpu_s=0.05)}
    facts = Facts(cores=2, functions=functions, stages={"tfrecords": StageFacts(elements=30, bytes_out=10.0, files=1)})
    assert part_to_compare(plan, [plan], facts, 12.0) == Part()
    assert shortened(plan, Part(), facts) is plan


def test_a_job_of_several_epochs_is_run_by_whole_ones() -> None:
    plan = records(Interleave(), Map(function=PARSE), Batch(batch_size=2))
    functions = {PARSE: FunctionFacts("pure", cpu_s=1e-5)}
    facts = Facts(
        functions=functions, stages={"tfrecords": StageFacts(elements=10**8, bytes_out=10.0, files=1)}, epochs=3
    )
    part = part_to_compare(plan, [plan], facts, 12.0)
    assert part is not None
    assert part.elements < 10**6


def test_a_shuffle_that_holds_much_of_an_epoch_holds_as_much_of_a_part_of_it() -> None:
    files = (Shuffle(buffer_size=500_000), Interleave())
    plan = records(*files, Map(function=PARSE), Shuffle(buffer_size=20_000), Batch(batch_size=2))
    functions = {PARSE: FunctionFacts("pure", cpu_s=1e-3)}
    stages = {"tfrecords": StageFacts(elements=100_000, bytes_out=10.0, files=1)}
    facts = Facts(cores=1, functions=functions, stages=stages)
    part = part_to_compare(plan, [plan], facts, 8.0)
    assert part is not None
    assert part.elements == pytest.approx(2000, rel=0.1), "a quarter of 8 s, as to fill the shuffle takes long"
    of_files, buffer = [
        stage.buffer_size for stage in shortened(plan, part, facts).stages if isinstance(stage, Shuffle)
    ]
    assert (of_files, buffer) == (500_000, pytest.approx(part.elements / 5, abs=1))
    # Of a longer epoch it holds little, and slices do.
    stages = {"tfrecords": StageFacts(elements=1_000_000, bytes_out=10.0, files=1)}
    assert part_to_compare(plan, [plan], Facts(cores=1, functions=functions, stages=stages), 8.0) is None
    # Of how many there are it is not known, and of what a shuffle holds then, either.
    stages = {"tfrecords": StageFacts(bytes_out=10.0, files=1)}
    late = plan.with_stages((*plan.stages, Unbatch()))
    assert part_to_compare(plan, [plan, late], Facts(cores=1, functions=functions, stages=stages), 8.0) is None


def batches(*stages: Any, source: Any = None) -> Any:
    return Plan(source or Tensors(value=np.arange(100_000)), (*stages, Map(function=PARSE), Batch(batch_size=32)))


ENDS = {
    "skip": batches(Skip(count=90_000)),
    "take": batches(Take(count=50_000)),
    "repeat": batches(Repeat(count=20)),
    "shuffle of batches": batches(Batch(batch_size=4), Shuffle(buffer_size=10_000), Unbatch()),
    "large batches": batches().append(Unbatch()).append(Batch(batch_size=4096, drop_remainder=True)),
    "one after another": batches(source=Concatenate(plans=(numbers(many=1000), numbers(many=99_000)))),
    "pairs": batches(source=Zip(plans=(numbers(many=100_000), numbers(many=200_000)))),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_part_of_the_data_is_as_long_as_was_reckoned_and_never_empty(name: str) -> None:
    plan, call = ENDS[name], Function.of(lambda *parts: parts[0])
    steps = build_steps(with_function(plan, call), resolve, on_host=True)
    sizes = {step.name: int(step.after.cardinality()) for step in steps if isinstance(step.item, Source)}
    stages = {step: StageFacts(elements=count, bytes_out=8.0) for step, count in sizes.items() if count > 0}
    facts = Facts(cores=1, functions={PARSE: FunctionFacts("pure", cpu_s=1e-3)}, stages=stages, epochs=2)
    part = part_to_compare(plan, [plan], facts, 40.0)
    assert part is not None
    assert part.share is not None
    assert part.share < 1
    cut = build_steps(with_function(shortened(plan, part, facts), call), resolve, on_host=True)[-1].after
    rows = sum(int(batch.shape[0]) for batch in cut)
    # 0.7 s of 1 ms each; or four batches, where they are large.
    least = 4 * 4096 if name == "large batches" else 700
    assert 0.9 * least <= rows <= 1.15 * least + 32


def with_function(plan: Plan, function: Function) -> Plan:
    """The plan with something that can be called in its map."""
    stages = (dataclasses.replace(s, function=function) if isinstance(s, Map) else s for s in plan.stages)
    return plan.with_stages(list(stages))


def test_where_nobody_knows_how_long_an_epoch_is() -> None:
    functions = {PARSE: FunctionFacts("pure", cpu_s=1e-3)}
    once = Facts(cores=1, functions=functions, stages={"tfrecords": StageFacts(bytes_out=10.0, files=1)})
    twice = dataclasses.replace(once, epochs=2)
    plan = records(Interleave(), Shuffle(buffer_size=10_000), Map(function=PARSE), Unbatch())
    assert part_to_compare(plan, [plan], once, 40.0) is None
    part = part_to_compare(plan, [plan], twice, 40.0)
    assert part is not None
    assert part.share is None
    # A buffer of more than is left would be filled once and for all.
    (shuffle,) = (stage for stage in shortened(plan, part, twice).stages if isinstance(stage, Shuffle))
    assert shuffle.buffer_size == pytest.approx(part.elements / 10, abs=1)
    assert part_to_compare(records(Interleave(), Skip(count=5), Map(function=PARSE)), [plan], twice, 40.0) is None


def test_every_source_of_a_combination_is_cut() -> None:
    plan = shortened(Plan(Zip(plans=(numbers(), numbers()))), Part(2, None), Facts())
    assert isinstance(plan.source, Zip)
    assert all(isinstance(part.stages[0], Take) for part in plan.source.plans)


def test_a_chain_of_functions_equals_a_chain_of_equal_ones() -> None:
    other = Function("module:other")
    assert Function.chain(PARSE, other) == Function.chain(PARSE, other)
    assert hash(Function.chain(PARSE, other)) == hash(Function.chain(PARSE, other))
    assert Function.chain(PARSE, other) != Function.chain(other, PARSE)
    assert Function.chain(PARSE, other).label == "parse then other"


def test_only_what_an_answer_needs_is_left_of_a_function() -> None:
    def answer(x: Any) -> Any:
        drawn = tf.random.uniform([3])
        tf.debugging.assert_less(tf.reduce_sum(drawn), 0.0)
        return x > 2

    whole = traced(answer, tf.TensorSpec((), tf.int32))
    alone = needed(whole)
    assert "RandomUniform" in {node.op for node in whole.graph_def.node}
    assert "RandomUniform" not in {node.op for node in alone.graph_def.node}
    assert bool(alone(tf.constant(3)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        whole(tf.constant(3))


def test_what_randomness_touches_is_known_by_component() -> None:
    def noise(x: Any) -> Any:
        return x, x + tf.random.uniform([], maxval=9, dtype=tf.int32)

    def swap(x: Any, y: Any) -> Any:
        return y * 2, x

    steps = build_steps(numbers(Map(function=Function.of(noise))), resolve, on_host=True)
    assert random_components(steps) == {1}
    steps = build_steps(
        numbers(Map(function=Function.of(noise)), Map(function=Function.of(swap))), resolve, on_host=True
    )
    assert random_components(steps) == {0}


def test_a_part_of_the_data_is_the_same_for_every_plan_over_it(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text("a\n")
    given = Plan(TextLines(paths=(str(tmp_path),)), (Interleave(), Batch(batch_size=2)))
    facts = Facts(stages={"tensors": StageFacts(elements=100)})
    part = sampled(given, 0.26, facts)
    assert isinstance(part.source, TextLines)
    assert [Path(path).name for path in part.source.paths] == ["0.txt", "1.txt"]
    assert part.stages == given.stages
    assert sampled(given, 1.0, facts) is given
    tenth = sampled(numbers(Skip(count=50)), 0.1, Facts(stages={"tensors": StageFacts(elements=100)}))
    assert [getattr(stage, "count", None) for stage in tenth.stages] == [10, 5]
    assert sampled(numbers(Skip(count=50)), 0.1, Facts()).stages[0] == Skip(name="skip", count=50)
    taken = sampled(numbers(Shuffle(buffer_size=5)), 0.1, facts)
    assert [stage.kind for stage in taken.stages] == ["take", "shuffle"]
    assert taken.stages[0] == Take(name="sample", count=10)


def test_how_much_of_the_data_fits_into_the_time() -> None:
    known = StageFacts(elements=1000, bytes_out=10.0, files=1)
    functions = {PARSE: FunctionFacts("pure", cpu_s=0.06)}
    slow = Facts(cores=1, functions=functions, stages={"tfrecords": known}, overheads=Overheads(in_front=0.0))
    plan = records(Map(function=PARSE), Batch(batch_size=2))
    # An epoch takes a minute.
    assert share_to_compare(plan, slow, 36.0) == pytest.approx(0.1, rel=0.05)
    assert share_to_compare(plan, slow, 3600.0) == 1.0
