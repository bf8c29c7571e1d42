"""From the work seen in trace windows to stages: intervals for the record, and the cost of each stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from pipeline_opt.profiler.frames import READING, Frames, Span, What, read_frames
from pipeline_opt.profiler.stagemap import StageMap
from pipeline_opt.profiler.trace import WindowEvents
from pipeline_opt.record import PHASES, Intervals
from pipeline_opt.storage.bridge import AheadSpan

Row = tuple[float, float, int, int, int]
"""Start, end, phase, stage and thread of an interval."""

OPENING = ("interleave", "flat_map", "generator")
"""Kinds of stages whose function opens a pipeline for an element."""

TOUCHING_S = 2e-6
"""Spans of one thread and stage closer than this are one interval: the trace leaves such gaps between an op and the next."""


@dataclass
class StageCost:
    """What the windows saw of one stage.

    Args:
        work_s: Thread-seconds by phase.
        overhead_s: Thread-seconds of handing over.
        ahead_s: The part of `work_s` in which its files were fetched and no thread of tf.data waited.
        elements: What the work was for: runs of the stage's function, else records read, else calls.
        runs: Runs of its function.
        ops: Seconds and count of each op of its function.
        parallelism: The parallelism that it last stated.
    """

    work_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    overhead_s: float = 0.0
    ahead_s: float = 0.0
    elements: int = 0
    runs: int = 0
    ops: dict[str, list[float]] = field(default_factory=dict)
    parallelism: int | None = None


@dataclass
class Attribution:
    """All windows together, in seconds on the profiler's clock.

    Args:
        costs: One entry a stage.
        intervals: Who worked when; files that were fetched ahead count as threads of their own.
        windows: When each window opened and closed.
        longest_s: The longest piece of work on one thread.
    """

    costs: list[StageCost]
    intervals: Intervals
    windows: list[tuple[float, float]]
    longest_s: float = 0.0


def attribute(windows: Iterable[WindowEvents], stages: StageMap, ahead: Sequence[AheadSpan] = ()) -> Attribution:
    """Charge the work in trace windows to the stages of a pipeline, and what was fetched ahead in them to those that read it."""
    costs = [StageCost() for _ in stages.stages]
    rows: list[Row] = []
    spans = []
    longest_s = 0.0
    for window in windows:
        spans.append((window.start_s, window.end_s))
        frames = read_frames(window)
        labels = {window.names[key]: label for key, label in window.labels.items()}
        places = [_place(what, stages, labels) for what in frames.kinds]
        for span in frames.spans:
            stage, phase = places[span.what]
            if stage is not None:
                _charge(costs[stage], frames.kinds[span.what], phase, span.end_s - span.start_s)
        rows.extend(_merged([span for span in frames.spans if frames.kinds[span.what].role != "overhead"], places))
        longest_s = max([longest_s, *(span.end_s - span.start_s for span in frames.spans)])
        _count_elements(costs, frames, stages, labels)
        _add_ops(costs, frames, stages, labels)
        _add_parallelism(costs, window, stages, labels)
    rows.extend(_fetched_ahead(ahead, spans, stages, costs, 1 + max((row[4] for row in rows), default=-1)))
    return Attribution(costs, _intervals(rows), spans, longest_s)


def _fetched_ahead(
    ahead: Sequence[AheadSpan],
    windows: list[tuple[float, float]],
    stages: StageMap,
    costs: list[StageCost],
    thread: int,
) -> Iterator[Row]:
    """The parts within windows as rows, each charged to its stage; threads are numbered from `thread` on, one a file."""
    threads: dict[int, int] = {}
    for span in ahead:
        stage = stages.of_label(span.reader)
        if stage is None:
            continue
        for opened_s, closed_s in windows:
            start_s, end_s = max(span.start_s, opened_s), min(span.end_s, closed_s)
            if end_s > start_s:
                costs[stage].work_s["extract"] += end_s - start_s
                costs[stage].ahead_s += end_s - start_s
                number = threads.setdefault(span.file, thread + len(threads))
                yield start_s, end_s, PHASES.index("extract"), stage, number


def _place(what: What, stages: StageMap, labels: dict[str, str]) -> tuple[int | None, str]:
    """The stage and the phase of one kind of work."""
    behind = stages.of_path(what.path, labels)
    if not behind:
        return None, "extract" if what.reads else "transform"
    stage = _stage_of_role(what.role, behind, stages)
    return stage, "extract" if what.reads else stages.stages[stage].phase


def _stage_of_role(role: str, behind: tuple[int, ...], stages: StageMap) -> int:
    """Of the stages that one iterator was fused from, the one that does this work."""
    wanted = {"function": "map", "overhead": "map", "batching": "batch"}.get(role, "")
    found = stages.by_kind(behind, wanted)
    return behind[0] if found is None else found


def _charge(cost: StageCost, what: What, phase: str, seconds: float) -> None:
    if what.role == "overhead":
        cost.overhead_s += seconds
    else:
        cost.work_s[phase] += seconds


def _merged(spans: list[Span], places: list[tuple[int | None, str]]) -> list[Row]:
    """Rows of start, end, phase, stage and thread; touching spans of one thread, stage and phase joined."""
    rows: list[Row] = []
    ordered = sorted(spans, key=lambda s: (s.thread, s.start_s))
    for thread, group in groupby(ordered, key=lambda s: s.thread):
        last: Row | None = None
        for span in group:
            stage, phase = places[span.what]
            key = (PHASES.index(phase), -1 if stage is None else stage, thread)
            if last is not None and last[2:] == key and span.start_s - last[1] <= TOUCHING_S:
                last = (last[0], span.end_s, *key)
            else:
                if last is not None:
                    rows.append(last)
                last = (span.start_s, span.end_s, *key)
        if last is not None:
            rows.append(last)
    return rows


def _intervals(rows: list[Row]) -> Intervals:
    if not rows:
        return Intervals.empty()
    rows.sort()
    start, end, phase, stage, thread = zip(*rows, strict=True)
    return Intervals(
        np.array(start, np.float64),
        np.array(end, np.float64),
        np.array(phase, np.int64),
        np.array(stage, np.int64),
        np.array(thread, np.int64),
    )


def _count_elements(costs: list[StageCost], frames: Frames, stages: StageMap, labels: dict[str, str]) -> None:
    """What passed each stage: runs of its function, else records that its readers gave, else its calls."""
    runs: dict[int, int] = defaultdict(int)
    read: dict[int, int] = defaultdict(int)
    calls: dict[int, int] = defaultdict(int)
    outermost: dict[int, int] = {}
    # A function of its own: those of an inner pipeline run for other elements, and their iterators lie deeper.
    for path, steps in sorted(frames.runs.items(), key=lambda item: item[0].count("::")):
        behind = stages.of_iterator(path, labels)
        if behind:
            stage = _stage_of_role("function", behind, stages)
            opens = stages.stages[stage].kind in OPENING
            if not opens or path.count("::") == outermost.setdefault(stage, path.count("::")):
                runs[stage] += len(steps)
    for path, count in frames.opened.items():
        for stage in stages.of_path(path, labels)[:1]:
            read[stage] -= count
    for path, count in frames.calls.items():
        behind = stages.of_path(path, labels)
        if behind and READING.fullmatch(path.rpartition("::")[2]):
            read[behind[0]] += count
        for stage in stages.of_iterator(path, labels):
            calls[stage] += count
    for stage, cost in enumerate(costs):
        by_function = stages.stages[stage].kind in ("map", "filter", "images") or stage not in read
        opens = stages.stages[stage].kind in OPENING
        counted = runs[stage] if by_function and not (opens and read[stage]) else 0
        cost.elements += counted or max(0, read[stage]) or calls[stage]
        cost.runs += runs[stage]


def _add_ops(costs: list[StageCost], frames: Frames, stages: StageMap, labels: dict[str, str]) -> None:
    for (path, op), (seconds, count) in frames.ops.items():
        behind = stages.of_path(path, labels)
        if behind:
            total = costs[_stage_of_role("function", behind, stages)].ops.setdefault(op, [0.0, 0.0])
            total[0] += seconds
            total[1] += count


def _add_parallelism(costs: list[StageCost], window: WindowEvents, stages: StageMap, labels: dict[str, str]) -> None:
    for key, value in window.parallelism.items():
        behind = stages.of_iterator(window.names[key], labels)
        if behind:
            costs[_stage_of_role("function", behind, stages)].parallelism = value
