"""From trace events to work, on hand-made events: who waits, who works, for which stage."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline_opt.profiler.attribution import attribute
from pipeline_opt.profiler.frames import read_frames
from pipeline_opt.profiler.stagemap import StageInfo, StageMap, is_inner, parent
from pipeline_opt.profiler.trace import Event, ThreadEvents, WindowEvents, is_op
from pipeline_opt.storage.bridge import AheadSpan

ROOT = "Iterator::Root"
STAGES = [
    StageInfo("tfrecords", "tfrecords", "files"),
    StageInfo("interleave", "interleave", "interleave"),
    StageInfo("decode", "map", "decode", 2),
    StageInfo("shuffle", "shuffle", "shuffle"),
    StageInfo("batch", "batch", "batch"),
]


class Trace:
    """Builds a window: `span(thread, start, end, name)` in milliseconds, with a label for iterators and a step id for runs."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.labels: dict[int, str] = {}
        self.events: dict[int, list[Event]] = {}

    def span(self, thread: int, start: float, end: float, name: str, *, label: str = "", step: int = 0) -> Trace:
        if name not in self.names:
            self.names.append(name)
        key = self.names.index(name)
        if label:
            self.labels[key] = label
        self.events.setdefault(thread, []).append(Event(start / 1e3, end / 1e3, key, step))
        return self

    def window(self) -> WindowEvents:
        threads = [
            ThreadEvents(thread, sorted(events, key=lambda e: (e.start_s, -e.end_s)))
            for thread, events in self.events.items()
        ]
        return WindowEvents(self.names, self.labels, {}, threads, 0.0, 1.0)


def sequential() -> Trace:
    """One thread pulls a batch through a sequential map; the function runs on a thread of its own."""
    batch, decode = f"{ROOT}::BatchV2", f"{ROOT}::BatchV2::Map"
    reader = f"{decode}::Interleave[0]::TFRecord"
    return (
        Trace()
        .span(0, 0, 100, ROOT)
        .span(0, 0, 100, batch, label="batch")
        .span(0, 10, 90, decode, label="decode")
        .span(0, 20, 40, f"{decode}::Interleave", label="interleave")
        .span(0, 25, 35, reader)
        .span(0, 45, 85, "InstantiatedCapturedFunction::Run", step=7)
        .span(1, 46, 84, "ExecutorState::Process", step=7)
        .span(1, 50, 80, "decode/DecodeJpeg:DecodeJpeg")
    )


def parallel() -> Trace:
    """A parallel map: one thread feeds it, another runs the function, the consumer only waits."""
    path = f"{ROOT}::Prefetch::ParallelMapV2"
    return (
        Trace()
        .span(0, 0, 100, f"{ROOT}::Prefetch")
        .span(1, 0, 95, path, label="decode")
        .span(2, 5, 45, "ParallelMapProduce")
        .span(2, 10, 30, f"{path}::Shuffle", label="shuffle")
        .span(2, 32, 40, "InstantiatedCapturedFunction::RunAsync", step=9)
        .span(3, 41, 91, "ExecutorState::Process", step=9)
        .span(3, 42, 60, "decode/ReadFile:ReadFile")
        .span(3, 61, 90, "decode/DecodeJpeg:DecodeJpeg")
    )


def test_sequential_work_is_charged_where_it_was_done() -> None:
    found = attribute([sequential().window()], StageMap(STAGES))
    interleave, decode, batch = found.costs[1], found.costs[2], found.costs[4]
    assert dict(interleave.work_s) == pytest.approx({"extract": 0.010})
    assert interleave.overhead_s == pytest.approx(0.010), "its own 20..25 and 35..40"
    assert dict(decode.work_s) == pytest.approx({"transform": 0.030}), "the op, not the wait for the run"
    assert decode.overhead_s == pytest.approx(0.020 + 0.008), "10..20, 40..45, 85..90; and 46..50, 80..84 of the run"
    assert dict(batch.work_s) == pytest.approx({"transform": 0.020})
    assert decode.elements == 1
    assert decode.ops == {"DecodeJpeg": pytest.approx([0.030, 1])}


def test_waiting_for_other_threads_is_no_work() -> None:
    found = attribute([parallel().window()], StageMap(STAGES))
    decode, shuffle = found.costs[2], found.costs[3]
    assert dict(decode.work_s) == pytest.approx({"extract": 0.018, "transform": 0.030}), "between ops, too"
    assert decode.overhead_s == pytest.approx(0.008 + 0.012 + 0.002), (
        "the dispatch; 5..10, 30..32, 40..45; 41..42, 90..91"
    )
    assert dict(shuffle.work_s) == pytest.approx({"transform": 0.020})
    assert found.intervals.end.max() == pytest.approx(0.090), "overhead is in no phase"


def test_what_is_fetched_ahead_is_extract_of_its_reader_within_the_window() -> None:
    # GIVEN a window of a second in which two files are fetched ahead, one of them from before it and to after it
    window = sequential().window()
    at = [AheadSpan("interleave", 7, -0.010, 0.030), AheadSpan("interleave", 7, 0.980, 1.020)]
    at += [AheadSpan("interleave", 8, 0.020, 0.050), AheadSpan("another pipeline's", 9, 0.0, 0.100)]
    found = attribute([window], StageMap(STAGES), at)
    # THEN its 30 + 30 + 20 ms are its stage's, beside the 10 ms that a thread read
    interleave = found.costs[1]
    assert dict(interleave.work_s) == pytest.approx({"extract": 0.090})
    assert interleave.ahead_s == pytest.approx(0.080)
    assert sum(cost.ahead_s for cost in found.costs) == interleave.ahead_s
    # AND each file is a thread that no other work shares
    rows = found.intervals
    traced = set(attribute([window], StageMap(STAGES)).intervals.thread.tolist())
    ahead = ~np.isin(rows.thread, sorted(traced))
    assert rows.start[ahead] == pytest.approx([0.0, 0.020, 0.980])
    assert rows.end[ahead] == pytest.approx([0.030, 0.050, 1.0])
    assert rows.thread[ahead].tolist() == [max(traced) + 1, max(traced) + 2, max(traced) + 1]
    assert set(rows.stage[ahead].tolist()) == {1}


def test_intervals_of_a_thread_do_not_overlap() -> None:
    for trace in (sequential(), parallel()):
        intervals = attribute([trace.window()], StageMap(STAGES)).intervals
        for thread in set(intervals.thread.tolist()):
            mine = intervals.thread == thread
            assert (intervals.start[mine][1:] >= intervals.end[mine][:-1] - 1e-12).all()


def test_reading_ops_inside_a_function_are_extract() -> None:
    trace = sequential().span(1, 47, 49, "decode/ReadFile:ReadFile")
    decode = attribute([trace.window()], StageMap(STAGES)).costs[2]
    assert dict(decode.work_s) == pytest.approx({"extract": 0.002, "transform": 0.031})


def test_a_fused_map_and_batch_is_split() -> None:
    path = f"{ROOT}::MapAndBatch"
    trace = (
        Trace()
        .span(0, 0, 100, path, label="fused(decode,batch)")
        .span(1, 0, 30, "MapAndBatchProduce")
        .span(1, 5, 10, f"{path}::Shuffle", label="shuffle")
        .span(1, 12, 20, "InstantiatedCapturedFunction::RunAsync", step=3)
        .span(2, 20, 60, "ExecutorState::Process", step=3)
        .span(2, 20, 60, "decode/DecodeJpeg:DecodeJpeg")
        .span(2, 60, 75, "ExecutorDoneCallback", step=3)
    )
    costs = attribute([trace.window()], StageMap(STAGES)).costs
    assert dict(costs[2].work_s) == pytest.approx({"transform": 0.040})
    assert dict(costs[4].work_s) == pytest.approx({"transform": 0.015})


def test_a_function_called_by_a_function_belongs_to_the_same_stage() -> None:
    trace = sequential().span(1, 60, 70, "ExecutorState::Process", step=1234)
    decode = attribute([trace.window()], StageMap(STAGES)).costs[2]
    assert dict(decode.work_s) == pytest.approx({"transform": 0.030})


def test_a_function_of_nothing_is_all_overhead() -> None:
    trace = Trace().span(0, 0, 30, f"{ROOT}::Map", label="decode")
    trace.span(0, 5, 25, "InstantiatedCapturedFunction::Run", step=7).span(1, 6, 24, "ExecutorState::Process", step=7)
    decode = attribute([trace.window()], StageMap(STAGES)).costs[2]
    assert (dict(decode.work_s), decode.elements) == ({}, 1)
    assert decode.overhead_s == pytest.approx(0.010 + 0.018)


def test_work_of_other_parts_of_the_process_is_left_out() -> None:
    trace = Trace().span(0, 0, 50, "ExecutorState::Process", step=-1).span(0, 10, 20, "train/MatMul:MatMul")
    found = attribute([trace.window()], StageMap(STAGES))
    assert len(found.intervals) == 0


def test_an_unknown_iterator_is_nobodys_work() -> None:
    trace = Trace().span(0, 0, 50, f"{ROOT}::Strange", label="Strange:7")
    found = attribute([trace.window()], StageMap(STAGES))
    assert found.intervals.stage.tolist() == [-1]
    assert not any(cost.work_s for cost in found.costs)


def test_empty_window() -> None:
    assert not read_frames(Trace().window()).spans
    assert len(attribute([Trace().window()], StageMap(STAGES)).intervals) == 0


def test_the_call_that_finds_the_end_of_a_file_reads_no_record() -> None:
    path = f"{ROOT}::BatchV2::Interleave"
    inner = f"{path}[0]::FlatMap"
    trace = Trace().span(0, 0, 100, path, label="interleave")
    for file in range(3):
        at = 30 * file
        trace.span(0, at, at + 29, inner).span(0, at + 1, at + 2, "MakeIterator::TFRecordDataset")
        trace.span(0, at + 3, at + 20, f"{inner}[0]::TFRecord").span(0, at + 21, at + 22, f"{inner}[0]::TFRecord")
    interleave = attribute([trace.window()], StageMap(STAGES)).costs[1]
    assert interleave.elements == 3, "six calls, three of which found the end"


def test_stages_that_share_a_name_are_told_apart_by_their_place() -> None:
    known = StageMap([StageInfo(name, "map", "x") for name in ("x", "x_2")])
    outer, inner = f"{ROOT}::Map", f"{ROOT}::Map::Map"
    labels = {outer: "x", inner: "x"}
    assert (known.of_path(inner, labels), known.of_path(outer, labels)) == ((0,), (1,))


def test_a_label_that_was_not_seen_yet_is_looked_up_again() -> None:
    known = StageMap(STAGES)
    assert known.of_path(f"{ROOT}::Map", {}) == ()
    assert known.of_path(f"{ROOT}::Map", {f"{ROOT}::Map": "decode"}) == (2,)


def test_names_of_ops_and_paths() -> None:
    assert is_op("decode/DecodeJpeg:DecodeJpeg")
    assert is_op("truediv:RealDiv")
    assert not is_op("DecodeImageV2Op::JPEG")
    assert not is_op("EagerLocalExecute: Mul")
    assert parent(f"{ROOT}::Interleave[3]::FlatMap") == f"{ROOT}::Interleave"
    assert is_inner(f"{ROOT}::Interleave[3]::FlatMap")
    assert not is_inner(f"{ROOT}::Interleave")
