from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fakes import intervals, long_run, naive, no_steps, one_step, partial, pipelined, record, windowed, without_consumer
from hypothesis import given
from hypothesis import strategies as st

from pipeline_opt.record import KnobSeries, Record, StageRecord, Window
from pipeline_opt.reports.perfetto import MOST_SAMPLES, trace_events

RUNS = (naive, pipelined, partial, one_step, no_steps, long_run, windowed, without_consumer)


def rows(trace: dict[str, Any]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """The complete events of each row, in the order of the file."""
    found = defaultdict(list)
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            found[event["pid"], event["tid"]].append(event)
    return found


def names(trace: dict[str, Any], kind: str) -> dict[tuple[int, int], str]:
    return {
        (event["pid"], event["tid"] if kind == "thread_name" else 0): event["args"]["name"]
        for event in trace["traceEvents"]
        if event["name"] == kind
    }


def check(trace: dict[str, Any]) -> None:
    """What the format asks for: valid JSON, sorted, not negative, no two events of a row at a time."""
    assert json.loads(json.dumps(trace, allow_nan=False)) == trace
    timed = [event["ts"] for event in trace["traceEvents"] if event["ph"] != "M"]
    assert timed == sorted(timed)
    assert min(timed, default=0) >= 0
    for row, events in rows(trace).items():
        assert row in names(trace, "thread_name")
        assert (row[0], 0) in names(trace, "process_name")
        for event in events:
            assert event["dur"] >= 0
        for earlier, later in pairwise(events):
            assert earlier["ts"] + earlier["dur"] <= later["ts"] + 1e-6, row


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_every_kind_of_run_is_a_valid_trace(run: Callable[[], Record]) -> None:
    check(trace_events(run()))


def test_phases_are_processes_and_concurrent_threads_their_rows() -> None:
    trace = trace_events(pipelined())
    processes = names(trace, "process_name")
    by_name = {name: pid for (pid, _), name in processes.items()}

    assert set(by_name) == {"trace", "extract", "transform", "load", "train", "consumer", "knobs"}
    threads = names(trace, "thread_name")
    assert {threads[row] for row in threads if row[0] == by_name["transform"]} == {"transform 1", "transform 2"}
    assert {threads[row] for row in threads if row[0] == by_name["extract"]} == {"extract 1"}
    assert {event["name"] for event in rows(trace)[by_name["transform"], 1]} == {"decode"}


def test_times_are_microseconds_and_steps_are_numbered() -> None:
    trace = trace_events(naive())
    train = next(event for event in trace["traceEvents"] if event["name"] == "train 1")
    assert (train["ts"], train["dur"], train["args"]) == (56_000.0, 30_000.0, {"step": 1})


def test_without_a_consumer_there_is_no_load_and_no_train() -> None:
    processes = set(names(trace_events(without_consumer()), "process_name").values())
    assert not {"load", "train"} & processes


def test_windows_and_counters_are_there() -> None:
    trace = trace_events(windowed())
    assert [e["name"] for e in trace["traceEvents"] if e["name"].startswith("trace window")] == [
        f"trace window {n}" for n in range(1, 5)
    ]
    counted = [e for e in trace["traceEvents"] if e["ph"] == "C" and e["name"] == "decode parallelism"]
    assert [e["args"] for e in counted] == [{"parallelism": 1.0}, {"parallelism": 2.0}]
    assert trace["otherData"]["traced_share"] == 0.1


def test_a_large_run_is_joined_to_a_bounded_number_of_events() -> None:
    whole, small = trace_events(long_run()), trace_events(long_run(), most_events=600)
    check(small)
    assert len(small["traceEvents"]) < 1400 < len(whole["traceEvents"])
    assert whole["otherData"]["joined_gaps_up_to_us"] == 0
    assert small["otherData"]["joined_gaps_up_to_us"] > 0


def test_counters_are_thinned_out() -> None:
    many = KnobSeries("s", "k", np.arange(10_000.0), np.arange(10_000.0))
    counted = [e for e in trace_events(record(knobs=(many,)))["traceEvents"] if e["ph"] == "C"]
    assert len(counted) == MOST_SAMPLES


def test_work_of_no_stage_carries_the_phase() -> None:
    run = record(windows=(Window(0, 1),), wall_s=1.0, intervals=intervals([(0.0, 0.5, 0, -1, 0)]))
    assert [e["name"] for (pid, _), found in rows(trace_events(run)).items() for e in found if pid == 2] == ["extract"]


@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.floats(1e-9, 2), st.integers(0, 1), st.integers(-1, 1), st.integers(0, 3)),
        max_size=40,
    ),
    st.integers(1, 50),
)
def test_any_intervals_fit_into_rows(found: list[tuple[float, float, int, int, int]], most: int) -> None:
    free = defaultdict(float)
    kept = []
    for start, length, phase, stage, thread in sorted(found):
        if start >= free[thread]:
            kept.append((start, start + length, phase, stage, thread))
            free[thread] = start + length
    stages = (StageRecord("a", "map", "transform"), StageRecord("b", "map", "transform"))
    trace = trace_events(record(stages=stages, wall_s=20.0, intervals=intervals(kept)), most_events=most)
    check(trace)
    if len(kept) <= most:
        assert sum(len(events) for events in rows(trace).values()) == len(kept)
