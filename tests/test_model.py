"""The cost model: numbers worked out by hand, and what has to hold of any plan."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline_opt.errors import OrderError, UsageError
from pipeline_opt.functions import Function
from pipeline_opt.optimizer.calls import call_s
from pipeline_opt.optimizer.facts import Facts, FormFacts, FunctionFacts, Overheads, StageFacts
from pipeline_opt.optimizer.flow import epoch_rows, last_flow
from pipeline_opt.optimizer.loads import places
from pipeline_opt.optimizer.memory import held_bytes
from pipeline_opt.optimizer.model import Prediction, has_prefetch, predict
from pipeline_opt.optimizer.what_if import what_if
from pipeline_opt.order import check_order
from pipeline_opt.plan import Concatenate, Plan, Sample, Zip
from pipeline_opt.sources import TFRecords
from pipeline_opt.stages import (
    AUTO,
    Batch,
    Cache,
    Filter,
    FlatMap,
    Interleave,
    Map,
    Options,
    PaddedBatch,
    Prefetch,
    Rebatch,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Stage,
    Take,
    Unbatch,
)

RECORDS = TFRecords(paths=("a",))
DECODE, SCALE, KEEP, FETCH, PYTHON = (Function(f"m:{name}") for name in ("decode", "scale", "keep", "fetch", "python"))
AUGMENT, SEEDED = Function("m:augment"), Function("m:seeded")
FORMS = {name: FormFacts(cpu_s=1.0) for name in ("batched", "padded", "crop_window", "pure_part", "random_part")}
NOTHING = Overheads(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
READ = StageFacts(cpu_s=1.0, bytes_out=100.0, elements=1000, files=10)
FACTS = Facts(
    cores=4.0,
    memory_bytes=1 << 20,
    functions={
        DECODE: FunctionFacts("pure", cpu_s=8.0, bytes_out=500.0, forms=FORMS),
        SCALE: FunctionFacts("pure", cpu_s=2.0),
        KEEP: FunctionFacts("pure", cpu_s=1.0, kept=0.5),
        FETCH: FunctionFacts("pure", cpu_s=0.0, wait_s=20.0),
        PYTHON: FunctionFacts("unknown", cpu_s=3.0, python=True),
        AUGMENT: FunctionFacts("random", cpu_s=3.0, forms=FORMS),
        SEEDED: FunctionFacts("random", cpu_s=3.0, seeded=True, forms=FORMS),
    },
    stages={"tfrecords": READ, "in0_tfrecords": READ, "in1_tfrecords": READ},
    overheads=NOTHING,
)
OFF = Options(default_optimizations=False)
"""TensorFlow parallelises nothing by itself."""


def plan(*stages: Stage) -> Plan:
    return Plan(RECORDS, stages)


def decode(calls: int | None, **told: Any) -> Map:
    return Map(function=DECODE, num_parallel_calls=calls, **told)


def loads(found: Prediction) -> dict[str, float]:
    return {load.name: pytest.approx(load.seconds) for load in found.loads if load.seconds}


def test_one_thread_does_everything() -> None:
    found = predict(plan(decode(None), Map(function=SCALE, num_parallel_calls=None), OFF), FACTS)
    # 1 s to read, 8 to decode and 2 to scale on one thread; 11 core-seconds for 4 cores.
    assert loads(found) == {"map_2": 11.0, "cores": 2.75}
    assert (found.bottleneck, found.rows_per_s) == ("map_2", pytest.approx(1 / 11))


def test_threads_share_the_work() -> None:
    found = predict(plan(decode(2), OFF), FACTS)
    # Reading is a thread of its own; two calls at a time need 4 s for a row each.
    assert loads(found) == {"tfrecords": 1.0, "map": 4.0, "cores": 2.25}


def test_cores_wait_the_less_for_the_call_in_front_the_more_there_are() -> None:
    facts = dataclasses.replace(FACTS, overheads=dataclasses.replace(NOTHING, in_front=0.5))
    cores = [loads(predict(plan(decode(calls), OFF), facts))["cores"] for calls in (4, 8, 400)]
    assert cores == pytest.approx([(1 + 8 * 1.5) / 4, (1 + 8 * 1.25) / 4, (1 + 8 * 1.005) / 4])


def test_more_calls_than_cores_do_not_help() -> None:
    assert predict(plan(decode(100), OFF), FACTS).bottleneck == "cores"
    assert predict(plan(decode(100), OFF), FACTS).rows_per_s == pytest.approx(4 / 9)


def test_tensorflow_parallelises_a_sequential_map_of_a_pure_function_unless_it_is_told_not_to() -> None:
    assert loads(predict(plan(decode(None)), FACTS)) == {"tfrecords": 1.0, "map": 2.0, "cores": 2.25}
    for off in (OFF, Options(autotune=False)):
        assert loads(predict(plan(decode(None), off), FACTS))["map"] == 9.0
    random = dataclasses.replace(FACTS, functions={DECODE: FunctionFacts("random", cpu_s=8.0)})
    assert loads(predict(plan(decode(None)), random))["map"] == 9.0


def test_threads_that_run_python_take_its_lock_from_each_other() -> None:
    facts = dataclasses.replace(FACTS, overheads=dataclasses.replace(NOTHING, lock=0.5))
    alone, several = (
        loads(predict(plan(Map(function=PYTHON, num_parallel_calls=calls), OFF), facts)) for calls in (None, 2)
    )
    assert (alone["python"], several["python"]) == (3.0, 3.5)


def test_python_runs_on_one_thread_at_a_time_wherever_it_stands() -> None:
    python = Map(function=PYTHON, num_parallel_calls=4)
    found = predict(plan(python, dataclasses.replace(python, name="again"), OFF), FACTS)
    assert loads(found) == {"tfrecords": 1.0, "map": 0.75, "again": 0.75, "cores": 7 / 4, "python": 6.0}
    assert found.bottleneck == "python"


def test_calls_that_wait_have_as_many_threads_as_the_pool() -> None:
    fetch = Map(function=FETCH, num_parallel_calls=20)
    assert loads(predict(plan(fetch, OFF), FACTS))["map"] == 5.0  # 20 s on 4 threads
    pool = dataclasses.replace(OFF, private_threadpool_size=10)
    assert loads(predict(plan(fetch, pool), FACTS))["map"] == 2.0


def test_what_a_filter_leaves_out_costs_for_what_it_keeps() -> None:
    found = predict(plan(Filter(predicate=KEEP), OFF), FACTS)
    # Two rows are read (1 s) and asked (1 s) for one that is kept.
    assert loads(found) == {"filter": 4.0, "cores": 1.0}


def test_batches_are_copied() -> None:
    facts = dataclasses.replace(FACTS, overheads=dataclasses.replace(NOTHING, row=0.5, byte=0.01, element=0.1))
    found = predict(plan(Batch(batch_size=10), OFF), facts)
    # A row: 1 s to read, 0.5 and 100 bytes of 0.01 s to copy, a tenth of 0.1 to hand over the batch.
    assert loads(found) == {"batch": 2.51, "cores": 2.51 / 4}


def test_rows_are_made_one_by_one_and_blocks_as_a_whole() -> None:
    cost = dataclasses.replace(NOTHING, row=0.5, byte=0.01, element=0.1)
    cut = {"tfrecords": READ, "unbatch": StageFacts(cpu_s=0.75, ratio=20.0)}
    facts = dataclasses.replace(FACTS, overheads=cost, stages=cut)
    rows, blocks = plan(Unbatch(), OFF), plan(Rebatch(name="unbatch", batch_size=4), OFF)
    # A row: a twentieth of 1 s to read, 0.75 s to be made an element.
    assert loads(predict(rows, facts)) == {"unbatch": 0.8, "cores": 0.2}
    # 20 rows: 1 s to read, (1 + 5) * 0.5 for parts, 100 bytes of 0.01 s, 5 batches of 0.1 s.
    assert loads(predict(blocks, facts)) == {"unbatch": 5.5 / 20, "cores": 5.5 / 80}
    # Of a row nothing was measured: 0.1 s to hand it over, 0.5 s and 5 bytes of 0.01 s to copy it.
    unknown = plan(Batch(batch_size=10), Unbatch(), OFF)
    facts = dataclasses.replace(facts, stages={"tfrecords": READ})
    assert loads(predict(unknown, facts))["unbatch"] == 1.0 + 0.5 + 1.0 + 0.01 + 0.1 + 0.5 + 1.0
    # What is cut is held, and so is a batch that is under way.
    assert held_bytes(blocks, FACTS) == 100.0 + 400.0
    assert held_bytes(plan(Batch(batch_size=10), Unbatch()), FACTS) == 1000.0 + 1000.0


def test_files_are_waited_for_at_once() -> None:
    far = StageFacts(
        bytes_out=100.0, elements=1000, files=10, open_s=50.0, stream_bytes_per_s=50.0, total_bytes_per_s=400.0
    )
    facts = dataclasses.replace(FACTS, stages={"tfrecords": far})
    # A record: 100 of 50 bytes a second, and a hundredth of 50 s to open its file: 2.5 s.
    assert loads(predict(plan(OFF), facts)) == {"tfrecords": 2.5, "storage": 0.25}
    # Five places, for each of which the next file is opened ahead: all ten at once.
    assert loads(predict(plan(Interleave(cycle_length=5), OFF), facts))["interleave"] == 0.45
    assert loads(predict(plan(Interleave(cycle_length=50), OFF), facts)) == {"interleave": 0.25, "storage": 0.25}
    alone = Interleave(cycle_length=5, num_parallel_calls=None)
    assert loads(predict(plan(alone, OFF), facts))["interleave"] == 2.5


def test_stages_inside_the_reader_work_on_its_threads() -> None:
    inside = Interleave(cycle_length=2, inner=(decode(None),))
    assert loads(predict(plan(inside, OFF), FACTS)) == {"interleave": 4.5, "cores": 2.25}


def test_python_and_waits_inside_the_reader_count() -> None:
    python = Interleave(cycle_length=2, inner=(Map(function=PYTHON, num_parallel_calls=None),))
    # Two files at a time, 1 s to read and 3 of Python, which does not run twice at a time.
    assert loads(predict(plan(python, OFF), FACTS)) == {"interleave": 2.0, "cores": 1.0, "python": 3.0}
    fetch = Interleave(cycle_length=2, inner=(Map(function=FETCH, num_parallel_calls=None),))
    assert loads(predict(plan(fetch, OFF), FACTS)) == {"interleave": 10.5, "cores": 0.25}
    alone = dataclasses.replace(fetch, num_parallel_calls=None)
    assert loads(predict(plan(alone, OFF), FACTS)) == {"interleave": 21.0, "cores": 0.25}
    # Four calls wait at once, on as many cores.
    together = Interleave(cycle_length=2, inner=(Map(function=FETCH, num_parallel_calls=4),))
    assert loads(predict(plan(together, OFF), FACTS)) == {"interleave": 3.0, "cores": 0.25}
    both = FlatMap(map_func=SCALE, inner=(Map(function=PYTHON), Map(function=FETCH, num_parallel_calls=None)))
    assert loads(predict(plan(both, OFF), FACTS)) == {"flat_map": 26.0, "cores": 1.5, "python": 3.0}


def test_a_consumer_waits_or_works_at_the_same_time() -> None:
    facts = dataclasses.replace(FACTS, step_s=30.0)
    waiting = predict(plan(Batch(batch_size=10), OFF), facts)
    # 10 s to read a batch and then 30 s for the step.
    assert 1 / waiting.rows_per_s == pytest.approx(4.0)
    assert waiting.utilization == pytest.approx(0.75)
    ahead = predict(plan(Batch(batch_size=10), Prefetch(buffer_size=1), OFF), facts)
    assert (ahead.bottleneck, ahead.utilization) == ("consumer", pytest.approx(1.0))
    assert 1 / ahead.rows_per_s == pytest.approx(3.0)
    inside = predict(plan(Prefetch(buffer_size=1), Batch(batch_size=10), OFF), facts)
    assert 1 / inside.rows_per_s == pytest.approx(3.0)  # the batch itself costs nothing here
    assert predict(plan(Batch(batch_size=10)), facts).bottleneck == "consumer"


def test_taking_elements_in_python_is_work_of_a_core_of_the_consumer() -> None:
    facts = dataclasses.replace(FACTS, take_s=20.0)
    ahead = predict(plan(Batch(batch_size=10), Prefetch(buffer_size=1), OFF), facts)
    # 2 s of a row's tenth of a batch, and 1 s to read it, on 4 cores.
    assert loads(ahead) == {"tfrecords": 1.0, "consumer": 2.0, "cores": 0.75}
    alone = predict(plan(Batch(batch_size=10), OFF), facts)
    assert 1 / alone.rows_per_s == pytest.approx(3.0)
    # Were the loop not the limit, reading would be.
    assert (ahead.seconds, ahead.undrained_s) == (2.0, 1.0)
    # What calls Python waits for the loop.
    python = predict(plan(Map(function=PYTHON), Batch(batch_size=10), Prefetch(buffer_size=1), OFF), facts)
    assert loads(python)["python"] == 3.0 + 2.0
    # A step that was measured has it in it.
    told = dataclasses.replace(facts, step_s=30.0)
    assert loads(predict(plan(Batch(batch_size=10), Prefetch(), OFF), told))["consumer"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("cycle", "calls", "expected"),
    [(5, AUTO, 5), (5, None, 5), (5, 2, 5), (AUTO, None, 4), (AUTO, AUTO, 2), (AUTO, 3, 3), (AUTO, 9, 4)],
)
def test_inputs_in_turn_where_tensorflow_chooses(cycle: int, calls: int | None, expected: int) -> None:
    assert places(Interleave(cycle_length=cycle, num_parallel_calls=calls), FACTS) == expected


def test_one_input_at_a_time_is_handed_over_by_two_threads_that_wait_for_each_other() -> None:
    facts = dataclasses.replace(FACTS, overheads=dataclasses.replace(NOTHING, interleave=2.0, lone_interleave=9.0))
    for calls, expected in ((1, 9.0), (2, 2.0), (AUTO, 2.0)):
        some = plan(Interleave(cycle_length=5, num_parallel_calls=calls), OFF)
        assert loads(predict(some, facts))["interleave"] == expected
    lone = plan(Interleave(cycle_length=AUTO, num_parallel_calls=AUTO), OFF)
    assert loads(predict(lone, dataclasses.replace(facts, cores=2.0)))["interleave"] == 9.0


def test_a_prefetch_of_nothing_is_none() -> None:
    facts = dataclasses.replace(FACTS, step_s=30.0)
    nothing = Prefetch(buffer_size=0)
    assert not has_prefetch(plan(Batch(batch_size=10), nothing, OFF))
    assert has_prefetch(plan(Batch(batch_size=10), Prefetch(), OFF))
    assert 1 / predict(plan(Batch(batch_size=10), nothing, OFF), facts).rows_per_s == pytest.approx(4.0)
    # Before it and behind it works the same thread.
    scale = Map(function=SCALE, num_parallel_calls=None)
    assert loads(predict(plan(nothing, scale, OFF), FACTS)) == {"map": 3.0, "cores": 0.75}
    assert loads(predict(plan(Prefetch(), scale, OFF), FACTS)) == {"tfrecords": 1.0, "map": 2.0, "cores": 0.75}


def test_a_consumer_counts_once_where_nothing_else_works() -> None:
    free = dataclasses.replace(FACTS, stages={}, step_s=2.0)
    found = predict(plan(OFF), free)
    assert loads(found) == {"tfrecords": 2.0, "consumer": 2.0}
    assert found.utilization == pytest.approx(1.0)


def test_later_epochs_take_what_a_cache_holds() -> None:
    found = predict(plan(decode(2), Cache(), Map(function=SCALE, num_parallel_calls=None), OFF), _epochs(5))
    # First 4 s; then 2 s to scale. Over five epochs 4 + 4 * 2.
    assert (1 / found.rows_per_s, 1 / found.steady_rows_per_s) == (pytest.approx(4.0), pytest.approx(2.0))
    assert found.seconds == pytest.approx(12.0)


def _epochs(epochs: int) -> Facts:
    return dataclasses.replace(FACTS, epochs=epochs)


def test_a_repeat_behind_a_cache_reads_it_and_one_before_fills_it() -> None:
    scale = Map(function=SCALE, num_parallel_calls=None)
    behind = predict(plan(decode(2), Cache(), scale, Repeat(count=5), OFF), _epochs(1))
    assert behind.seconds == pytest.approx(4 + 4 * 2)
    before = predict(plan(decode(2), Repeat(count=5), Cache(), scale, OFF), _epochs(2))
    # Five of ten passes fill it.
    assert before.seconds == pytest.approx(5 * 4 + 5 * 2)


PARTS = (plan(decode(2, name="decode")), plan())


def test_pairs_cost_what_both_halves_cost() -> None:
    found = predict(Plan(Zip(plans=PARTS), (OFF,)), FACTS)
    # The second plan is read by the thread that makes pairs: 1 s.
    assert loads(found) == {"in0_tfrecords": 1.0, "in0_decode": 4.0, "in1_tfrecords": 1.0, "cores": 2.5}


def test_what_was_measured_of_a_whole_zip_does_not_count_twice() -> None:
    stages = {**FACTS.stages, "zip": StageFacts(cpu_s=99.0, bytes_out=600.0, elements=1000)}
    facts = dataclasses.replace(FACTS, stages=stages)
    assert predict(Plan(Zip(plans=PARTS), (OFF,)), facts).bottleneck == "in0_decode"


def test_rows_of_batches_that_meet() -> None:
    batched = tuple(Plan(part.source, (*part.stages, Batch(batch_size=10, name="b"))) for part in PARTS)
    found = predict(Plan(Zip(plans=batched), (OFF,)), FACTS)
    assert loads(found)["in0_decode"] == 4.0  # for a row, whatever the batch


def test_plans_one_after_another_do_not_work_at_the_same_time() -> None:
    # Half of the elements cost 4 s and half 1 s, the latter on the thread that hands them over.
    found = predict(Plan(Concatenate(plans=PARTS), (OFF,)), FACTS)
    assert loads(found)["concatenate"] == 2.0
    drawn = predict(Plan(Sample(plans=PARTS, weights=(1, 3)), (OFF,)), FACTS)
    assert loads(drawn)["in0_decode"] == 1.0  # a quarter of 4 s


def test_a_cache_inside_a_zip_spares_its_half() -> None:
    cached = (plan(decode(2, name="decode"), Cache(name="kept")), PARTS[1])
    found = predict(Plan(Zip(plans=cached), (OFF,)), FACTS)
    assert 1 / found.rows_per_s == pytest.approx(4.0)
    assert 1 / found.steady_rows_per_s == pytest.approx(1.0)


def test_the_training_step_is_waited_for_once_whatever_is_inside() -> None:
    facts = dataclasses.replace(FACTS, step_s=30.0)
    assert predict(Plan(Zip(plans=PARTS), (Prefetch(), OFF)), facts).bottleneck == "consumer"
    assert not [load for load in predict(Plan(Zip(plans=PARTS), (OFF,)), facts).loads if load.name == "in0_consumer"]


def test_the_first_batch_waits_for_a_file_and_for_the_shuffle() -> None:
    far = StageFacts(cpu_s=1.0, bytes_out=100.0, elements=1000, files=10, open_s=7.0)
    facts = dataclasses.replace(FACTS, stages={"tfrecords": far})
    row = 1.0 + 7.0 * 10 / 1000
    assert predict(plan(Batch(batch_size=4), OFF), facts).first_batch_s == pytest.approx(7.0 + 4 * row)
    shuffled = plan(Shuffle(buffer_size=50), Batch(batch_size=4), OFF)
    assert predict(shuffled, facts).first_batch_s == pytest.approx(7.0 + 54 * row)
    # The buffer holds no more than there is.
    large = plan(Shuffle(buffer_size=5000), Batch(batch_size=4), OFF)
    assert predict(large, facts).first_batch_s == pytest.approx(7.0 + 1004 * row)
    # What follows the shuffle works for the batch only.
    late = plan(Shuffle(buffer_size=50), decode(None), Batch(batch_size=4), OFF)
    assert predict(late, facts).first_batch_s == pytest.approx(7.0 + 50 * row + 4 * (row + 8.0))


def test_the_first_row_of_a_chunk_waits_for_all_of_them() -> None:
    apart = plan(Batch(batch_size=4, num_parallel_calls=None), decode(None, forms=("batched",)), Unbatch(), OFF)
    assert predict(apart, FACTS).first_batch_s == pytest.approx(3 * (1.0 + 1.0) + 2.0)
    # The source reads one row at a time; a chunk is in the batch, and one more is being taken apart.
    assert held_bytes(apart, FACTS) == 4 * 100.0 + 4 * 500.0


def test_the_first_batch_waits_for_its_iterator() -> None:
    waiting = dataclasses.replace(FACTS, start_s=0.5)
    assert predict(plan(), waiting).first_batch_s == predict(plan(), FACTS).first_batch_s + 0.5


def test_what_a_large_shuffle_holds_comes_back_from_memory() -> None:
    facts = dataclasses.replace(FACTS, overheads=dataclasses.replace(NOTHING, byte=0.1))
    held, most = (plan(Shuffle(buffer_size=size), OFF) for size in (10, 1 << 20))
    assert (loads(predict(held, facts))["cores"], loads(predict(most, facts))["cores"]) == (
        0.25,
        (1 + 0.5 * 0.1 * 100) / 4,
    )


def test_every_epoch_makes_an_iterator() -> None:
    facts = dataclasses.replace(FACTS, start_s=50.0, epochs=3)
    rows = 1000
    more = predict(plan(), facts).seconds - predict(plan(), dataclasses.replace(facts, start_s=0.0)).seconds
    assert more == pytest.approx(3 * 50.0 / rows)
    # What repeats has one for all.
    repeated = plan(Repeat(count=2))
    more = predict(repeated, facts).seconds - predict(repeated, dataclasses.replace(facts, start_s=0.0)).seconds
    assert more == pytest.approx(3 * 50.0 / rows)
    endless = predict(plan(Repeat()), facts)
    assert endless.seconds == predict(plan(Repeat()), dataclasses.replace(facts, start_s=0.0)).seconds


def test_the_first_step_is_no_part_of_the_first_batch() -> None:
    facts = dataclasses.replace(FACTS, step_s=1000.0)
    assert predict(plan(Batch(batch_size=4), Prefetch(), OFF), facts).first_batch_s == pytest.approx(4.0)


def test_what_if() -> None:
    given_ = plan(decode(-1), Batch(batch_size=10), Prefetch(), OFF)
    assert what_if(given_, FACTS) == predict(given_, FACTS)
    assert 1 / what_if(given_, FACTS, cores=1).rows_per_s == pytest.approx(9.0)
    assert what_if(given_, FACTS, cores=64).bottleneck == "tfrecords"
    assert what_if(given_, FACTS, step_s=500.0).bottleneck == "consumer"
    slow = what_if(given_, FACTS, open_s=100.0, stream_bytes_per_s=10.0, total_bytes_per_s=5.0)
    # 100 of 5 bytes a second for all together: 20 s; one stream alone needs 10 and a hundredth of 100 s, and a core 1 s.
    assert (slow.bottleneck, 1 / slow.rows_per_s) == ("storage", pytest.approx(20.0))
    inside = Plan(Zip(plans=PARTS), (OFF,))
    assert what_if(inside, FACTS, stream_bytes_per_s=1.0).rows_per_s < predict(inside, FACTS).rows_per_s / 10


def test_what_if_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UsageError, match="no number is called 'core'; valid: cores, "):
        what_if(plan(), FACTS, core=3)
    with pytest.raises(UsageError, match="open_s: the plan reads no files of which something is known"):
        what_if(plan(), Facts(), open_s=1.0)


CALLS = st.sampled_from([None, -1, 1, 2, 7])
COUNTS = st.integers(1, 50)
STAGES = st.one_of(
    st.builds(Interleave, cycle_length=st.sampled_from([-1, 1, 6]), num_parallel_calls=st.sampled_from([None, -1])),
    st.builds(
        Map,
        function=st.sampled_from([DECODE, SCALE, FETCH, PYTHON, AUGMENT, SEEDED]),
        num_parallel_calls=CALLS,
        random=st.sampled_from([None, None, True]),
    ),
    st.builds(Filter, predicate=st.just(KEEP)),
    st.builds(FlatMap, map_func=st.just(SCALE)),
    st.builds(Cache, filename=st.sampled_from(["", "/c"])),
    st.builds(Shuffle, buffer_size=COUNTS, seed=st.sampled_from([None, 7])),
    st.builds(Repeat, count=st.none() | st.integers(0, 4)),
    st.builds(Batch, batch_size=COUNTS, num_parallel_calls=CALLS),
    st.builds(PaddedBatch, batch_size=COUNTS),
    st.builds(Unbatch),
    st.builds(Rebatch, batch_size=COUNTS),
    st.builds(Take, count=st.integers(0, 2000)),
    st.builds(Skip, count=st.integers(0, 2000)),
    st.builds(Shard, num_shards=COUNTS, index=st.just(0)),
    st.builds(Prefetch, buffer_size=st.sampled_from([-1, 0, 3])),
    st.builds(Options, default_optimizations=st.sampled_from([None, False])),
)
TIMES = st.floats(0, 1)


@st.composite
def plans(draw: st.DrawFn, deep: bool = True) -> Plan:
    stages = draw(st.lists(STAGES, max_size=8))
    source: Any = RECORDS
    if deep and draw(st.booleans()):
        kind = draw(st.sampled_from([Zip, Concatenate, Sample]))
        source = kind(plans=(draw(plans(deep=False)), draw(plans(deep=False))))
    found = Plan(source, tuple(stages))
    try:
        check_order(found)
    except OrderError:
        assume(False)
    return found


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    known = {
        name: StageFacts(
            cpu_s=draw(TIMES),
            bytes_out=draw(st.floats(0, 1e4)),
            elements=draw(st.none() | st.integers(0, 1000)),
            files=draw(st.integers(0, 20)),
            open_s=draw(TIMES),
            stream_bytes_per_s=draw(st.none() | st.floats(1, 1e6)),
            total_bytes_per_s=draw(st.none() | st.floats(1, 1e6)),
        )
        for name in ("tfrecords", "in0_tfrecords", "in1_tfrecords")
        if draw(st.booleans())
    }
    return dataclasses.replace(
        FACTS,
        cores=draw(st.floats(0.5, 16)),
        stages=known,
        overheads=Overheads(),
        epochs=draw(st.integers(1, 5)),
        step_s=draw(TIMES),
    )


@given(plans(), facts())
def test_predictions_are_numbers(plan_: Plan, known: Facts) -> None:
    found = predict(plan_, known)
    for value in (found.rows_per_s, found.steady_rows_per_s):
        assert 0 < value <= 1e12
    assert 0 <= found.seconds < math.inf
    assert 0 <= found.first_batch_s < math.inf
    assert found.peak_bytes >= 0
    assert 0 <= found.utilization <= 1 + 1e-9
    assert all(0 <= load.seconds < math.inf for load in found.loads)
    assert found.bottleneck in {load.name for load in found.loads}


@given(plans(), facts(), COUNTS)
def test_no_row_is_lost_in_a_batch(plan_: Plan, known: Facts, size: int) -> None:
    whole, apart = plan_.append(Batch(batch_size=size)), plan_.append(Batch(batch_size=size)).append(Unbatch())
    rows = last_flow(plan_, known).rows_in_all
    assert last_flow(whole, known).rows_in_all == pytest.approx(rows)
    assert last_flow(apart, known).rows_in_all == pytest.approx(rows)
    before, after = epoch_rows(plan_, known), epoch_rows(whole, known)
    assert (before is None and after is None) or after == pytest.approx(before)


@given(plans(), facts(), st.floats(0, 32))
def test_more_cores_are_never_slower(plan_: Plan, known: Facts, more: float) -> None:
    fewer, all_ = predict(plan_, known), what_if(plan_, known, cores=known.cores + more)
    assert all_.seconds <= fewer.seconds * (1 + 1e-9)
    assert all_.steady_rows_per_s >= fewer.steady_rows_per_s * (1 - 1e-9)


@given(plans(), facts(), st.data())
def test_a_cache_in_memory_never_slows_later_epochs(plan_: Plan, known: Facts, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(plan_.stages)))
    assume(plan_.reader is None or at > plan_.stages.index(plan_.reader))
    cached = plan_.with_stages((*plan_.stages[:at], Cache(), *plan_.stages[at:]))
    assume(not any(isinstance(stage, Cache) and stage.filename for stage in plan_.stages[at:]))
    assert predict(cached, known).steady_rows_per_s >= predict(plan_, known).steady_rows_per_s * (1 - 1e-9)


@given(plans(), facts(), st.integers(0, 1000))
def test_larger_buffers_hold_more(plan_: Plan, known: Facts, more: int) -> None:
    larger = plan_.with_stages(
        dataclasses.replace(stage, buffer_size=stage.buffer_size + more)
        if isinstance(stage, Shuffle) or (isinstance(stage, Prefetch) and stage.buffer_size >= 0)
        else stage
        for stage in plan_.stages
    )
    assert held_bytes(larger, known) >= held_bytes(plan_, known)


def test_ops_on_one_thread_each_take_what_was_measured_so() -> None:
    known = FunctionFacts("pure", cpu_s=4e-3, alone_s=2e-3)
    stages = {"tfrecords": StageFacts(elements=100)}
    facts = Facts(cores=1.0, functions={DECODE: known}, stages=stages, overheads=Overheads(in_front=0.0))
    given = plan(Map(function=DECODE))
    alone = given.append(Options(max_intra_op_parallelism=1))
    assert predict(given, facts).rows_per_s == pytest.approx(250, rel=0.05)
    assert predict(alone, facts).rows_per_s == pytest.approx(500, rel=0.05)
    inside = Plan(Zip(plans=(given, given)), (Options(max_intra_op_parallelism=1),))
    assert predict(inside, facts).rows_per_s > 1.9 * predict(Plan(Zip(plans=(given, given))), facts).rows_per_s


def test_the_last_options_say_how_many_threads_an_op_has() -> None:
    known = FunctionFacts("pure", cpu_s=4e-3, alone_s=2e-3)
    facts = Facts(cores=1.0, functions={DECODE: known}, stages={"tfrecords": StageFacts(elements=100)})
    one, four = (Options(name=f"threads_{number}", max_intra_op_parallelism=number) for number in (1, 4))

    def rate(found: Plan) -> float:
        return predict(found, facts).rows_per_s

    given, alone = plan(Map(function=DECODE)), plan(Map(function=DECODE), one)
    assert rate(alone.append(four)) == rate(given)
    assert rate(given.append(four).append(one)) == rate(alone)
    # Options of a part count for the whole pipeline, unless it says otherwise itself.
    silent = Plan(Zip(plans=(given, given)), (Map(name="last", function=DECODE),))
    part = Plan(Zip(plans=(given, alone)), silent.stages)
    assert rate(part) == rate(silent.append(one)) > 1.9 * rate(silent)
    assert rate(part.append(four)) == rate(silent)


def test_of_many_calls_under_way_each_takes_less() -> None:
    facts = Facts(cores=2.0, overheads=Overheads(parallel_call=27e-6, many_calls=9e-6, in_front=0.0))
    # Measured on two cores: 27, 21, 15 and 10 us.
    took = [1e6 * call_s(calls, facts) for calls in (2, 4, 8, 16, 64)]
    assert took == pytest.approx([27.0, 18.7, 13.0, 9.0, 9.0], abs=0.05)
    assert call_s(1, facts) == call_s(-1, facts) == 27e-6
    known = dataclasses.replace(facts, functions={DECODE: FunctionFacts("pure", cpu_s=10e-6)})
    few, many = (predict(plan(decode(calls)), known).rows_per_s for calls in (2, 16))
    assert many > 1.5 * few
    assert few == predict(plan(decode(-1)), known).rows_per_s
