"""How many elements, rows and bytes pass each stage, and how many a plan holds: numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts, FormFacts, FunctionFacts, StageFacts
from pipeline_opt.optimizer.flow import (
    Flow,
    ends_early,
    epoch_counts,
    epoch_elements,
    epoch_rows,
    flows,
    form_of,
    last_flow,
    part_facts,
    repetitions,
    shares,
    source_flow,
    within,
)
from pipeline_opt.optimizer.memory import cache_bytes, held_bytes
from pipeline_opt.plan import Concatenate, Merge, Plan, Sample, Zip
from pipeline_opt.sources import Tensors, TFRecords
from pipeline_opt.stages import (
    Batch,
    BucketBySequenceLength,
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
KEEP, DECODE, WINDOWS = (Function(f"m:{name}") for name in ("keep", "decode", "windows"))
FACTS = Facts(
    cores=2.0,
    functions={
        KEEP: FunctionFacts("pure", kept=0.25),
        DECODE: FunctionFacts("pure", bytes_out=500.0),
        WINDOWS: FunctionFacts("pure", kept=3.0, bytes_out=40.0),
    },
    stages={
        "tfrecords": StageFacts(bytes_out=100.0, elements=1000, files=10),
        "bucket_by_sequence_length": StageFacts(ratio=0.125, rows=8.0, bytes_out=1600.0),
        "in0_tfrecords": StageFacts(bytes_out=100.0, elements=1000, files=10),
        "in1_tfrecords": StageFacts(bytes_out=20.0, elements=3000, files=10),
    },
)


def plan(*stages: Stage) -> Plan:
    return Plan(RECORDS, stages)


def ends(*stages: Stage) -> list[Flow]:
    return [given for _, _, given in flows(plan(*stages), FACTS)]


def test_what_leaves_each_stage() -> None:
    keep, decode = Filter(predicate=KEEP), Map(function=DECODE)
    found = ends(keep, decode, Batch(batch_size=50), Shard(num_shards=2, index=0), Unbatch())
    assert found == [
        Flow(0.25, 1.0, 100.0),  # a quarter is kept
        Flow(0.25, 1.0, 500.0),
        Flow(0.005, 50.0, 500.0),  # 0.25 / 50 batches of 50 rows
        Flow(0.0025, 50.0, 500.0),  # every second batch
        Flow(0.125, 1.0, 500.0),
    ]
    assert [flow.bytes for flow in found] == [100.0, 500.0, 25_000.0, 25_000.0, 500.0]


def test_a_function_that_gives_datasets_multiplies() -> None:
    assert ends(FlatMap(map_func=WINDOWS)) == [Flow(3.0, 1.0, 40.0)]
    assert ends(Interleave(map_func=WINDOWS, inner=(Batch(batch_size=6),))) == [Flow(0.5, 6.0, 40.0)]


def test_stages_inside_the_reader_count() -> None:
    assert ends(Interleave(inner=(Filter(predicate=KEEP), Batch(batch_size=5)))) == [Flow(0.05, 5.0, 100.0)]


def test_batches_of_another_size_and_measured_ones() -> None:
    assert ends(Batch(batch_size=10), Rebatch(batch_size=4))[-1] == Flow(0.25, 4.0, 100.0)
    bucket = BucketBySequenceLength(
        element_length_func=DECODE, bucket_boundaries=(4,), bucket_batch_sizes=(8, 8), name="bucket_by_sequence_length"
    )
    assert ends(bucket) == [Flow(0.125, 8.0, 200.0)]  # 1,600 bytes in 8 rows


def test_vectors_are_cut_into_the_rows_that_were_measured() -> None:
    facts = dataclasses.replace(FACTS, stages={**FACTS.stages, "unbatch": StageFacts(ratio=25.0)})
    rows, blocks = plan(Unbatch(), Batch(batch_size=5)), plan(Rebatch(name="unbatch", batch_size=5))
    assert [given for _, _, given in flows(rows, facts)] == [Flow(25.0, 1.0, 4.0), Flow(5.0, 5.0, 4.0)]
    assert [given for _, _, given in flows(blocks, facts)] == [Flow(5.0, 5.0, 4.0)]
    empty = dataclasses.replace(facts, stages={"unbatch": StageFacts(ratio=0.0)})
    assert last_flow(rows, empty).rows_in_all == 1.0


def test_a_form_that_was_measured_counts_and_others_do_not() -> None:
    forms = {"pure_part": FormFacts(cpu_s=2.0, bytes_out=7.0), "crop_window": FormFacts(refused="no")}
    facts = Facts(functions={DECODE: FunctionFacts("random", cpu_s=5.0, bytes_out=9.0, forms=forms)})
    part = form_of(Map(function=DECODE, forms=("pure_part",)), facts)
    assert (part.purity, part.cpu_s, part.bytes_out) == ("pure", 2.0, 7.0)
    refused = form_of(Map(function=DECODE, forms=("crop_window",)), facts)
    assert (refused.purity, refused.cpu_s, refused.bytes_out) == ("random", 5.0, 9.0)


@pytest.mark.parametrize(
    ("found", "said", "purity"),
    [
        ("pure", None, "pure"),
        ("pure", True, "random"),
        ("random", False, "pure"),
        ("unknown", False, "pure"),
        ("unknown", True, "unknown"),
        ("random", True, "random"),
    ],
)
def test_what_the_user_says_of_a_function(found: str, said: bool | None, purity: str) -> None:
    facts = Facts(functions={DECODE: FunctionFacts(found)})
    assert form_of(Map(function=DECODE, random=said), facts).purity == purity


def test_the_pure_part_of_what_is_declared_random_is_not_pure() -> None:
    facts = Facts(functions={DECODE: FunctionFacts("random", forms={"pure_part": FormFacts()})})
    assert form_of(Map(function=DECODE, random=True, forms=("pure_part",)), facts).purity == "random"


def test_a_chain_costs_what_its_parts_cost() -> None:
    one = FunctionFacts("pure", "its ops", cpu_s=1.0, wait_s=0.5, bytes_out=10.0)
    other = FunctionFacts("random", "it draws", cpu_s=2.0, seeded=True, python=True)
    chained = Facts(functions={DECODE: one, KEEP: other}).of(Function.chain(DECODE, KEEP))
    assert (chained.cpu_s, chained.wait_s, chained.bytes_out) == (3.0, 0.5, 10.0)
    assert (chained.purity, chained.evidence, chained.seeded, chained.python) == ("random", "it draws", True, True)
    assert Facts(functions={DECODE: one}).of(Function.chain(DECODE, KEEP)).purity == "unknown"


def test_elements_of_an_epoch() -> None:
    stages = (Skip(count=100), Take(count=400), Filter(predicate=KEEP), Repeat(count=3), Batch(batch_size=30))
    # 1,000 records, 900, 400, a quarter of them, three times, in batches of 30.
    assert epoch_counts(plan(*stages), FACTS) == [1000.0, 900.0, 400.0, 100.0, 300.0, 10.0]
    assert epoch_rows(plan(*stages), FACTS) == 300.0


def test_a_take_of_more_than_there_is_takes_all() -> None:
    assert epoch_counts(plan(Take(count=5000), Skip(count=6000)), FACTS) == [1000.0, 1000.0, 0.0]


def test_an_endless_repeat() -> None:
    assert epoch_elements(plan(Repeat()), FACTS) == math.inf
    assert epoch_elements(plan(Repeat(), Take(count=70)), FACTS) == 70.0
    assert epoch_rows(plan(Repeat(), Batch(batch_size=10)), FACTS) == 1000.0
    assert epoch_elements(plan(Take(count=0), Repeat()), FACTS) == 0.0
    assert epoch_elements(plan(Repeat(), Repeat(count=0)), FACTS) == 0.0


def test_before_the_reader_elements_are_files() -> None:
    # 3 of 10 files, of 100 records each.
    assert epoch_elements(plan(Take(count=3), Interleave()), FACTS) == pytest.approx(300.0)
    assert epoch_elements(plan(Shard(num_shards=5, index=0), Interleave()), FACTS) == pytest.approx(200.0)
    assert epoch_elements(plan(Skip(count=4), Interleave(), Take(count=50)), FACTS) == 50.0


def test_an_epoch_of_unknown_length() -> None:
    facts = dataclasses.replace(FACTS, stages={"tfrecords": StageFacts(bytes_out=1.0)})
    assert epoch_counts(plan(Batch(batch_size=2)), facts) is None
    assert epoch_rows(plan(), Facts()) is None


PARTS = (plan(Map(function=DECODE)), plan(Batch(batch_size=1)))


def test_sources_in_which_plans_meet() -> None:
    assert source_flow(Plan(Zip(plans=PARTS)), FACTS) == Flow(1.0, 1.0, 520.0)
    assert source_flow(Plan(Sample(plans=PARTS, weights=(3, 1))), FACTS) == Flow(1.0, 1.0, 380.0)
    # 1,000 of 500 bytes and 3,000 of 20: a quarter and three quarters.
    assert source_flow(Plan(Concatenate(plans=PARTS)), FACTS) == Flow(1.0, 1.0, 140.0)
    assert list(shares(Concatenate(plans=PARTS), Facts())) == [0.5, 0.5]
    assert last_flow(Plan(Zip(plans=PARTS)), FACTS).bytes == 520.0


def test_pairs_of_batches_have_the_rows_of_a_batch() -> None:
    batched = tuple(Plan(part.source, (*part.stages, Batch(batch_size=8, name="b"))) for part in PARTS)
    assert source_flow(Plan(Zip(plans=batched)), FACTS) == Flow(1.0, 8.0, 520.0)


def test_elements_of_sources_in_which_plans_meet() -> None:
    assert epoch_elements(Plan(Zip(plans=PARTS)), FACTS) == 1000.0
    assert epoch_elements(Plan(Concatenate(plans=PARTS)), FACTS) == 4000.0
    assert epoch_elements(Plan(Sample(plans=PARTS)), FACTS) is None
    endless = (plan(Repeat()), PARTS[1])
    assert epoch_elements(Plan(Zip(plans=endless)), FACTS) == 3000.0


def test_a_plan_inside_another_one_is_asked_for_as_a_whole_only_where_it_ends_with_the_others() -> None:
    (first, _) = part_facts(Plan(Zip(plans=PARTS), (Repeat(count=4),)), FACTS)
    assert (first.prefix, first.epochs, first.step_s, first.whole) == ("in0_", 4, 0.0, False)
    assert all(known.whole for known in part_facts(Plan(Zip(plans=(PARTS[0], PARTS[0]))), _alike()))
    unknown = dataclasses.replace(FACTS, stages={})
    assert not any(known.whole for known in part_facts(Plan(Zip(plans=(PARTS[0], PARTS[0]))), unknown))
    assert all(known.whole for known in part_facts(Plan(Concatenate(plans=PARTS)), FACTS))
    assert not any(known.whole for known in part_facts(Plan(Concatenate(plans=PARTS), (Take(count=3),)), FACTS))
    assert list(part_facts(plan(), FACTS)) == []


def test_plans_that_are_drawn_from_are_asked_for_as_a_whole_unless_the_first_that_ends_ends_all() -> None:
    assert all(known.whole for known in part_facts(Plan(Sample(plans=PARTS)), FACTS))
    early = Plan(Sample(plans=PARTS, stop_on_empty_dataset=True))
    assert not any(known.whole for known in part_facts(early, FACTS))
    assert [ends_early(source) for source in (early.source, Concatenate(plans=PARTS), Zip(plans=PARTS))] == [
        True,
        False,
        True,
    ]
    merged = Merge(plans=PARTS, transformation=KEEP)
    assert ends_early(merged)
    assert not any(known.whole for known in part_facts(Plan(merged), FACTS))


def _alike() -> Facts:
    return dataclasses.replace(FACTS, stages={f"in{n}_tfrecords": StageFacts(elements=5) for n in (0, 1)})


def test_facts_within_facts() -> None:
    inner = within(within(FACTS, 1), 0)
    assert inner.prefix == "in1_in0_"
    assert within(FACTS, 1).stage("tfrecords") == FACTS.stages["in1_tfrecords"]


def test_repetitions() -> None:
    assert repetitions((Repeat(count=3), Cache(), Repeat(count=2), Shuffle(buffer_size=2), Repeat())) == 6
    assert repetitions(()) == 1


PLACE = 24


NO_FUSION = Options(map_and_batch_fusion=False)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ((Shuffle(buffer_size=10),), 10 * (100 + PLACE)),
        ((Shuffle(buffer_size=5000),), 1000 * (100 + PLACE)),
        ((Take(count=20), Shuffle(buffer_size=5000)), 20 * (100 + PLACE)),
        ((Take(count=20), Cache()), 20 * (100 + PLACE)),
        ((Map(function=DECODE, num_parallel_calls=None), Cache()), 1000 * (500 + PLACE)),
        ((Filter(predicate=KEEP), Batch(batch_size=50), Cache()), 5000 + 5 * (5000 + PLACE)),
        ((Repeat(count=3), Cache()), 3000 * (100 + PLACE)),
        ((Repeat(), Cache()), math.inf),
        ((Cache(filename="/c"),), 0),
        # What is in a cache is there once.
        ((Cache(), Repeat(count=2), Shuffle(buffer_size=10), Prefetch()), 1000 * (100 + PLACE) + 10 * PLACE),
        ((Cache(filename="/c"), Shuffle(buffer_size=10)), 10 * (100 + PLACE)),
        (
            (Cache(), Map(function=DECODE, num_parallel_calls=None), Shuffle(buffer_size=10)),
            1000 * (100 + PLACE) + 10 * (500 + PLACE),
        ),
        ((Prefetch(buffer_size=3),), 300),
        # A batch is made in the place that is empty meanwhile.
        ((Batch(batch_size=10), Prefetch()), 2 * 1000),
        ((Batch(batch_size=10), Prefetch(buffer_size=0)), 1000),
        ((Batch(batch_size=10, num_parallel_calls=1), Prefetch()), 1000 + 2 * 1000),
        ((Filter(predicate=KEEP), PaddedBatch(batch_size=10), Options(autotune=True), Prefetch()), 2 * 1000),
        # Rows are written into the batch.
        ((Map(function=DECODE, num_parallel_calls=3), Batch(batch_size=10), Prefetch()), 2 * 100 + 5000 + 2 * 5000),
        ((Map(function=DECODE, num_parallel_calls=7), Batch(batch_size=3)), 2 * 100 + 3 * 1500),
        ((Map(function=DECODE, num_parallel_calls=None), Batch(batch_size=10), Prefetch()), 5000 + 2 * 5000),
        (
            (Map(function=DECODE, num_parallel_calls=3), Batch(batch_size=10), Prefetch(), NO_FUSION),
            3 * 500 + 2 * 100 + 2 * 5000,
        ),
        ((Map(function=DECODE, num_parallel_calls=3),), 3 * 500 + 2 * 100),
        ((Batch(batch_size=10, num_parallel_calls=-1),), 2 * 1000),
        ((Interleave(cycle_length=5, block_length=2),), 5 * 2 * 100),
        ((Interleave(cycle_length=5, inner=(Batch(batch_size=10),)),), 5 * (1000 + 1000)),
        ((Shuffle(buffer_size=5000), Interleave(cycle_length=1)), 10 * 256 + 100),
        # What a part keeps waits for the last of the hundred that share it: 1 + 1/2 + ... + 1/100 as long as one.
        (
            (Batch(batch_size=400), Rebatch(batch_size=4), Shuffle(buffer_size=50)),
            40_000 + 40_400 + 50 * (400 + PLACE) * sum(1 / n for n in range(1, 101)),
        ),
        (
            (Batch(batch_size=400), Rebatch(batch_size=4), Batch(batch_size=2), Shuffle(buffer_size=50)),
            40_000 + 40_400 + 800 + 50 * (800 + PLACE),
        ),
    ],
)
def test_what_is_held(stages: tuple[Stage, ...], expected: float) -> None:
    assert held_bytes(plan(*stages), FACTS) == pytest.approx(expected, rel=1e-4)


def test_what_a_cache_would_hold() -> None:
    stages = plan(Map(function=DECODE, num_parallel_calls=None), Batch(batch_size=10))
    assert cache_bytes(stages, 0, FACTS) == 1000 * (100 + PLACE)
    assert cache_bytes(stages, 1, FACTS) == 1000 * (500 + PLACE)
    assert cache_bytes(stages, 2, FACTS) == 100 * (5000 + PLACE)
    assert cache_bytes(plan(), 0, FACTS) == 1000 * (100 + PLACE)
    assert cache_bytes(stages, 1, Facts()) == math.inf


def test_what_plans_inside_a_source_hold_counts() -> None:
    cached = plan(Cache())
    held = 1000 * (100 + PLACE) + 3000 * (20 + PLACE)
    assert held_bytes(Plan(Zip(plans=(cached, cached))), FACTS) == held


class Sample_:
    """Stands for the op that was read from a dataset."""

    __name__ = "sample"

    def __call__(self, *datasets: object) -> object:
        return datasets[0]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((30, 10), [1.0, 0.75, 0.25]), ((30, None), [1.0, 0.5, 0.5])],
    ids=["sizes are known", "one is not"],
)
def test_what_is_read_of_a_sample_takes_of_each_part_what_there_is(
    sizes: tuple[int | None, int | None], expected: list[float]
) -> None:
    selector = Plan(Tensors(value=[0]), (Batch(batch_size=2),))
    known = dataclasses.replace(
        FACTS,
        stages={
            "in0_tensors": StageFacts(elements=1000, bytes_out=16.0),
            "in1_tfrecords": StageFacts(elements=sizes[0], bytes_out=4.0),
            "in2_tfrecords": StageFacts(elements=sizes[1], bytes_out=8.0),
        },
    )
    merged = Merge(plans=(selector, *PARTS), transformation=Function(None, (), Sample_()))
    assert shares(merged, known) == expected
    flow = source_flow(Plan(merged), known)
    assert flow.rows == 1.0
    first, second = (given.bytes for given in (last_flow(part, within(known, n)) for n, part in enumerate(PARTS, 1)))
    assert flow.bytes == pytest.approx(expected[1] * first + expected[2] * second)
    # Of a user's own function it is not known what it does.
    assert shares(Merge(plans=PARTS, transformation=KEEP), known) == pytest.approx([0.5, 0.5])
