"""Plans as text for people: golden texts, tables, differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline_opt.functions import Function
from pipeline_opt.order import harms
from pipeline_opt.plan import Plan, Sample, Zip
from pipeline_opt.sources import Images, OpaqueDataset, Tensors, TextLines, TFRecords
from pipeline_opt.stages import (
    AUTO,
    Batch,
    Cache,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    PaddedBatch,
    Prefetch,
    Repeat,
    Shuffle,
    Stage,
)
from pipeline_opt.text import explain, fingerprint, plan_diff, plan_text

GOLDEN = Path(__file__).parent / "golden"
PARSE = Function.of("records:parse")


def files(*stages: Stage) -> Plan:
    return Plan(TFRecords(paths=("data/*.tfrecord",)), stages)


def usual() -> Plan:
    return files(
        Interleave(cycle_length=8),
        Map(function=PARSE),
        Map(function=Function.of("records:resize", size=224, mode="area"), name="resize", num_parallel_calls=None),
        Map(function=Function.of(lambda image: image), random=True),
        Cache(),
        Shuffle(buffer_size=1000, seed=7),
        Batch(batch_size=32, drop_remainder=True),
        Prefetch(),
    )


def nested() -> Plan:
    text = Plan(TextLines(paths=("a.txt", "b.txt"), compression="GZIP"), (Repeat(),))
    pairs = Plan(Zip(plans=(Plan(Images(paths=("cats",))), files(Cache(filename="/x")))), (Shuffle(buffer_size=2),))
    mixed = Sample(plans=(text, pairs), weights=(0.25, 0.75), seed=3)
    return Plan(mixed, (PaddedBatch(batch_size=4, padded_shapes=([None], [])), Options(deterministic=False)))


def memory() -> Plan:
    value = {"image": np.zeros((10, 28, 28), np.uint8), "label": (list(range(10)), np.arange(10))}
    return Plan(Tensors(value=value), (Interleave(map_func=PARSE, num_parallel_calls=4),))


def opaque() -> Plan:
    return Plan(OpaqueDataset(factory=Function.of("/data/user.py:make")), (OpaqueStage(detail=object()),))


CASES = {"usual": usual, "nested": nested, "memory": memory, "opaque": opaque}


@pytest.mark.parametrize("title", CASES)
def test_the_text_of_a_plan_is_the_golden_one(title: str) -> None:
    assert plan_text(CASES[title]()) == (GOLDEN / f"plan_{title}.txt").read_text().rstrip("\n")


def test_every_address_is_kept_out() -> None:
    class Anything:
        def __call__(self, element: object) -> object:
            return element

    plan = Plan(OpaqueDataset(dataset=object()), (Map(function=Function.of(Anything(), other=object())),))
    assert "0x" not in plan_text(plan)
    assert "map function=Anything(other=<object>)" in plan_text(plan)


def test_long_lists_are_cut_short() -> None:
    text = plan_text(Plan(TextLines(paths=tuple(f"part-{n}" for n in range(100)))))
    assert text == "text paths=['part-0', 'part-1', 'part-2', ... 100 in all]"


def test_explain_aligns_stages_and_lists_the_harm() -> None:
    plan = files(Interleave(), Shuffle(buffer_size=9), Map(function=PARSE), Cache(), Batch(batch_size=2))
    text = explain(plan, {"map": "pure"}, harms(plan))
    assert text == (GOLDEN / "explain.txt").read_text().rstrip("\n")


def test_explain_shows_what_the_plan_declares_where_nothing_was_found() -> None:
    plan = Plan(
        Zip(plans=(files(Map(function=PARSE, random=False)), files())),
        (Map(function=PARSE, random=True), Map(function=PARSE), Batch(batch_size=2)),
    )
    rows = {line.split()[0]: line.split()[-1] for line in explain(plan).splitlines()}
    assert rows["in0_map"] == "pure"
    assert (rows["map"], rows["map_2"]) == ("random", "unknown")
    assert explain(plan, {"in0_map": "random"}).splitlines()[3].endswith("random")
    assert "warning" not in explain(plan)


def test_a_difference_shows_what_went_and_what_came() -> None:
    before = files(Interleave(), Map(function=PARSE, num_parallel_calls=None), Cache())
    after = files(Interleave(), Map(function=PARSE), Cache(), Prefetch())
    assert plan_diff(before, after).splitlines() == [
        "  tfrecords paths=['data/*.tfrecord']",
        "  interleave cycle_length=AUTO num_parallel_calls=AUTO",
        "- map function=records:parse num_parallel_calls=sequential",
        "+ map function=records:parse num_parallel_calls=AUTO",
        "  cache",
        "+ prefetch buffer_size=AUTO",
    ]


def test_functions_that_read_alike_and_differ_are_a_difference() -> None:
    before, after = (Plan(TextLines(paths=("a",)), (Map(function=Function.of(f)),)) for f in (lambda x: x, lambda x: x))
    assert [line[0] for line in plan_diff(before, after).splitlines()] == [" ", "-", "+"]


def test_equal_plans_have_no_difference() -> None:
    assert all(line.startswith("  ") for line in plan_diff(nested(), nested()).splitlines())


def test_auto_is_shown_as_such_and_minus_one_is_not_a_number() -> None:
    assert "cycle_length=AUTO" in plan_text(files(Interleave(cycle_length=AUTO)))
    assert "num_parallel_calls=AUTO" in plan_text(files(Batch(batch_size=2, num_parallel_calls=AUTO)))
    assert fingerprint(files(Interleave(cycle_length=AUTO))) == fingerprint(files(Interleave()))
