"""A run as a trace for ui.perfetto.dev: the JSON of the Trace Event Format, times in microseconds.

Every phase is a process: extract and transform have a row for each thread that worked at the same time as others, load
and train one row each, and the consumer's waits one of their own. Knobs and buffers are counters.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from pipeline_opt.accounting import account
from pipeline_opt.record import PHASES, Floats, Intervals, KnobSeries, Record
from pipeline_opt.reports.info_knobs import changes
from pipeline_opt.reports.phases import HOST, phases_of

MOST_EVENTS: Final = 200_000
"""Of intervals, where more are joined to their neighbours; and of steps, where the first are shown. So the file opens quickly."""

MOST_SAMPLES: Final = 2_000
"""Of each counter."""

_PIDS: Final = {"trace": 1, **{phase: pid for pid, phase in enumerate(PHASES, 2)}, "consumer": 6, "knobs": 7}

Event = dict[str, Any]


def trace_events(record: Record, most_events: int = MOST_EVENTS) -> dict[str, Any]:
    """The trace as an object for `json.dump`; open the file in ui.perfetto.dev or chrome://tracing.

    Args:
        record: The run.
        most_events: Bound on the intervals shown, and on the steps.
    """
    metadata = [
        {"ph": "M", "pid": pid, "tid": 0, "name": key, "args": value}
        for name, pid in _PIDS.items()
        if name in ("trace", "consumer", "knobs", *phases_of(record))
        for key, value in (("process_name", {"name": name}), ("process_sort_index", {"sort_index": pid}))
    ]
    rows, joined = _host_events(record, most_events)
    events = [*_windows(record), *rows, *_step_events(record, most_events), *_counters(record)]
    events.sort(key=lambda event: (event["ts"], event["pid"], event["tid"]))
    return {
        "traceEvents": [*metadata, *_row_names(events), *events],
        "displayTimeUnit": "ms",
        "otherData": {
            "pipeline": record.pipeline_text,
            "created": record.created,
            "tensorflow": record.environment.tensorflow,
            "traced_share": round(account(record).traced_share, 4),
            "joined_gaps_up_to_us": round(joined * 1e6, 3),
            "partial": record.partial,
        },
    }


def _span(name: str, process: str, row: int, start: float, end: float, **args: Any) -> Event:
    """A complete event on whole nanoseconds, so that rounding makes no two of them overlap."""
    begin, stop = round(start * 1e9), round(end * 1e9)
    event = {"ph": "X", "name": name, "cat": process, "pid": _PIDS[process], "tid": row}
    return {**event, "ts": begin / 1000, "dur": max(0, stop - begin) / 1000, "args": args}


def _windows(record: Record) -> Iterator[Event]:
    for number, window in enumerate(record.windows, 1):
        yield _span(f"trace window {number}", "trace", 1, window.start_s, window.end_s)


def _host_events(record: Record, most: int) -> tuple[list[Event], float]:
    """Extract and transform, and the gap in seconds up to which neighbours were joined to keep the number down."""
    gap, intervals = 0.0, record.intervals
    while len(intervals) > most:
        gap = gap * 2 if gap else 1e-6
        intervals = _joined(record.intervals, gap)
        if gap > record.wall_s:
            break
    events = []
    for phase in HOST:
        chosen = np.flatnonzero(intervals.phase == PHASES.index(phase))
        rows = _rows(intervals.start[chosen], intervals.end[chosen])
        for i, row in zip(chosen, rows, strict=True):
            stage = int(intervals.stage[i])
            name = record.stages[stage].name if 0 <= stage < len(record.stages) else phase
            start, end = float(intervals.start[i]), float(intervals.end[i])
            events.append(_span(name, phase, row, start, end, thread=int(intervals.thread[i])))
    return events, gap


def _joined(intervals: Intervals, gap: float) -> Intervals:
    """Neighbours of one thread, stage and phase that are no more than `gap` apart, as one interval each."""
    order = np.lexsort((intervals.start, intervals.phase, intervals.stage, intervals.thread))
    start, end = intervals.start[order], intervals.end[order]
    phase, stage, thread = intervals.phase[order], intervals.stage[order], intervals.thread[order]
    same = (np.diff(phase) == 0) & (np.diff(stage) == 0) & (np.diff(thread) == 0)
    first = np.concatenate(([True], ~(same & (start[1:] - end[:-1] <= gap))))
    last = np.concatenate((first[1:], [True]))
    begin = start[first]
    again = np.argsort(begin, kind="stable")
    return Intervals(begin[again], end[last][again], phase[first][again], stage[first][again], thread[first][again])


def _rows(start: Floats, end: Floats) -> list[int]:
    """The fewest rows in which no two intervals, sorted by start, overlap: for each the lowest row that is free."""
    rows: list[int] = []
    working: list[tuple[int, int]] = []
    free: list[int] = []
    for begin, stop in zip(np.rint(start * 1e9).tolist(), np.rint(end * 1e9).tolist(), strict=True):
        while working and working[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(working)[1])
        row = heapq.heappop(free) if free else len(working) + 1
        heapq.heappush(working, (stop, row))
        rows.append(row)
    return rows


def _step_events(record: Record, most: int) -> Iterator[Event]:
    """Load, train and waiting of each step; of a very long run, of its first steps only."""
    steps = record.steps
    for process, name, start, end in (
        ("load", "load", steps.load_start, steps.load_end),
        ("train", "train", steps.train_start, steps.train_end),
        ("consumer", "wait", steps.wait_start, steps.wait_end),
    ):
        shown = np.flatnonzero(end > start)[: most // 3]
        for k, row in zip(shown.tolist(), _rows(start[shown], end[shown]), strict=True):
            yield _span(f"{name} {k + 1}", process, row, float(start[k]), float(end[k]), step=k + 1)


def _counters(record: Record) -> Iterator[Event]:
    for series in record.knobs:
        if len(series.value):
            yield from _counter(series)


def _counter(series: KnobSeries) -> Iterator[Event]:
    for i in changes(series, MOST_SAMPLES).tolist():
        at = max(0.0, round(float(series.time_s[i]) * 1e6, 3))
        args = {series.knob: float(series.value[i])}
        yield {
            "ph": "C",
            "name": f"{series.stage} {series.knob}",
            "pid": _PIDS["knobs"],
            "tid": 0,
            "ts": at,
            "args": args,
        }


def _row_names(events: list[Event]) -> Iterator[Event]:
    """A name for every row in use."""
    processes = {pid: name for name, pid in _PIDS.items()}
    names = {"trace": "trace windows", "consumer": "wait for data"}
    for pid, tid in sorted({(event["pid"], event["tid"]) for event in events if event["ph"] == "X"}):
        process = processes[pid]
        name = f"{process} {tid}" if process in HOST else names.get(process, process)
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}}
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}}
