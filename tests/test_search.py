"""The search: what it reaches, what it leaves alone, and that it ends."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from hypothesis import example, given
from hypothesis import strategies as st
from test_model import AUGMENT, DECODE, SEEDED
from test_model import FACTS as MODEL_FACTS
from test_model import facts as random_facts
from test_model import plans as random_plans

from pipeline_opt.errors import OrderError
from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts, FormFacts, FunctionFacts, Overheads, StageFacts
from pipeline_opt.optimizer.rewrite import PRESERVES, Declined, Rewrite, Rule, keeps_draws, moved
from pipeline_opt.optimizer.search import LEAST_GAIN, Search, search
from pipeline_opt.order import check_order
from pipeline_opt.plan import Concatenate, Plan, Zip
from pipeline_opt.sources import TFRecords
from pipeline_opt.stages import (
    Batch,
    Batching,
    Cache,
    Filter,
    Interleave,
    Map,
    Options,
    Prefetch,
    Repeat,
    Shuffle,
    Stage,
)
from pipeline_opt.text import plan_text

RECORDS = TFRecords(paths=("a",))


def function(name: str) -> Function:
    return Function(f"m:{name}")


def mapped(name: str, calls: int | None = -1) -> Map:
    return Map(name=name, function=function(name), num_parallel_calls=calls)


def known(cpu_us: float, row_bytes: float, purity: str = "pure", **forms: FormFacts) -> FunctionFacts:
    return FunctionFacts(purity, "its ops", cpu_us * 1e-6, bytes_out=row_bytes, forms=forms)


FACTS = Facts(
    cores=2.0,
    memory_bytes=1 << 30,
    functions={function(name): known(100.0, 1000.0) for name in "abc"},
    stages={name: StageFacts(1e-6, bytes_out=500.0, elements=1000) for name in ("tfrecords", "in0_tfrecords")},
    # A call takes the same however many are under way, and none waits for another one.
    overheads=Overheads(parallel_call=20e-6, many_calls=20e-6, in_front=0.0),
)


def plan(*stages: Stage) -> Plan:
    return Plan(RECORDS, stages)


def rule(find: Callable[[Plan, Facts], Iterable[Rewrite | Declined]], name: str = "rule", whole: bool = False) -> Rule:
    return Rule(name, "it helps", find, whole)


def swaps(plan_: Plan, _: Facts) -> Iterator[Rewrite]:
    """Any two maps change places: from three maps six plans are reached, each of them again and again."""
    for at, (first, second) in enumerate(itertools.pairwise(plan_.stages)):
        if isinstance(first, Map) and isinstance(second, Map):
            yield Rewrite(moved(plan_, at, at + 1), second.name, "swapped")


def more_calls(plan_: Plan, _: Facts) -> Iterator[Rewrite]:
    for stage in plan_.stages:
        if isinstance(stage, Map) and 0 < (stage.num_parallel_calls or 0) < 8:
            yield Rewrite(
                plan_.replace(stage.name, num_parallel_calls=(stage.num_parallel_calls or 0) + 1), stage.name, ""
            )


def texts(found: Search) -> list[str]:
    return [plan_text(one.plan) for one in found.found]


def test_nothing_to_do() -> None:
    alone = search(plan(mapped("a")), FACTS, ())
    assert (len(alone.found), alone.found[0].steps, alone.found[0].preserves) == (1, (), "exact")
    assert alone.declined == ()


def test_a_plan_that_was_reached_is_not_expanded_again() -> None:
    asked: Counter[str] = Counter()

    def counting(plan_: Plan, facts: Facts) -> Iterator[Rewrite]:
        asked[plan_text(plan_)] += 1
        yield from swaps(plan_, facts)

    found = search(plan(mapped("a"), mapped("b"), mapped("c")), FACTS, (rule(counting),))
    assert len(found.found) == 6
    assert set(asked.values()) == {1}
    assert len(asked) == 6


def test_it_goes_on_until_nothing_gets_better() -> None:
    off = Options(default_optimizations=False)
    found = search(plan(mapped("a", 1), off), FACTS, (rule(more_calls),))
    # Two calls at a time are as fast as two cores.
    assert found.found[0].plan.stage("a") == mapped("a", 2)
    assert [step.gain > 1 for step in found.found[0].steps] == [True]
    assert found.found[0].steps[0].after == found.found[0].prediction


def test_maps_of_whole_batches_have_no_more_calls_than_they_need() -> None:
    batched = known(40.0, 1000.0, batched=FormFacts(cpu_s=20e-6, bytes_out=1000.0))
    facts = dataclasses.replace(FACTS, functions={function("a"): batched}, overheads=Overheads())
    best = search(plan(mapped("a"), Batch(batch_size=64)), facts).found[0]
    assert best.plan.stage("a").forms == ("batched",)
    assert best.plan.stage("a").num_parallel_calls in (-1, 6)
    # Where there is no such form, they have more.
    alone = dataclasses.replace(facts, functions={function("a"): known(40.0, 1000.0)})
    best = search(plan(mapped("a"), Batch(batch_size=64)), alone).found[0]
    assert best.plan.stage("a").num_parallel_calls == 16
    assert "more_calls" in [step.rule for step in best.steps]


def test_where_the_loop_that_takes_elements_is_the_limit_plans_are_told_apart_by_the_rest() -> None:
    bound, off = dataclasses.replace(FACTS, take_s=150e-6), Options(default_optimizations=False)
    best = search(plan(mapped("a", 1), off), bound, (rule(more_calls),)).found[0]
    assert best.plan.stage("a") == mapped("a", 2)
    assert best.prediction.bottleneck == "consumer"


def test_a_pipeline_twice_as_fast_as_the_loop_that_takes_its_elements_is_fast_enough() -> None:
    bound, off = dataclasses.replace(FACTS, take_s=300e-6), Options(default_optimizations=False)
    best = search(plan(mapped("a", 1), off), bound, (rule(more_calls),)).found[0]
    assert not best.steps


def test_a_change_that_brings_next_to_nothing_is_not_made() -> None:
    # A hundredth of what an epoch takes is the map's.
    started, off = dataclasses.replace(FACTS, start_s=10.0), Options(default_optimizations=False)
    best = search(plan(mapped("a", 1), off), started, (rule(more_calls),)).found[0]
    assert not best.steps
    assert best.prediction.seconds > 10.0 / 1000


def test_it_gets_past_a_step_that_does_not_help_by_itself() -> None:
    batched = known(100.0, 1000.0, batched=FormFacts(cpu_s=1e-6, bytes_out=1000.0))
    facts = dataclasses.replace(FACTS, functions={function("a"): batched})
    best = search(plan(mapped("a"), Shuffle(buffer_size=10), Repeat(), Batch(batch_size=32)), facts).found[0]
    assert [stage.name for stage in best.plan.stages][:4] == ["shuffle", "repeat", "batch", "a"]
    assert [step.rule for step in best.steps][:2] == ["late_map", "vectorise"]


def test_the_same_facts_give_the_same_result() -> None:
    given_ = twelve_stages()
    first, second = search(given_, TWELVE), search(given_, TWELVE)
    assert texts(first) == texts(second)
    assert first.declined == second.declined
    assert [[step.rule for step in one.steps] for one in first.found] == [
        [step.rule for step in one.steps] for one in second.found
    ]


def test_memory_is_never_exceeded() -> None:
    facts = dataclasses.replace(FACTS, epochs=5, memory_bytes=700_000)
    given_ = plan(Interleave(cycle_length=2), mapped("a"), mapped("b"), Batch(batch_size=10))
    found = search(given_, facts)
    assert all(one.prediction.peak_bytes <= 700_000 for one in found.found)
    # The records fit, what is made of them does not: a cache of those is not reached by a detour either.
    assert any(isinstance(stage, Cache) for one in found.found for stage in one.plan.stages)
    assert {
        names(one.plan)[: names(one.plan).index("cache")][-1] for one in found.found if "cache" in names(one.plan)
    } == {"interleave"}


def names(plan_: Plan) -> list[str]:
    return [stage.name for stage in plan_.stages]


def test_a_plan_that_holds_too_much_as_it_is_may_stay_and_gets_no_worse() -> None:
    facts = dataclasses.replace(FACTS, memory_bytes=10)
    found = search(plan(mapped("a"), Shuffle(buffer_size=100)), facts)
    given_ = next(one for one in found.found if not one.steps)
    assert all(one.prediction.peak_bytes <= given_.prediction.peak_bytes for one in found.found)


def test_it_stops_when_it_is_told_to() -> None:
    assert len(search(plan(mapped("a")), FACTS, stop=lambda: True).found) == 1
    asked = itertools.count()
    early = search(twelve_stages(), TWELVE, stop=lambda: next(asked) >= 3)
    assert 1 < len(early.found) < len(search(twelve_stages(), TWELVE).found) / 4


def test_what_is_not_wanted_is_not_reached() -> None:
    def of(preserves: str) -> Rule:
        def find(plan_: Plan, _: Facts) -> Iterator[Rewrite]:
            if len(plan_.stages) == 1:
                yield Rewrite(plan_.append(Prefetch()), "a", "a prefetch", preserves)

        return rule(find)

    def reached(preserves: str, **wishes: bool) -> bool:
        return len(search(plan(mapped("a")), dataclasses.replace(FACTS, **wishes), (of(preserves),)).found) == 2

    assert [reached(preserves) for preserves in PRESERVES] == [True, True, True]
    assert [reached(preserves, bits=True) for preserves in PRESERVES] == [True, False, True]


def test_a_plan_keeps_no_more_than_its_weakest_step() -> None:
    def find(plan_: Plan, _: Facts) -> Iterator[Rewrite]:
        kept = dict(enumerate(("rounding", "set", "exact"), start=1)).get(len(plan_.stages))
        if kept:
            yield Rewrite(plan_.append(Prefetch(buffer_size=1)), "a", "a prefetch", kept)

    found = search(plan(mapped("a")), FACTS, (rule(find),)).found
    by_steps = {len(one.steps): one.preserves for one in found}
    assert by_steps == {0: "exact", 1: "rounding", 2: "set", 3: "set"}


def test_orders_that_cannot_be_built_are_not_reached() -> None:
    def find(plan_: Plan, _: Facts) -> Iterator[Rewrite]:
        yield Rewrite(plan_.with_stages(reversed(plan_.stages)), "batch", "reversed")

    stages = (Batch(batch_size=2), dataclasses.replace(mapped("a"), batched=True))
    assert len(search(plan(*stages), FACTS, (rule(find),)).found) == 1


def test_reasons_come_once() -> None:
    def find(plan_: Plan, _: Facts) -> Iterator[Rewrite | Declined]:
        yield Declined("a", "it may not")
        yield from swaps(plan_, FACTS)

    found = search(plan(mapped("a"), mapped("b")), FACTS, (rule(find, "never"),))
    assert found.declined == (("never", Declined("a", "it may not")),)


def test_plans_inside_a_source_are_changed_too() -> None:
    inner = (plan(mapped("a", 1), Options(default_optimizations=False)), plan(Prefetch(name="ahead")))
    whole = rule(
        lambda plan_, _: [Rewrite(plan_.append(Prefetch()), "end", "a prefetch")][: 1 - len(plan_.stages)], "end", True
    )
    found = search(Plan(Zip(plans=inner)), FACTS, (rule(more_calls), whole))
    best = found.found[0].plan
    assert isinstance(best.source, Zip)
    assert best.source.plans[0].stage("a") == mapped("a", 2)
    assert found.found[0].steps[0].rewrite.stage == "in0_a"
    # A rule that looks at a pipeline as a whole looks at none inside.
    assert all(isinstance(part, Plan) and "prefetch" not in names(part) for part in best.source.plans)
    assert any(names(one.plan) == ["prefetch"] for one in found.found)


def test_what_is_declined_inside_a_source_is_named_after_its_place() -> None:
    def find(plan_: Plan, _: Facts) -> Iterator[Declined]:
        yield from (Declined(stage.name, "no") for stage in plan_.stages)

    nested = Plan(Zip(plans=(plan(), Plan(Concatenate(plans=(plan(mapped("a")), plan(mapped("b"))))))))
    stages = {one.stage for _, one in search(nested, FACTS, (rule(find),)).declined}
    assert stages == {"in1_in0_a", "in1_in1_b"}


def test_rules_for_the_whole_come_last_and_only_to_the_best() -> None:
    found = search(twelve_stages(), TWELVE)
    for one in found.found:
        whole = [step.rule in ("any_order", "prefetch", "freeze") for step in one.steps]
        assert whole == sorted(whole)
    assert any(step.rule == "freeze" for one in found.found for step in one.steps)


VECTOR = FormFacts(cpu_s=2e-6, evidence="12 elements are equal bit for bit")
TWELVE = Facts(
    cores=2.0,
    memory_bytes=8 << 30,
    functions={
        function("parse"): known(45, 90_000, batched=VECTOR),
        function("decode"): known(900, 500_000, crop_window=FormFacts(cpu_s=600e-6)),
        function("keep"): FunctionFacts("pure", cpu_s=5e-6, kept=0.8),
        Function.chain(function("decode"), function("keep")): FunctionFacts("pure", cpu_s=50e-6, kept=0.8),
        function("augment"): known(100, 500_000, "random", pure_part=FormFacts(cpu_s=5e-5), random_part=VECTOR),
        function("resize"): known(200, 150_000, batched=VECTOR),
        function("to_float"): known(50, 600_000, batched=VECTOR),
        function("normalise"): known(20, 600_000),
    },
    stages={"tfrecords": StageFacts(2e-6, bytes_out=90_000.0, elements=20_000, files=40)},
    epochs=3,
)


def twelve_stages() -> Plan:
    return plan(
        Interleave(cycle_length=4),
        mapped("parse", None),
        mapped("decode"),
        Filter(name="keep", predicate=function("keep")),
        mapped("augment"),
        mapped("resize"),
        Shuffle(buffer_size=1000),
        Repeat(),
        mapped("to_float", None),
        Batch(batch_size=32),
        mapped("normalise"),
        Prefetch(),
    )


def test_a_search_over_twelve_stages_finds_a_lot_and_looks_at_little() -> None:
    found = search(twelve_stages(), TWELVE)
    best = found.found[0]
    assert found.found[0].prediction.seconds < min(one.prediction.seconds for one in found.found if not one.steps) / 2
    assert {"early_filter", "forms", "vectorise", "cache"} <= {step.rule for step in best.steps}
    assert len(found.found) < 1000


def drawing(*more: Stage) -> Plan:
    """A plan in which what is drawn follows from seeds, and would change if maps moved or ran otherwise."""
    seeded_map, shuffle = Map(name="seeded", function=SEEDED, num_parallel_calls=None), Shuffle(buffer_size=9, seed=7)
    return plan(Map(name="decode", function=DECODE), shuffle, *more, Repeat(count=2), seeded_map, Batch(batch_size=4))


def lively_plans() -> st.SearchStrategy[Plan]:
    """Plans of the stages that rules move and change the most, some of them random."""
    stages = st.one_of(
        st.builds(
            Map, function=st.sampled_from([DECODE, AUGMENT, SEEDED]), num_parallel_calls=st.sampled_from([None, -1])
        ),
        st.builds(Shuffle, buffer_size=st.just(9), seed=st.sampled_from([None, 7])),
        st.sampled_from([Repeat(count=2), Batch(batch_size=4), Prefetch(), Cache()]),
    )
    return st.lists(stages, max_size=7).map(lambda found: plan(*found)).filter(is_legal)


def is_legal(plan_: Plan) -> bool:
    try:
        check_order(plan_)
    except OrderError:
        return False
    return True


@example(drawing(), MODEL_FACTS, False)
@example(drawing(Map(name="late", function=DECODE)), MODEL_FACTS, True)
@example(drawing(Shuffle(name="none", buffer_size=1)), MODEL_FACTS, True)
@given(random_plans() | lively_plans(), random_facts(), st.booleans())
def test_whatever_is_found_can_be_built_and_keeps_what_it_says(plan_: Plan, facts: Facts, free: bool) -> None:
    facts = dataclasses.replace(facts, order_free=free)
    found = search(plan_, facts, stop=_after(6))
    limit = max(facts.memory_bytes, next(one for one in found.found if not one.steps).prediction.peak_bytes)
    for one in found.found:
        check_order(one.plan)
        assert one.prediction.peak_bytes <= limit
        assert keeps_draws(plan_, one.plan)
        assert sorted(shuffles(one.plan)) == sorted(shuffles(plan_))
        rules = {step.rule for step in one.steps}
        assert batches(one.plan) == batches(plan_) or rules & {"redundant", "batch_in_files"}
        assert seeded(one.plan) == seeded(plan_)
    # Plans on one level count as equals.
    fastest = min(one.prediction.seconds for one in found.found)
    assert found.found[0].prediction.seconds <= fastest * (1 + LEAST_GAIN) * (1 + 1e-9)


def _after(count: int) -> Callable[[], bool]:
    asked = itertools.count()
    return lambda: next(asked) >= count


def shuffles(plan_: Plan) -> list[int]:
    return [stage.buffer_size for stage in plan_.stages if isinstance(stage, Shuffle) and stage.buffer_size > 1]


def seeded(plan_: Plan) -> list[tuple[str, bool, bool]]:
    """The maps that draw from a seed, whether they do so for one element after another, and whether for whole batches."""
    maps = [stage for stage in plan_.stages if isinstance(stage, Map) and stage.function == SEEDED]
    drawing = [stage for stage in maps if "pure_part" not in stage.forms]
    return [(stage.name, stage.num_parallel_calls is None, bool(stage.batched)) for stage in drawing]


def batches(plan_: Plan) -> list[int]:
    return [stage.batch_size for stage in plan_.stages if isinstance(stage, Batching)]
