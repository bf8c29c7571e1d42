"""Every rule against its golden file: plans that it makes of others, and plans that it leaves alone.

A case of `golden/rules/RULE.toml` has a `title`, a `plan` as TOML text, and `facts`: what `Facts` takes, functions by their
labels and stages by their names, times in microseconds. It ends in one of three ways: `after`, the text of a plan that is among
those that the rule makes, with what that `preserves`; `declined`, a part of the reason for which the rule declines, and then it
makes nothing; or `nothing = true`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts, FormFacts, FunctionFacts, StageFacts
from pipeline_opt.optimizer.freedom import asks_for_order, free_inside, holds_order, inner_facts, is_fresh
from pipeline_opt.optimizer.rewrite import PRESERVES, Declined, Rewrite, Rule, keeps_draws, swallows_errors
from pipeline_opt.optimizer.rules import RULES, cache, freeze, reading
from pipeline_opt.order import check_order
from pipeline_opt.plan import Concatenate, Plan, Sample, Zip
from pipeline_opt.sources import TFRecords
from pipeline_opt.stages import (
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


def test_a_stage_inside_the_reader_may_depend_on_the_order() -> None:
    free = dataclasses.replace(PLAIN, order_free=True)
    assert (
        holds_order(plan(Interleave(inner=(Take(count=3),))), 0, free) == "interleave chooses elements by their place"
    )
    assert holds_order(plan(Interleave(inner=(Filter(predicate=function("a")),))), 0, free) == ""


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
    assert [one.order_free for one in inner_facts(Plan(Zip(plans=inner)), free)] == [False, False]


def test_options_around_a_plan_count_inside_it() -> None:
    loose = Plan(Zip(plans=(plan(), plan())), (Options(deterministic=False),))
    assert [one.ordered for one in inner_facts(loose, PLAIN)] == [False, False]
    sequential = plan(Interleave(cycle_length=2, num_parallel_calls=None))
    (inside, _) = inner_facts(loose, PLAIN)
    (outcome,) = reading.PARALLEL.find(sequential, inside)
    assert isinstance(outcome, Rewrite)
    assert isinstance(outcome.plan.stages[0], Interleave)
    assert outcome.plan.stages[0].deterministic is True


def test_who_asks_for_order() -> None:
    asked, silent = dataclasses.replace(mapped("a"), deterministic=True), mapped("a")
    assert asks_for_order(asked, plan(asked))
    assert not asks_for_order(silent, plan(silent))
    assert asks_for_order(silent, plan(silent, Options(deterministic=True)))
    assert not asks_for_order(dataclasses.replace(silent, deterministic=False), plan(Options(deterministic=True)))


def test_draws_of_a_seeded_shuffle() -> None:
    seeded, repeat, last = Shuffle(buffer_size=9, seed=1), Repeat(count=2), mapped("a")
    apart, together = plan(seeded, last, repeat), plan(seeded, repeat, last)
    assert not keeps_draws(apart, together)
    assert not keeps_draws(together, apart)
    assert keeps_draws(together, plan(last, seeded, repeat))
    assert keeps_draws(together, plan(seeded, Options(), repeat, last))
    fresh = Shuffle(buffer_size=9)
    assert keeps_draws(plan(fresh, last, repeat), plan(fresh, repeat, last))


def test_who_swallows_errors() -> None:
    dropping = OpaqueStage(name="errors", transformation=function("ignore_errors"))
    assert swallows_errors(plan(mapped("a"), dropping), 1, PLAIN) == "errors"
    assert swallows_errors(plan(dropping, mapped("a")), 1, PLAIN) == ""
    assert swallows_errors(plan(OpaqueStage(name="ignore_errors_2")), 0, PLAIN) == "ignore_errors_2"
    assert swallows_errors(plan(OpaqueStage(transformation=function("apart"))), 0, PLAIN) == ""


def test_who_swallows_errors_around_a_plan() -> None:
    dropping = OpaqueStage(name="errors", transformation=function("ignore_errors"))
    (inside, _) = inner_facts(Plan(Concatenate(plans=(plan(), plan())), (dropping,)), PLAIN)
    assert swallows_errors(plan(mapped("a")), 0, inside) == "errors"


def test_every_rule_says_why() -> None:
    assert all(one.why and not one.why.endswith(".") for one in RULES)
    assert [one.whole for one in RULES] == sorted(one.whole for one in RULES)
