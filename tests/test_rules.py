"""Every rule against its golden file: plans that it makes of others, and plans that it leaves alone.

A case of `golden/rules/RULE.toml` has a `title`, a `plan` as TOML text, and `facts`: what `Facts` takes, functions by their
labels and stages by their names, times in microseconds. It ends in one of three ways: `after`, the text of a plan that is among
those that the rule makes, with what that `preserves`; `declined`, a part of the reason for which the rule declines, and then it
makes nothing; or `nothing = true`. Plans of the first kind are built and run in `test_rules_built.py`.
"""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline_opt.build import forms as built
from pipeline_opt.functions import Function
from pipeline_opt.optimizer import freedom
from pipeline_opt.optimizer.facts import Facts, FormFacts, FunctionFacts, StageFacts
from pipeline_opt.optimizer.freedom import (
    asks_for_order,
    free_inside,
    gives_one_element,
    holds_order,
    inner_facts,
    is_fresh,
)
from pipeline_opt.optimizer.rewrite import (
    PASSING_ERRORS,
    PRESERVES,
    Declined,
    Rewrite,
    Rule,
    is_deterministic,
    keeps_draws,
    said_of_order,
    swallows_errors,
)
from pipeline_opt.optimizer.rules import (
    RULES,
    any_order,
    batch_in_files,
    cache,
    forms,
    freeze,
    interleave_files,
    reading,
    split,
)
from pipeline_opt.order import check_order
from pipeline_opt.plan import Concatenate, Merge, Plan, Sample, Zip
from pipeline_opt.sources import Images, OpaqueDataset, TFRecords
from pipeline_opt.stages import (
    Batch,
    BucketBySequenceLength,
    Filter,
    FlatMap,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    Prefetch,
    Repeat,
    Shuffle,
    Stage,
    Take,
)
from pipeline_opt.text import loads, plan_text

GOLDEN = Path(__file__).parent / "golden" / "rules"
FILES = sorted(GOLDEN.glob("*.toml"))
BY_NAME = {rule.name: rule for rule in RULES}


def cases(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(path.read_text())["case"]
    return found


ALL = [(path.stem, case) for path in FILES for case in cases(path)]


def function(label: str) -> Function:
    """The function of a label; of `f then g`, the two one after another."""
    parts = [Function(f"m:{part}") for part in label.split(" then ")]
    return parts[0] if len(parts) == 1 else Function.chain(*parts)


def in_seconds(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_us", "_s"): value * 1e-6 if name.endswith("_us") else value for name, value in table.items()}


def function_facts(table: Mapping[str, Any]) -> FunctionFacts:
    forms = {name: FormFacts(**in_seconds(form)) for name, form in table.get("forms", {}).items()}
    told = {"purity": "pure", "evidence": "its ops are", **in_seconds(table)}
    return FunctionFacts(**{**told, "forms": forms})


def facts_of(table: Mapping[str, Any]) -> Facts:
    told = in_seconds(table)
    functions = {function(label): function_facts(known) for label, known in told.pop("functions", {}).items()}
    stages = {name: StageFacts(**in_seconds(known)) for name, known in told.pop("stages", {}).items()}
    return Facts(functions=functions, stages=stages, **{"cores": 2.0, **told})


def outcomes(rule: Rule, case: Mapping[str, Any]) -> Iterator[Rewrite | Declined]:
    yield from rule.find(loads(case["plan"]), facts_of(case.get("facts", {})))


@pytest.mark.parametrize(("name", "case"), ALL, ids=[f"{name}: {case['title']}" for name, case in ALL])
def test_rule(name: str, case: Mapping[str, Any]) -> None:
    found = list(outcomes(BY_NAME[name], case))
    made = {plan_text(outcome.plan): outcome for outcome in found if isinstance(outcome, Rewrite)}
    declined = [outcome for outcome in found if isinstance(outcome, Declined)]
    if "after" in case:
        text = case["after"].strip("\n")
        assert text in made, "\n\n".join((*made, *(f"{d.stage}: {d.reason}" for d in declined)))
        assert made[text].preserves == case["preserves"]
    elif "declined" in case:
        assert not made, "\n\n".join(made)
        assert any(case["declined"] in f"{d.stage}: {d.reason}" for d in declined), declined
    else:
        assert not found, found


@pytest.mark.parametrize(("name", "case"), ALL, ids=[f"{name}: {case['title']}" for name, case in ALL])
def test_what_a_rule_makes_can_be_built_and_says_what_it_keeps(name: str, case: Mapping[str, Any]) -> None:
    given = loads(case["plan"])
    check_order(given)
    for outcome in outcomes(BY_NAME[name], case):
        if isinstance(outcome, Rewrite):
            check_order(outcome.plan)
            assert outcome.plan != given
            assert outcome.preserves in PRESERVES
            assert outcome.what
        else:
            assert outcome.stage
            assert outcome.reason.strip(" :") == outcome.reason


def test_every_rule_has_a_golden_file_and_every_file_a_rule() -> None:
    assert sorted(BY_NAME) == [path.stem for path in FILES]
    assert len(BY_NAME) == len(RULES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_accepts_and_refuses(path: Path) -> None:
    ends = [{"after", "declined", "nothing"} & set(case) for case in cases(path)]
    assert all(len(end) == 1 for end in ends)
    assert sum("after" in end for end in ends) >= 2
    assert sum("after" not in end for end in ends) >= 2
    titles = [case["title"] for case in cases(path)]
    assert len(set(titles)) == len(titles)
    assert all(("Do not" in case["title"]) == ("after" not in case) for case in cases(path)), titles


def test_half_of_all_cases_are_refusals() -> None:
    refusals = sum("after" not in case for _, case in ALL)
    assert refusals >= len(ALL) / 2


RECORDS = TFRecords(paths=("a",))
PLAIN = Facts(cores=2.0, functions={function(name): FunctionFacts("pure", cpu_s=1e-4) for name in "abc"})


def plan(*stages: Stage) -> Plan:
    return Plan(RECORDS, stages)


def mapped(name: str, calls: int | None = -1) -> Map:
    return Map(name=name, function=function(name), num_parallel_calls=calls)


# What TOML has no form for, and what rules share.


def test_stages_inside_the_reader_count_when_a_cache_is_placed() -> None:
    facts = dataclasses.replace(PLAIN, epochs=5, functions={function("a"): FunctionFacts("random")})
    inside = Interleave(inner=(mapped("a"),))
    (outcome,) = cache.RULE.find(plan(inside), facts)
    assert isinstance(outcome, Declined)
    assert "its function is random" in outcome.reason


def test_a_source_without_stages_inside_another_one_counts_when_a_cache_is_placed() -> None:
    drawn = Plan(Sample(plans=(plan(), plan())))
    (outcome,) = cache.RULE.find(Plan(Zip(plans=(plan(), drawn)), (mapped("a"),)), dataclasses.replace(PLAIN, epochs=5))
    assert outcome == Declined("zip", "nothing behind it can be kept: in1_sample: it draws at random")


def test_a_half_that_is_not_asked_for_as_a_whole_is_not_kept() -> None:
    facts = dataclasses.replace(PLAIN, epochs=5, whole=False)
    (outcome,) = cache.RULE.find(plan(mapped("a")), facts)
    assert isinstance(outcome, Declined)
    assert "no cache is ever full" in outcome.reason


def test_a_dataset_that_gives_the_same_in_every_epoch_can_be_kept() -> None:
    known, stages = FunctionFacts("pure", bytes_out=8.0), {"dataset": StageFacts(bytes_out=8.0, elements=100)}
    facts = dataclasses.replace(PLAIN, epochs=5, functions={function("a"): known}, stages=stages)
    (outcome,) = cache.RULE.find(Plan(OpaqueDataset(constant=True), (mapped("a"),)), facts)
    assert isinstance(outcome, Rewrite)
    assert [stage.kind for stage in outcome.plan.stages] == ["map", "cache"]
    (outcome,) = cache.RULE.find(Plan(OpaqueDataset(knobless=True), (mapped("a"),)), facts)
    assert isinstance(outcome, Declined)


def test_a_dataset_in_which_there_is_nothing_to_set_is_frozen() -> None:
    known, unknown = (Plan(OpaqueDataset(knobless=knobless), (mapped("a"),)) for knobless in (True, False))
    (outcome,) = freeze.RULE.find(known, PLAIN)
    assert isinstance(outcome, Rewrite)
    assert outcome.plan.stages[0] == mapped("a", 6)
    assert [type(found) for found in freeze.RULE.find(unknown, PLAIN)] == [Declined]


def test_ops_that_are_carried_along_are_frozen_if_there_is_nothing_to_set_in_them() -> None:
    class Op:
        """An op that was read from a dataset is an object that is named after it."""

        def __init__(self, name: str) -> None:
            self.__name__ = name

        def __call__(self, dataset: Any) -> Any:
            raise AssertionError("it is not run")

    def outcomes(name: str) -> list[type]:
        carried = OpaqueStage(name="carried", transformation=Function(call=Op(name)))
        merged = Plan(Merge(plans=(plan(), plan()), transformation=Function(call=Op(name))))
        return [type(found) for whole in (plan(carried), merged) for found in freeze.RULE.find(whole, PLAIN)]

    assert outcomes("sampling") == [Rewrite, Rewrite]
    assert outcomes("map") == [Declined, Declined]


def test_knobs_of_stages_inside_others_are_frozen() -> None:
    inside = Interleave(cycle_length=1, inner=(mapped("a"), FlatMap(map_func=function("b"), inner=(mapped("c"),))))
    (outcome,) = freeze.RULE.find(plan(inside), PLAIN)
    assert isinstance(outcome, Rewrite)
    reader = outcome.plan.stages[0]
    assert isinstance(reader, Interleave)
    assert isinstance(reader.inner[1], FlatMap)
    assert [reader.num_parallel_calls, reader.inner[0], reader.inner[1].inner[0]] == [1, mapped("a", 2), mapped("c", 2)]


def test_python_inside_the_reader_gets_no_threads() -> None:
    facts = dataclasses.replace(PLAIN, functions={function("a"): FunctionFacts("unknown", python=True)})
    inside = Interleave(cycle_length=2, num_parallel_calls=None, inner=(mapped("a"),))
    (outcome,) = reading.PARALLEL.find(plan(inside), facts)
    assert isinstance(outcome, Declined)
    assert "it runs Python" in outcome.reason


def test_a_function_inside_the_reader_may_depend_on_the_order() -> None:
    free = dataclasses.replace(PLAIN, order_free=True)
    # What a file gives is the same whatever was read before it: its first three, batches of its own.
    for inside in (Take(count=3), Filter(predicate=function("a")), Batch(batch_size=3, drop_remainder=True)):
        assert holds_order(plan(Interleave(inner=(inside,))), 0, free) == ""
    assert holds_order(plan(Interleave(inner=(Batch(batch_size=3), mapped("a")))), 0, free) == ""
    for inside in (mapped("unknown"), Filter(predicate=function("unknown")), OpaqueStage(transformation=function("a"))):
        assert holds_order(plan(Interleave(inner=(Take(count=3), inside))), 0, free).startswith("interleave may depend")
    counting = FlatMap(map_func=function("a"), inner=(FlatMap(map_func=function("b"), inner=(mapped("unknown"),)),))
    assert holds_order(plan(counting), 0, free) == "flat_map_2 may depend on the elements before"


@pytest.mark.parametrize(
    "stage",
    [
        Filter(name="it", predicate=function("a")),
        FlatMap(name="it", map_func=function("a")),
        Interleave(name="it", map_func=function("a")),
        mapped("it"),
        BucketBySequenceLength(
            name="it", element_length_func=function("a"), bucket_boundaries=(4,), bucket_batch_sizes=(8, 8)
        ),
    ],
    ids=lambda stage: stage.kind,
)
def test_a_function_behind_a_batch_sees_who_is_in_it(stage: Stage) -> None:
    free = dataclasses.replace(
        PLAIN, order_free=True, functions={**PLAIN.functions, function("it"): FunctionFacts("pure")}
    )
    assert holds_order(plan(stage), 0, free) == ""
    assert holds_order(plan(Batch(batch_size=2), stage), 0, free).startswith("it sees whole batches")
    if isinstance(stage, Map):
        again = dataclasses.replace(stage, forms=("batched",), batched=True)
        assert holds_order(plan(Batch(batch_size=2), again), 0, free) == ""


@pytest.mark.parametrize(
    ("stage", "fresh"),
    [
        (Shuffle(buffer_size=10), True),
        (Shuffle(buffer_size=10, seed=1), False),
        (Shuffle(buffer_size=10, reshuffle_each_iteration=False), False),
        (Shuffle(buffer_size=1), False),
        (Prefetch(), False),
    ],
)
def test_a_fresh_shuffle(stage: Stage, fresh: bool) -> None:
    assert is_fresh(stage) == fresh


def test_whether_order_is_free_inside_a_source() -> None:
    inner = (plan(), plan(mapped("a")))
    shuffle, free = Shuffle(buffer_size=10), dataclasses.replace(PLAIN, order_free=True)
    assert free_inside(Plan(Concatenate(plans=inner), (shuffle,)), PLAIN)
    assert free_inside(Plan(Sample(plans=inner)), free)
    assert not free_inside(Plan(Concatenate(plans=inner), (Take(count=3), shuffle)), PLAIN)
    # The elements of one half go with those of the other.
    assert not free_inside(Plan(Zip(plans=inner), (shuffle,)), free)
    assert [one.free for one in inner_facts(Plan(Zip(plans=inner)), free)] == [False, False]
    assert [one.free for one in inner_facts(Plan(Concatenate(plans=inner), (shuffle,)), PLAIN)] == [True, True]
    # Where the first that ends ends all, which elements the others give depends on their order.
    assert not free_inside(Plan(Sample(plans=inner, stop_on_empty_dataset=True)), free)
    assert not free_inside(Plan(Merge(plans=inner, transformation=function("a"))), free)


def test_what_the_user_says_of_the_order_is_kept_apart_from_what_follows_for_a_place() -> None:
    reading_batches = plan(Interleave(cycle_length=2), Batch(batch_size=2))
    (inside, _) = inner_facts(Plan(Concatenate(plans=(reading_batches, plan())), (Shuffle(buffer_size=10),)), PLAIN)
    assert (inside.free, inside.order_free) == (True, False)
    (outcome,) = batch_in_files.RULE.find(reading_batches, inside)
    assert isinstance(outcome, Declined)
    assert "nobody said that the order is free" in outcome.reason
    said = dataclasses.replace(inside, order_free=True)
    assert [type(one) for one in batch_in_files.RULE.find(reading_batches, said)] == [Rewrite]
    assert [type(one) for one in any_order.RULE.find(reading_batches, inside)] == [Rewrite]


def test_a_file_gives_one_element_unless_stages_inside_its_reader_make_others() -> None:
    reader, cutting = Interleave(), Interleave(inner=(FlatMap(map_func=function("a")),))
    assert gives_one_element(Plan(Images(paths=("a",)), (reader,)), reader)
    assert gives_one_element(Plan(Images(paths=("a",))), None)
    assert not gives_one_element(plan(reader), reader)
    images = Plan(Images(paths=("a",)), (cutting,))
    assert not gives_one_element(images, cutting)
    far = dataclasses.replace(PLAIN, stages={"images": StageFacts(files=8, elements=8, open_s=1.0)})
    for rule in (interleave_files.RULE, reading.SEQUENTIAL):
        assert [type(one) for one in rule.find(images, far)] == [Declined]
    assert {one.preserves for one in interleave_files.RULE.find(Plan(Images(paths=("a",)), (reader,)), far)} == {
        "exact"
    }


def test_options_around_a_plan_count_inside_it() -> None:
    loose = Plan(Zip(plans=(plan(), plan())), (Options(deterministic=False),))
    assert [one.ordered for one in inner_facts(loose, PLAIN)] == [False, False]
    assert [one.ordered for one in inner_facts(Plan(loose.source), PLAIN)] == [None, None]
    sequential = plan(Interleave(cycle_length=2, num_parallel_calls=None))
    (inside, _) = inner_facts(loose, PLAIN)
    (outcome,) = reading.PARALLEL.find(sequential, inside)
    assert isinstance(outcome, Rewrite)
    assert isinstance(outcome.plan.stages[0], Interleave)
    assert outcome.plan.stages[0].deterministic is True


def test_who_asks_for_order() -> None:
    asked, silent = dataclasses.replace(mapped("a"), deterministic=True), mapped("a")
    strict, loose = Options(deterministic=True), Options(deterministic=False)
    assert asks_for_order(asked, plan(asked), PLAIN)
    assert not asks_for_order(silent, plan(silent), PLAIN)
    assert asks_for_order(silent, plan(silent, strict), PLAIN)
    assert not asks_for_order(dataclasses.replace(silent, deterministic=False), plan(strict), PLAIN)
    # The last options that say something count.
    assert not asks_for_order(silent, plan(silent, strict, loose), PLAIN)
    assert asks_for_order(silent, plan(silent, loose, strict, Options()), PLAIN)


def test_options_of_a_pipeline_count_together_wherever_they_stand() -> None:
    strict, loose = Options(deterministic=True), Options(deterministic=False)
    parts = (plan(mapped("a"), loose), plan(mapped("b")))
    assert said_of_order(Plan(Zip(plans=parts)), PLAIN) is False
    assert not is_deterministic(Plan(Zip(plans=parts)), PLAIN)
    asked = Plan(Concatenate(plans=parts), (Shuffle(buffer_size=10), strict))
    (inside, _) = inner_facts(asked, PLAIN)
    assert asks_for_order(parts[0].stages[0], parts[0], inside)
    (outcome,) = any_order.RULE.find(parts[0], inside)
    assert isinstance(outcome, Declined)
    assert "the options of the pipeline ask for it" in outcome.reason


def test_draws_of_a_seeded_shuffle() -> None:
    seeded, repeat, last = Shuffle(buffer_size=9, seed=1), Repeat(count=2), mapped("a")
    apart, together = plan(seeded, last, repeat), plan(seeded, repeat, last)
    assert not keeps_draws(apart, together)
    assert not keeps_draws(together, apart)
    assert keeps_draws(together, plan(last, seeded, repeat))
    assert keeps_draws(together, plan(seeded, Options(), repeat, last))
    fresh = Shuffle(buffer_size=9)
    assert keeps_draws(plan(fresh, last, repeat), plan(fresh, repeat, last))
    nothing = Shuffle(buffer_size=1, seed=1)
    assert keeps_draws(plan(nothing, last, repeat), plan(nothing, repeat, last))


def test_who_swallows_errors() -> None:
    dropping = OpaqueStage(name="errors", transformation=function("ignore_errors"))
    assert swallows_errors(plan(mapped("a"), dropping), 1, PLAIN) == "errors"
    assert swallows_errors(plan(dropping, mapped("a")), 1, PLAIN) == ""
    assert swallows_errors(plan(OpaqueStage(name="ignore_errors_2")), 0, PLAIN) == "ignore_errors_2"
    # Any code of the user's may leave out what fails: what it does is not known.
    assert swallows_errors(plan(OpaqueStage(name="apart", transformation=function("apart"))), 0, PLAIN) == "apart"
    for code in (lambda dataset: dataset, take_while, functools.partial(take_while), type("window", (), {})):
        assert swallows_errors(plan(OpaqueStage(name="apart", transformation=Function.of(code))), 0, PLAIN) == "apart"


def take_while(dataset: Any) -> Any:
    """A function with the name of an op."""
    return dataset


class Op:
    """Stands for an op that was read from a dataset, as `ingest.opaque` makes them."""

    def __init__(self, kind: str) -> None:
        self.__name__ = kind

    def __call__(self, *datasets: Any) -> Any:
        return datasets[0]


def test_ops_that_were_read_from_a_dataset_are_known() -> None:
    def swallows(kind: str) -> str:
        return swallows_errors(plan(OpaqueStage(name="op", transformation=Function(None, (), Op(kind)))), 0, PLAIN)

    assert {swallows(kind) for kind in PASSING_ERRORS} == {""}
    assert swallows("ignore_errors") == swallows("something_new") == "op"


def test_the_forms_that_rules_know_are_those_that_there_are() -> None:
    assert set(forms.IN_PLACE) == set(built.IN_PLACE)
    assert tuple(names[:2] for names in split.PARTS) == built.PARTS
    assert set(freedom.OF_BATCHES) == set(built.OF_BATCHES)


def test_who_swallows_errors_around_a_plan() -> None:
    dropping = OpaqueStage(name="errors", transformation=function("ignore_errors"))
    (inside, _) = inner_facts(Plan(Concatenate(plans=(plan(), plan())), (dropping,)), PLAIN)
    assert swallows_errors(plan(mapped("a")), 0, inside) == "errors"
    merged = Plan(Merge(plans=(plan(), plan()), transformation=function("choose")))
    assert [one.swallows for one in inner_facts(merged, PLAIN)] == ["merge", "merge"]
    known = Plan(Merge(plans=(plan(), plan()), transformation=Function(None, (), Op("sample"))))
    assert [one.swallows for one in inner_facts(known, PLAIN)] == ["", ""]


def test_every_rule_says_why() -> None:
    assert all(one.why and not one.why.endswith(".") for one in RULES)
    assert [one.whole for one in RULES] == sorted(one.whole for one in RULES)
