"""From the nested events of a thread to spans of work, each with what it was for.

A span is the part of an event that no event inside it covers. An iterator that hands over what other threads made only waits in
its own part, so that part is no work; a reader's, a shuffle's or a batch's own part is its work; a map's work is the run of its
function, which may happen on another thread and is found by its step id: from the first op to the last on each thread. What lies
before and after them, to start the run and to wake whoever waits for it, is overhead: a function of nothing would cost it too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from pipeline_opt.profiler.trace import MAKING, Event, WindowEvents, is_op

WAITING = re.compile(r"(Prefetch|ParallelMap|MapAndBatch|ParallelInterleave|ParallelBatch|ParallelFilter|Generator)")
"""Iterators whose own part is waiting for other threads (a generator's: for its function)."""

HANDING_OVER = re.compile(
    r"(Map|Filter|FlatMap|Interleave|Root|Options|Zip|Concatenate|DirectedInterleave|(Finite|Forever|Empty)Repeat|\w*Take|\w*Skip|Shard"
    r"|MaxIntraOpParallelism|PrivateThreadPool|GroupByWindow|Snapshot|FileCache|MemoryCache|WindowDataset)"
)
"""Iterators whose own part is tf.data's cost of passing an element on."""

READING = re.compile(r"(FileCacheImpl|Snapshot\w+(/_\d+)?|TFRecord\w*|TextLine\w*|FixedLengthRecord\w*)")
"""Iterators whose own part reads (or writes) files."""

READING_OPS = frozenset({"ReadFile", "WholeFileReaderV2", "ReaderReadV2", "IO>FileRead", "MatchingFiles"})
"""Ops of a function that read storage."""


class Span(NamedTuple):
    """Some seconds of one thread's work. `what` indexes `Frames.kinds`."""

    start_s: float
    end_s: float
    what: int
    thread: int


class What(NamedTuple):
    """What a span was for.

    Args:
        role: `function` (a run of a stage's function), `iterator` (an iterator's own part), `batching` (copying results into a
            batch) or `overhead` (tf.data handing over, starting a function and ending it).
        path: Path of the iterator whose stage it is.
        reads: Whether storage was read.
    """

    role: str
    path: str
    reads: bool


@dataclass
class Frames:
    """The work seen in a window.

    Args:
        kinds: What spans are for; `Span.what` indexes them.
        spans: Work, unsorted.
        runs: Step ids of the function runs seen, by the path of their iterator.
        calls: Calls of each iterator, by path, those that found the end of the data included.
        opened: Readers that each iterator opened, by its path; every one ends with a call that gives nothing.
        ops: Seconds and count of each op type inside the functions of an iterator: (path, op) to [seconds, count].
    """

    kinds: list[What] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    runs: dict[str, set[int]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    opened: Counter[str] = field(default_factory=Counter)
    ops: dict[tuple[str, str], list[float]] = field(default_factory=dict)


class _Open:
    """An event that has begun; `cuts` are its own parts."""

    __slots__ = ("child", "cursor", "cuts", "event", "owner")

    def __init__(self, event: Event, owner: _Open | None) -> None:
        self.event = event
        self.owner = owner
        self.cursor = event.start_s
        self.cuts: list[tuple[float, float]] = []
        self.child: str | None = None


def read_frames(window: WindowEvents) -> Frames:
    """Turn the events of a window into spans of work."""
    closed = [(thread.thread, frame) for thread in window.threads for frame in _close_all(thread.events, window)]
    paths = _paths_of_steps([frame for _, frame in closed], window)
    ends = _ends_of_steps([frame for _, frame in closed], window)
    frames = Frames()
    index: dict[What, int] = {}
    for thread, frame in closed:
        name = window.names[frame.event.name]
        _count(frames, frame, name, paths, window)
        what = _what(frame, name, paths, window)
        if what is None:
            continue
        over_s = _over_s(frame, what, _function_step(frame, paths), ends)
        for part, (start, end) in zip(_parts(frame, what, paths), frame.cuts, strict=True):
            if min(end, over_s) > start:
                number = index.setdefault(part, len(index))
                frames.spans.append(Span(start, min(end, over_s), number, thread))
    frames.kinds = list(index)
    return frames


def _parts(frame: _Open, what: What, paths: dict[int, str]) -> list[What]:
    """What each own part of an event is for: a run's first and last, around its ops, only start and end it."""
    parts = [what] * len(frame.cuts)
    if what.role == "function" and frame.event.step in paths:
        parts[0] = parts[-1] = what._replace(role="overhead")
    return parts


def _close_all(events: list[Event], window: WindowEvents) -> Iterator[_Open]:
    """Every event of a thread with its own parts, in the order in which they end."""
    stack: list[_Open] = []
    for event in events:
        while stack and stack[-1].event.end_s <= event.start_s:
            yield _close(stack)
        above = stack[-1] if stack else None
        if above is not None:
            above.cuts.append((above.cursor, event.start_s))
            above.cursor = max(above.cursor, event.end_s)
            name = window.names[event.name]
            if name.startswith("Iterator::") and above.child is None:
                above.child = name
        stack.append(_Open(event, above))
    while stack:
        yield _close(stack)


def _close(stack: list[_Open]) -> _Open:
    frame = stack.pop()
    frame.cuts.append((frame.cursor, frame.event.end_s))
    return frame


def _paths_of_steps(frames: list[_Open], window: WindowEvents) -> dict[int, str]:
    """The path of the iterator whose function a step id is a run of."""
    paths: dict[int, str] = {}
    for frame in frames:
        if frame.event.step and frame.owner and window.names[frame.event.name].startswith("Instantiated"):
            path = _path_of(frame.owner, window)
            if path:
                paths[frame.event.step] = path
    return paths


class _End:
    """When a function run was over: its callback was called, and the thread that waited for it went on."""

    __slots__ = ("called_back_s", "waited_s")

    def __init__(self) -> None:
        self.called_back_s = inf
        self.waited_s = inf


def _ends_of_steps(frames: list[_Open], window: WindowEvents) -> dict[int, _End]:
    """The end of each function run."""
    ends: dict[int, _End] = {}
    for frame in frames:
        name = window.names[frame.event.name]
        if name.startswith("ExecutorDoneCallback"):
            ends.setdefault(frame.event.step, _End()).called_back_s = frame.event.start_s
        elif name.startswith("Instantiated") and not name.endswith("RunAsync"):
            ends.setdefault(frame.event.step, _End()).waited_s = frame.event.end_s
    return ends


def _over_s(frame: _Open, what: What, run: int, ends: dict[int, _End]) -> float:
    """When an event stopped working for its function run: a thread may lose its core on the way out of it."""
    end = ends.get(run)
    if end is None:
        return inf
    if what.role == "function":
        return min(end.called_back_s, end.waited_s)
    return end.waited_s if frame.event.step == run else inf


def _path_of(frame: _Open, window: WindowEvents) -> str | None:
    """An iterator event is its own path; a hand-over step belongs to the iterator above the one it pulls from."""
    name = window.names[frame.event.name]
    if name.startswith("Iterator::"):
        return name
    if frame.child is None:
        return None
    return re.sub(r"\[\d+\]$", "", frame.child.rpartition("::")[0])


def _count(frames: Frames, frame: _Open, name: str, paths: dict[int, str], window: WindowEvents) -> None:
    if name.startswith("Iterator::"):
        frames.calls[name] += 1
    elif name.startswith(MAKING):
        opener = _path_of(frame.owner, window) if frame.owner and READING.fullmatch(name.removeprefix(MAKING)) else None
        if opener:
            frames.opened[opener] += 1
    elif name.startswith("ExecutorState::Process"):
        path = paths.get(frame.event.step)
        if path:
            frames.runs.setdefault(path, set()).add(frame.event.step)
    elif is_op(name):
        path = _function_path(frame, paths)
        if path:
            cost = frames.ops.setdefault((path, name.rpartition(":")[2]), [0.0, 0.0])
            cost[0] += frame.event.end_s - frame.event.start_s
            cost[1] += 1


def _function_step(frame: _Open, paths: dict[int, str]) -> int:
    """The function run that an event is part of, 0 if none; functions called by that function have step ids of their own."""
    above: _Open | None = frame
    while above is not None:
        if above.event.step in paths:
            return above.event.step
        above = above.owner
    return 0


def _function_path(frame: _Open, paths: dict[int, str]) -> str | None:
    """The path of the iterator whose function an event is part of."""
    return paths.get(_function_step(frame, paths))


def _what(frame: _Open, name: str, paths: dict[int, str], window: WindowEvents) -> What | None:
    """What the own parts of an event are for; None if they are waiting or no part of the pipeline."""
    if name.startswith("Iterator::"):
        return _what_of_iterator(name)
    if name.startswith("ExecutorState::Process") or is_op(name):
        path = _function_path(frame, paths)
        reads = name.rpartition(":")[2] in READING_OPS
        return What("function", path, reads) if path else None
    if name.startswith("ExecutorDoneCallback"):
        path = paths.get(frame.event.step)
        return (
            What("batching" if "MapAndBatch" in path.rpartition("::")[2] else "overhead", path, False) if path else None
        )
    if name.startswith(MAKING):
        owner = _path_of(frame.owner, window) if frame.owner else None
        return What("overhead", owner, False) if owner else None
    if name == "InstantiatedCapturedFunction::RunAsync" or name.startswith(("Parallel", "MapAndBatch")):
        owner = paths.get(frame.event.step) if frame.event.step else _path_of(frame, window)
        return What("overhead", owner, False) if owner else None
    return None


def _what_of_iterator(path: str) -> What | None:
    kind = path.rpartition("::")[2]
    if READING.fullmatch(kind):
        return What("iterator", path, True)
    if WAITING.match(kind):
        return None
    role = "overhead" if HANDING_OVER.fullmatch(kind) else "iterator"
    return What(role, path, False)
