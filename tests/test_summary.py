"""The dictionary that `--json` writes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import naive, no_steps, one_step, partial, pipelined, record, untraced, windowed, without_consumer

from pipeline_opt.record import Record, StageRecord
from pipeline_opt.summary import benchmark_summary, summary

DOCUMENTED: dict[str, Any] = {
    "pipeline": {"text", "fingerprint"},
    "source": {"uri", "scheme", "files", "bytes"},
    "environment": {"tensorflow", "python", "cores", "ram_bytes"},
    "partial": None,
    "steps": None,
    "elements": None,
    "wall_s": None,
    "first_batch_s": None,
    "throughput": {"elements_per_s", "bytes_per_s"},
    "phases": {"extract", "transform", "load", "train"},
    "accelerator": {"utilization_percent", "idle_s"},
    "overlap": {"sequential_s", "pipelined_bound_s", "efficiency"},
    "stalls": None,
    "stages": None,
}
"""Schema 1, which may gain keys and lose none."""

ADDED = {
    "schema",
    "bytes",
    "teardown_s",
    "partial_reason",
    "consumer",
    "traced_share",
    "created",
    "version",
    "notes",
    "storage",
    "advice",
}

RECORDS = [naive, pipelined, one_step, no_steps, partial, untraced, windowed, without_consumer, record]


def test_the_documented_keys_are_there() -> None:
    found = summary(naive())
    assert found["schema"] == 1
    for key, inner in DOCUMENTED.items():
        assert inner is None or set(found[key]) == inner, key
    assert set(found) == set(DOCUMENTED) | ADDED
    assert all(set(phase) == {"work_s", "busy_s", "idle_s"} for phase in found["phases"].values())
    keys = ["name", "kind", "phase", "elements", "work_s", "us_per_element", "parallelism"]
    assert [list(stage) for stage in found["stages"]] == [keys] * 3


def test_its_numbers_are_those_of_the_run() -> None:
    # 8 steps of 4 x (3 + 9) + 8 + 30 = 86 ms
    found = summary(naive())
    assert (found["steps"], found["elements"], found["partial"]) == (8, 32, False)
    assert found["wall_s"] == pytest.approx(8 * 0.086)
    assert found["throughput"]["elements_per_s"] == pytest.approx(4 / 0.086)
    assert found["phases"]["train"] == pytest.approx({"work_s": 0.24, "busy_s": 0.24, "idle_s": 0.448})
    assert found["accelerator"]["utilization_percent"] == pytest.approx(100 * 30 / 86)
    assert found["accelerator"]["idle_s"] == pytest.approx(sum(found["stalls"].values()))
    assert found["overlap"]["sequential_s"] == pytest.approx(found["wall_s"])
    assert [stage["name"] for stage in found["stages"]] == ["interleave", "decode", "batch"]


@pytest.mark.parametrize("make", RECORDS)
def test_json_can_hold_it(make: Any) -> None:
    found = summary(make())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_without_a_consumer_there_is_no_accelerator_and_no_load_or_train() -> None:
    found = summary(without_consumer())
    assert found["accelerator"] is None
    for phase in ("load", "train"):
        assert found["phases"][phase]["work_s"] == found["phases"][phase]["busy_s"] == 0


def test_what_is_unknown_is_null() -> None:
    found = summary(untraced())
    assert found["phases"]["extract"] == {"work_s": None, "busy_s": None, "idle_s": None}
    assert found["overlap"] == {"sequential_s": None, "pipelined_bound_s": None, "efficiency": None}
    assert "extract" not in found["stalls"]
    assert found["stalls"]["unattributed"] > 0
    assert any("No trace window" in note for note in found["notes"])


def test_a_partial_run_says_why() -> None:
    found = summary(partial())
    assert (found["partial"], found["partial_reason"]) == (True, "interrupted by the user")


def test_numbers_that_json_cannot_hold_are_null() -> None:
    stage = StageRecord("map", "map", "transform", us_per_element=math.inf, work_s=math.nan)
    it = replace(naive(), stages=(stage,), teardown_s=float(np.float64("nan")))
    found = summary(it)
    assert (found["stages"][0]["us_per_element"], found["stages"][0]["work_s"], found["teardown_s"]) == (None,) * 3


def test_parallelism_is_what_ran_where_that_is_known() -> None:
    tuned = StageRecord("a", "map", "transform", parallelism="auto", parallelism_chosen=3)
    plain = StageRecord("b", "map", "transform", parallelism="auto")
    found = summary(replace(naive(), stages=(tuned, plain)))
    assert [stage["parallelism"] for stage in found["stages"]] == [3, "auto"]


def test_a_benchmark_compares_with_naive() -> None:
    found = benchmark_summary({"naive": naive(), "pipelined": pipelined()})
    assert list(found) == ["schema", "variants", "speedup"]
    assert list(found["variants"]) == ["naive", "pipelined"]
    assert set(found["variants"]["naive"]) == set(DOCUMENTED) | ADDED - {"schema"}
    assert found["speedup"]["naive"] == 1
    # 86 ms a step against 38: decoding keeps up, only the load is waited for.
    assert found["speedup"]["pipelined"] == pytest.approx(86 / 38)
    json.dumps(found, allow_nan=False)


def test_runs_too_short_for_a_steady_state_are_compared_as_a_whole() -> None:
    found = benchmark_summary({"naive": naive(), "short": one_step()})
    assert found["speedup"]["short"] == pytest.approx((4 / 0.086) / (32 / (8 * 0.086)))


@pytest.mark.parametrize(
    "variants",
    [{"autotune": naive()}, {"naive": no_steps(), "autotune": naive()}, {"naive": naive(), "autotune": no_steps()}],
)
def test_a_speedup_that_cannot_be_known_is_null(variants: dict[str, Record]) -> None:
    assert benchmark_summary(variants)["speedup"]["autotune"] is None
