"""Which counts and reasons a stage gets, on hand-made observations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline_opt.profiler.assemble import Observed, count_elements, share_on_core, stage_records
from pipeline_opt.profiler.attribution import StageCost
from pipeline_opt.profiler.sampler import Totals
from pipeline_opt.profiler.stagemap import StageInfo, StageMap
from pipeline_opt.record import KnobSeries

STAGES = [
    StageInfo("tfrecords", "tfrecords", "tfrecords"),
    StageInfo("interleave", "interleave", "interleave", "auto"),
    StageInfo("decode", "map", "decode", 2),
    StageInfo("keep", "filter", "keep"),
    StageInfo("shuffle", "shuffle", "shuffle"),
    StageInfo("batch", "batch", "batch"),
    StageInfo("prefetch", "prefetch", "prefetch"),
]


def chain(*kinds: str) -> StageMap:
    """Stages one after another, named after their kinds and places."""
    return StageMap([StageInfo(f"{kind}_{i}", kind, f"{kind}_{i}") for i, kind in enumerate(kinds)])


def observed(**changes: Any) -> Observed:
    """Three batches of 4, 4 and 2, read to the end, with nothing from the instruments."""
    plain = Observed([StageCost() for _ in STAGES], {}, (), 3, 10, False, True, 1, False, 1.0, 0.8, "", "")
    return plain._replace(**changes)


def test_a_drained_run_counts_from_the_consumer_up_to_the_filter() -> None:
    assert count_elements(StageMap(STAGES), observed()) == [None, None, None, 10, 10, 3, 3]


def test_a_run_cut_short_counts_what_the_model_saw() -> None:
    totals = {2: Totals(40), 4: Totals(12), 5: Totals(2)}
    assert count_elements(StageMap(STAGES), observed(drained=False, totals=totals)) == [None, 40, 40, 12, 12, 3, 3]


def test_below_a_cache_later_epochs_are_not_counted() -> None:
    stages = [StageInfo("map", "map", "map"), StageInfo("cache", "cache", "cache")]
    seen = observed(costs=[StageCost(), StageCost()])
    assert count_elements(StageMap(stages), seen) == [3, 3]
    assert count_elements(StageMap(stages), seen._replace(epochs=2)) == [None, 3]


def test_repetitions_count_together() -> None:
    stages = chain("tensors", "map", "repeat", "batch")
    assert count_elements(stages, observed(costs=[StageCost() for _ in range(4)])) == [10, 10, 10, 3]


def test_below_a_cache_repetitions_are_not_counted() -> None:
    stages = chain("tensors", "cache", "repeat", "batch")
    assert count_elements(stages, observed(costs=[StageCost() for _ in range(4)])) == [None, 10, 10, 3]


def test_the_model_does_not_count_for_what_was_read_to_the_end() -> None:
    totals = {0: Totals(37), 1: Totals(35)}
    stages = chain("tensors", "map", "filter", "batch")
    seen = observed(costs=[StageCost() for _ in range(4)], totals=totals)
    assert count_elements(stages, seen) == [None, None, 10, 3], "it forgets what has ended"
    assert count_elements(stages, seen._replace(drained=False)) == [37, 35, 10, 3]
    assert count_elements(stages, seen._replace(drained=False, epochs=2)) == [None, None, 10, 3]


def test_a_trace_of_the_whole_run_counts_runs() -> None:
    costs = [StageCost(), StageCost(runs=40), StageCost(runs=40), StageCost()]
    stages = chain("tensors", "map", "filter", "batch")
    assert count_elements(stages, observed(costs=costs, whole=True)) == [40, 40, 10, 3]
    assert count_elements(stages, observed(costs=costs)) == [None, None, 10, 3]


def test_only_the_last_batch_is_known_by_its_rows() -> None:
    stages = chain("tensors", "batch", "batch")
    seen = observed(costs=[StageCost() for _ in range(3)], steps=5, rows=5)
    assert count_elements(stages, seen) == [None, 5, 5]


def test_what_a_batch_dropped_is_not_counted() -> None:
    stages = chain("tensors", "batch")
    seen = observed(costs=[StageCost(), StageCost()], steps=1, rows=10, even=True)
    assert count_elements(stages, seen) == [None, 1]
    assert count_elements(stages, seen._replace(drained=False)) == [10, 1]


@pytest.mark.parametrize(("kind", "inner"), [("zip", 3), ("concatenate", None), ("sample", None)])
def test_where_pipelines_meet_the_count_of_all_is_not_that_of_one(kind: str, inner: int | None) -> None:
    infos = [
        StageInfo("source", kind, "source", inputs=(2, 3)),
        StageInfo("in0_tensors", "tensors", "in0_tensors", inputs=()),
        StageInfo("in0_map", "map", "in0_map", inputs=(1,)),
        StageInfo("in1_tensors", "tensors", "in1_tensors", inputs=()),
        StageInfo("prefetch", "prefetch", "prefetch", inputs=(0,)),
    ]
    seen = observed(costs=[StageCost() for _ in infos])
    assert count_elements(StageMap(infos), seen) == [3, inner, inner, inner, 3]


def test_bytes_are_those_of_all_elements() -> None:
    seen = observed(totals={4: Totals(8, 800, 1600)})
    record = stage_records(StageMap(STAGES), seen)[4]
    assert (record.elements, record.bytes_in, record.bytes_out) == (10, 1000, 2000)


def test_work_of_a_stage_that_gives_more_than_it_takes_is_scaled_by_time() -> None:
    stages = chain("tensors", "flat_map", "prefetch")
    cost = StageCost(elements=10, runs=10)
    cost.work_s["transform"] = 0.5
    seen = observed(costs=[StageCost(), cost, StageCost()], steps=1000, scale=2.0)
    assert stage_records(stages, seen)[1].work_s == pytest.approx(1.0), "not a hundred times as much"
    whole = seen._replace(whole=True)
    assert stage_records(stages, whole)[1].work_s == pytest.approx(0.5)


def test_no_step_at_all() -> None:
    assert count_elements(StageMap(STAGES), observed(steps=0, rows=0))[-3:] == [0, 0, 0]


def test_cost_is_for_what_passed_in_the_windows_and_work_for_the_run() -> None:
    costs = [StageCost() for _ in STAGES]
    costs[2].work_s["transform"] = 0.5
    costs[2].overhead_s = 0.1
    costs[2].ahead_s = 0.2
    costs[2].elements = 250
    costs[2].ops = {"DecodeJpeg": [0.4, 250.0], "Resize": [0.05, 250.0]}
    record = stage_records(StageMap(STAGES), observed(costs=costs, scale=4.0))[2]
    assert record.us_per_element == pytest.approx(2000.0)
    assert record.work_s == pytest.approx(2.0)
    assert record.cpu_s == pytest.approx(1.6), "0.8 of its runnable time on a core"
    assert record.overhead_s == pytest.approx(0.4)
    assert record.ahead_s == pytest.approx(0.8)
    assert [(op.op, op.count) for op in record.ops] == [("DecodeJpeg", 1000), ("Resize", 1000)]


def test_extract_is_not_split_into_waiting_and_computing() -> None:
    costs = [StageCost() for _ in STAGES]
    costs[1].work_s["extract"] = 0.5
    costs[1].elements = 10
    record = stage_records(StageMap(STAGES), observed(costs=costs))[1]
    assert record.cpu_s is None
    assert "waiting for storage" in record.absent["cpu_s"]


def test_every_absent_number_has_a_reason() -> None:
    seen = observed(drained=False, no_trace="the run was made with trace=off", no_model="AUTOTUNE is off")
    for record in stage_records(StageMap(STAGES), seen):
        for field in ("bytes_in", "bytes_out", "work_s", "cpu_s", "us_per_element", "overhead_s"):
            assert (getattr(record, field) is None) == (field in record.absent), (record.name, field)
        assert record.absent["work_s"] == "the run was made with trace=off"
        assert record.absent["bytes_in"] == "AUTOTUNE is off"


def test_chosen_parallelism_and_buffer_fill_come_from_the_model() -> None:
    times = np.array([0.0, 1.0])
    series = (
        KnobSeries("decode", "parallelism", times, np.array([1.0, 2.0]), True),
        KnobSeries("shuffle", "buffered_elements", times, np.array([50.0, 100.0])),
    )
    records = stage_records(StageMap(STAGES), observed(series=series))
    assert records[2].parallelism == 2
    assert records[2].parallelism_chosen == 2
    assert records[4].buffer_fill == pytest.approx(75.0)


def test_share_on_core_is_what_the_process_used_of_the_work() -> None:
    busy, reading = StageCost(), StageCost()
    busy.work_s["transform"], busy.overhead_s = 1.8, 0.2
    assert share_on_core([busy], 1.5) == pytest.approx(0.75)
    assert share_on_core([busy], 2.6) == 1.0, "the rest was Python's"
    assert share_on_core([busy], None) is None
    assert share_on_core([StageCost()], 1.0) is None
    reading.work_s["extract"] = 1.0
    assert share_on_core([busy, reading], 1.5) is None, "waiting for storage is off a core, too"
