"""Orders of stages: refusals with the nearest legal order, order lists, and harm."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_opt.errors import ConfigError, OrderError
from pipeline_opt.functions import Function
from pipeline_opt.order import Harm, apply_order, check_order, harms, nearest_order, parse_order
from pipeline_opt.plan import Concatenate, Plan, Sample, Zip
from pipeline_opt.sources import Images, OpaqueDataset, Source, Tensors, TFRecords
from pipeline_opt.stages import (
    Batch,
    BucketBySequenceLength,
    Cache,
    Filter,
    FlatMap,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    PaddedBatch,
    Prefetch,
    PrefetchToDevice,
    RaggedBatch,
    Rebatch,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Snapshot,
    Stage,
    Take,
    Unbatch,
)

FILES = TFRecords(paths=("data",))
MEMORY = Tensors(value=[1, 2, 3])
F = Function.of("module:function")


def interleave() -> Interleave:
    return Interleave()


def each(**knobs: object) -> Map:
    return Map(function=F, **knobs)  # type: ignore[arg-type]


def files(*stages: Stage) -> Plan:
    return Plan(FILES, stages)


def memory(*stages: Stage) -> Plan:
    return Plan(MEMORY, stages)


def bucket() -> BucketBySequenceLength:
    return BucketBySequenceLength(element_length_func=F, bucket_boundaries=(3,), bucket_batch_sizes=(2, 2))


LEGAL = {
    "the usual one": files(interleave(), each(), Cache(), Shuffle(buffer_size=9), Batch(batch_size=2), Prefetch()),
    "stages on file names": files(
        Shuffle(buffer_size=9), Shard(num_shards=2, index=0), Take(count=3), Skip(count=1), Repeat(), interleave()
    ),
    "no reading interleave": files(Prefetch(), Cache(), each(), Batch(batch_size=2)),
    "memory": memory(Batch(batch_size=2), each(batched=True), Unbatch(), each(batched=False)),
    "interleave of a function over memory": memory(Interleave(map_func=F)),
    "interleave of a function over records": files(interleave(), Interleave(map_func=F)),
    "batches of batches": memory(PaddedBatch(batch_size=2), Batch(batch_size=3), Rebatch(batch_size=4)),
    "padded again after unbatch": memory(PaddedBatch(batch_size=2), Unbatch(), RaggedBatch(batch_size=3)),
    "options after the device": memory(PrefetchToDevice(), Options(slack=True)),
    "a dataset may hold batches": Plan(OpaqueDataset(), (Unbatch(), each(batched=False))),
    "a function may make vectors": memory(each(), Unbatch(), Batch(batch_size=2)),
    "a function inside the reader may make vectors": files(Interleave(inner=(each(),)), Rebatch(batch_size=2)),
    "a function may make batches": memory(FlatMap(map_func=F), Rebatch(batch_size=2)),
    "a function may split batches": memory(Batch(batch_size=2), FlatMap(map_func=F), each(batched=False)),
    "opaque code may make batches": memory(OpaqueStage(transformation=F), each(batched=True)),
    "batched inside a zip": Plan(Zip(plans=(memory(Batch(batch_size=2)),) * 2), (Unbatch(),)),
    "batched in one of two": Plan(Sample(plans=(memory(), memory(Batch(batch_size=2)))), (Unbatch(),)),
    "nothing at all": files(),
}


@pytest.mark.parametrize("title", LEGAL)
def test_a_legal_order_passes(title: str) -> None:
    check_order(LEGAL[title])
    assert nearest_order(LEGAL[title]) == tuple(stage.name for stage in LEGAL[title].stages)


REFUSED = [
    (files(Prefetch(), interleave()), "prefetch stands before interleave, which opens the files: there is nothing to"),
    (files(PrefetchToDevice(), interleave()), "there is nothing to prefetch yet"),
    (files(Cache(), interleave()), "cache stands before interleave, which opens the files: there is nothing to keep"),
    (files(Snapshot(path="x"), interleave()), "there is nothing to keep yet"),
    (files(each(), interleave()), "it would get file names, not records"),
    (files(Filter(predicate=F), interleave()), "filter stands before interleave"),
    (files(Batch(batch_size=2), interleave()), "it would batch file names"),
    (files(Unbatch(), interleave(), Batch(batch_size=2)), "there are no batches yet"),
    (files(Options(), interleave()), "options belong to the records"),
    (Plan(Images(paths=("x",)), (each(), Interleave(name="read"))), "map stands before read, which opens"),
    (memory(each(batched=True), Batch(batch_size=2)), "map works on batches .batched=True. and stands where elements"),
    (memory(Batch(batch_size=2), each(batched=False)), "map works on single elements .batched=False. and stands where"),
    (memory(Batch(batch_size=2), PaddedBatch(batch_size=2)), "padded_batch needs single elements"),
    (memory(Batch(batch_size=2), RaggedBatch(batch_size=2)), "ragged_batch needs single elements"),
    (memory(Batch(batch_size=2), bucket()), "bucket_by_sequence_length needs single elements"),
    (memory(Unbatch(), each()), "unbatch needs batches and stands where elements are single"),
    (memory(Unbatch(), Batch(batch_size=2)), "unbatch needs batches and stands where elements are single"),
    (memory(Rebatch(batch_size=2), Batch(batch_size=2)), "rebatch needs batches"),
    (
        memory(PrefetchToDevice(), each()),
        "map stands after prefetch_to_device, which hands the elements to the acceler",
    ),
]


@pytest.mark.parametrize(("plan", "reason"), REFUSED)
def test_an_illegal_order_is_refused_with_the_reason_and_a_legal_one(plan: Plan, reason: str) -> None:
    with pytest.raises(OrderError, match=reason) as refused:
        check_order(plan)
    _, _, text = str(refused.value).partition("; nearest legal order: ")
    check_order(apply_order(plan, parse_order(text)))


NO_WAY_OUT = [
    (files(interleave(), interleave()), "interleave_2 is the second interleave without a map_func"),
    (memory(interleave()), r"interleave has no map_func, and the source \(tensors\) has no files to open"),
    (memory(each(batched=True)), "map works on batches"),
    (memory(Unbatch()), "unbatch needs batches"),
    (memory(PaddedBatch(batch_size=2), PaddedBatch(batch_size=2)), "padded_batch_2 needs single elements"),
    (memory(PrefetchToDevice(), PrefetchToDevice()), "prefetch_to_device_2 stands after prefetch_to_device"),
]


@pytest.mark.parametrize(("plan", "reason"), NO_WAY_OUT)
def test_stages_without_any_legal_order_are_refused_as_such(plan: Plan, reason: str) -> None:
    with pytest.raises(OrderError, match=f"{reason}.*; no order of these stages is legal$"):
        check_order(plan)


def test_a_stage_cannot_be_called_source() -> None:
    with pytest.raises(OrderError, match=r"a stage is called 'source'.*give it another name"):
        check_order(memory(each(name="source")))


def test_an_illegal_plan_inside_another_is_refused_and_located() -> None:
    good, bad = memory(), files(Cache(), interleave())
    nested = Plan(Concatenate(plans=(good, Plan(Zip(plans=(good, bad))))))
    with pytest.raises(OrderError, match=r"^in concatenate\[1\]: in zip\[1\]: cache stands before interleave"):
        check_order(nested)


NEAREST = [
    ("prefetch,interleave,map,cache,shuffle,batch", "interleave,prefetch,map,cache,shuffle,batch"),
    ("map,cache,interleave,shuffle,batch,prefetch", "interleave,map,cache,shuffle,batch,prefetch"),
    ("shuffle,map,interleave,batch", "shuffle,interleave,map,batch"),
    ("interleave,map,batch,prefetch", "interleave,map,batch,prefetch"),
]


@pytest.mark.parametrize(("given_order", "nearest"), NEAREST)
def test_the_nearest_order_moves_as_little_as_possible(given_order: str, nearest: str) -> None:
    known = {s.kind: s for s in (interleave(), each(), Shuffle(buffer_size=5), Batch(batch_size=2))}
    plan = apply_order(files(), parse_order(given_order), known)
    assert nearest_order(plan) == tuple(nearest.split(","))


STAGES = st.sampled_from(
    [
        interleave(),
        each(),
        each(batched=True),
        each(batched=False),
        Shuffle(buffer_size=3),
        Cache(),
        Batch(batch_size=2),
        PaddedBatch(batch_size=2),
        Unbatch(),
        FlatMap(map_func=F),
        PrefetchToDevice(),
        Options(),
    ]
)
SOURCES = st.sampled_from([FILES, MEMORY, OpaqueDataset()])


def is_legal(plan: Plan) -> bool:
    try:
        check_order(plan)
    except OrderError:
        return False
    return True


def cost(order: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
    """Moved stages (all but the longest rising run), the distance moved, and the order itself."""
    longest: list[int] = []
    for place, number in enumerate(order):
        longest.append(1 + max((longest[p] for p in range(place) if order[p] < number), default=0))
    return len(order) - max(longest, default=0), sum(abs(n - p) for p, n in enumerate(order)), order


@settings(deadline=None, max_examples=60, database=None)
@given(SOURCES, st.lists(STAGES, max_size=5))
def test_the_nearest_order_is_the_cheapest_of_all_permutations(source: Source, stages: list[Stage]) -> None:
    plan = Plan(source, tuple(stages))
    legal = []
    for order in permutations(range(len(stages))):
        if is_legal(plan.with_stages(plan.stages[n] for n in order)):
            legal.append(order)
    best = min(legal, key=cost, default=None)
    assert nearest_order(plan) == (None if best is None else tuple(plan.stages[n].name for n in best))


@pytest.mark.parametrize("seed", range(8))
def test_fifteen_stages_are_put_in_order(seed: int) -> None:
    some = random.Random(seed)
    stages: list[Stage] = [each(batched=some.choice((None, True, False))) for _ in range(9)]
    stages += [interleave(), PrefetchToDevice(), Batch(batch_size=2), Unbatch(), PaddedBatch(batch_size=3), Cache()]
    some.shuffle(stages)
    plan = files(*stages)
    order = nearest_order(plan)
    assert order is not None
    check_order(apply_order(plan, order))


# Order lists.

FULL = files(interleave(), each(name="decode"), each(), each(), Shuffle(buffer_size=5), Batch(batch_size=2))


def ordered(text: str, plan: Plan = FULL, **defaults: Stage) -> str:
    return ",".join(stage.name for stage in apply_order(plan, parse_order(text), defaults).stages)


def test_a_kind_stands_for_the_stages_not_named_one_by_one() -> None:
    assert ordered("interleave,map,shuffle,batch") == "interleave,decode,map,map_2,shuffle,batch"
    assert ordered("source, interleave, map_2, batch, map, shuffle") == "interleave,map_2,batch,decode,map,shuffle"
    assert ordered("interleave,map,batch,decode,map_2,shuffle") == "interleave,map,batch,decode,map_2,shuffle"


def test_a_stage_with_usable_defaults_is_added() -> None:
    plan = apply_order(FULL, parse_order("interleave,map,cache,shuffle,batch,prefetch_7"))
    assert plan.stage("cache") == Cache(name="cache")
    assert plan.stage("prefetch_7") == Prefetch(name="prefetch_7")


def test_other_stages_are_added_from_the_defaults_given() -> None:
    plan = apply_order(
        memory(), ("shuffle", "batch"), {"shuffle": Shuffle(buffer_size=8), "batch": Batch(batch_size=4)}
    )
    assert plan.stages == (Shuffle(name="shuffle", buffer_size=8), Batch(name="batch", batch_size=4))


def test_the_class_of_the_plan_is_kept() -> None:
    class Mine(Plan):
        pass

    assert type(apply_order(Mine(MEMORY), ("cache",))) is Mine


BAD_LISTS = [
    ("interleave,map", OrderError, "the order leaves out: shuffle, batch; name every stage"),
    ("interleave,source,map,shuffle,batch", OrderError, "nearest legal order: source,interleave,map,shuffle,batch$"),
    ("interleave,map,shuffle,batch,shuffle", ConfigError, "'shuffle' stands twice"),
    ("interleave,map,shufle,batch", ConfigError, "no stage is called 'shufle'; valid: .*did you mean 'shuffle'"),
    ("interleave,map,shuffle,batch,decod", ConfigError, "did you mean 'decode'"),
    ("interleave,map,shuffle,batch,take", ConfigError, "take has no default arguments; stages that an order can add"),
    ("interleave,,batch", ConfigError, "not an order"),
    ("", ConfigError, "not an order"),
]


@pytest.mark.parametrize(("text", "error", "message"), BAD_LISTS)
def test_a_list_that_does_not_fit_is_refused(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ordered(text)


# Harm.


def found(plan: Plan, *random_stages: str) -> list[tuple[str, str]]:
    """Stage and first words of every harm but the missing prefetch."""
    return [(h.stage, h.message) for h in harms(plan, random_stages) if "stands last" not in h.message]


SHUFFLE, BATCH = Shuffle(buffer_size=5), Batch(batch_size=2)
SHARD = Shard(num_shards=4, index=1)

HARMFUL = [
    (memory(SHUFFLE, Cache()), "cache", "stands after shuffle, so the order of the first epoch is kept"),
    (files(SHUFFLE, interleave(), Cache()), "cache", "stands after shuffle, so the order of the first epoch"),
    (memory(SHUFFLE, Snapshot(path="x")), "snapshot", "stands after shuffle, so the order of the first epoch"),
    (memory(each(random=True), Cache()), "cache", "stands after map, which is random, so every later epoch sees"),
    (memory(Repeat(), Cache()), "cache", "stands after repeat, which never ends, so what is kept is never complete"),
    (memory(Repeat(count=3), Cache()), "cache", "stands after repeat, so every element is kept 3 times"),
    (memory(BATCH, SHUFFLE), "shuffle", "so whole batches are shuffled"),
    (files(SHUFFLE, interleave(), BATCH, SHUFFLE), "shuffle_2", "so whole batches are shuffled"),
    (memory(Repeat(), SHUFFLE), "shuffle", "stands after repeat, so epochs blend"),
    (memory(Cache(), Take(count=3)), "take", "stands after cache: if it ends before the data does, the partly filled"),
    (memory(Cache(), BATCH, Skip(count=3)), "skip", "stands after cache, so what it leaves out is kept and read again"),
    (memory(SHUFFLE, SHARD), "shard", "stands after shuffle, which has no seed, so every worker shuffles differently"),
    (
        memory(each(), SHARD),
        "shard",
        "stands after map, so every worker does that work for all elements and throws 3 of 4",
    ),
    (Plan(Zip(plans=(memory(SHUFFLE), memory())), (Cache(),)), "cache", "stands after in0_shuffle, so the order"),
    (Plan(Zip(plans=(memory(), memory(BATCH, SHUFFLE)))), "in1_shuffle", "so whole batches are shuffled"),
]


@pytest.mark.parametrize(("plan", "stage", "message"), HARMFUL)
def test_a_harmful_order_is_found_with_what_it_does(plan: Plan, stage: str, message: str) -> None:
    ((where, what),) = found(plan)
    assert where == stage
    assert message in what


HARMLESS = [
    memory(Cache(), SHUFFLE),
    memory(SHUFFLE, Cache(), SHUFFLE),
    memory(Shuffle(buffer_size=5, reshuffle_each_iteration=False), Cache()),
    Plan(Zip(plans=(memory(SHUFFLE, Cache()), memory())), (SHUFFLE,)),
    memory(Cache(), each(random=True)),
    memory(each(), Cache()),
    memory(Cache(), Repeat()),
    memory(Repeat(count=1), Cache()),
    memory(Repeat(), Take(count=9), Cache()),
    memory(SHUFFLE, BATCH, SHUFFLE),
    memory(BATCH, Unbatch(), SHUFFLE),
    memory(SHUFFLE, Repeat()),
    memory(Take(count=3), Cache()),
    memory(Cache(), Repeat(), Take(count=3)),
    memory(Repeat(), Take(count=3)),
    memory(Shuffle(buffer_size=5, seed=1), SHARD),
    memory(SHARD, SHUFFLE, each()),
    memory(SHUFFLE, each(), Shard(num_shards=1, index=0)),
]


@pytest.mark.parametrize("plan", HARMLESS)
def test_a_harmless_order_is_not_reported(plan: Plan) -> None:
    assert found(plan) == []


def test_randomness_found_by_tracing_counts_unless_the_user_says_otherwise() -> None:
    assert found(memory(each(), Cache()), "map") != []
    assert found(memory(each(random=False), Cache()), "map") == []
    nested = Plan(Zip(plans=(memory(FlatMap(map_func=F)), memory())), (Cache(),))
    assert found(nested, "in0_flat_map") != []
    assert found(nested, "flat_map") == []


@pytest.mark.parametrize("stages", [(), (BATCH,), (Prefetch(), BATCH), (Prefetch(buffer_size=0),), (BATCH, Options())])
def test_a_plan_that_does_not_end_with_prefetch_is_reported(stages: tuple[Stage, ...]) -> None:
    (harm,) = harms(memory(*stages))
    last = [stage for stage in memory(*stages).stages if not isinstance(stage, Options)]
    assert harm.stage == (last[-1].name if last else "source")
    assert "making a batch and the training step take turns" in harm.message


@pytest.mark.parametrize("stages", [(Prefetch(),), (PrefetchToDevice(), Options()), (Prefetch(), Options())])
def test_a_plan_that_ends_with_prefetch_is_not(stages: tuple[Stage, ...]) -> None:
    assert harms(memory(*stages)) == ()


def test_harm_comes_in_the_order_of_the_plan() -> None:
    plan = memory(SHUFFLE, Cache(), Repeat(), Cache())
    assert [harm.stage for harm in harms(plan)] == ["cache", "cache_2", "cache_2", "cache_2"]
    assert isinstance(harms(plan)[0], Harm)
