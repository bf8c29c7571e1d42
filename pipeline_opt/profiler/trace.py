"""Trace windows: open TensorFlow's own profiler for a moment, and read what it wrote.

Only host events are taken, at level 1 where that is enough and 2 where TensorFlow 2.17 needs it. Starting costs well under a
millisecond on the loop's thread; stopping costs some four microseconds an event and is done on a thread of its own.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pipeline_opt.clock import Clock
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

MARK = "pipeline_opt.clock"
"""Name of the event that ties the trace's clock to ours."""

BYTES_PER_EVENT = 30
"""Size of an event in a trace file: 21 to 36 bytes were seen."""


@dataclass
class OpenWindow:
    """A window that has been started: `start_s` and `end_s` on the profiler's clock, events in `folder`."""

    folder: Path
    start_s: float
    mark_s: float
    end_s: float = 0.0
    error: str | None = None
    stopper: threading.Thread | None = field(default=None, repr=False)

    def events(self) -> int:
        """About how many events its file holds, by the file's size."""
        return sum(file.stat().st_size for file in self.folder.glob("**/*.xplane.pb")) // BYTES_PER_EVENT


class Tracer:
    """Opens and closes windows, one at a time; the files live in a scratch folder until `close`.

    A tracer that cannot work (another profiler is active) keeps quiet and says so in `refusal`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scratch: Path | None = None
        self._open: OpenWindow | None = None
        self.windows: list[OpenWindow] = []
        self.refusal: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether a window is open now."""
        return self._open is not None

    @property
    def is_busy(self) -> bool:
        """Whether a window is open, or the last one is still being written."""
        last = self.windows[-1].stopper if self.windows else None
        return self.is_open or (last is not None and last.is_alive())

    def warm_up(self) -> None:
        """Open and close an empty window: the first one in a process takes longer."""
        self.start()
        self.stop()
        self.wait()
        self.windows.clear()

    def start(self) -> None:
        """Open a window; does nothing after a refusal."""
        if self.refusal is not None or self.is_busy:
            return
        options = tf.profiler.experimental.ProfilerOptions(
            host_tracer_level=_host_level(), python_tracer_level=0, device_tracer_level=0
        )
        start_s = self._clock.now()
        try:
            folder = self._new_folder()
            tf.profiler.experimental.start(str(folder), options)
        except (tf.errors.OpError, RuntimeError, OSError) as error:
            self.refusal = f"no trace could be taken: {str(error).splitlines()[0]}"
            return
        mark_s = self._clock.now()
        with tf.profiler.experimental.Trace(MARK):
            pass
        self._open = OpenWindow(folder, start_s, mark_s)

    def stop(self) -> None:
        """Close the window that is open, if one is; its file is written in the background."""
        window = self._open
        if window is None:
            return
        window.end_s = self._clock.now()
        window.stopper = threading.Thread(target=_stop, args=(window,), name="pipeline_opt_trace_stop")
        self.windows.append(window)
        self._open = None
        window.stopper.start()

    def wait(self) -> None:
        """Wait until every file is written."""
        for window in self.windows:
            if window.stopper is not None:
                if window.stopper.ident is None:
                    # An interrupt came before it could start; TensorFlow's profiler is still on.
                    window.stopper.start()
                window.stopper.join()

    def close(self) -> None:
        """Close what is open and delete the scratch folder."""
        self.stop()
        self.wait()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _new_folder(self) -> Path:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="pipeline_opt_trace_"))
        return Path(tempfile.mkdtemp(dir=self._scratch))


class Event(NamedTuple):
    """One span on one thread, in seconds on the profiler's clock. `step` is the function run it belongs to, 0 if none."""

    start_s: float
    end_s: float
    name: int
    step: int


class ThreadEvents(NamedTuple):
    """The events of one thread, sorted by start, longer first."""

    thread: int
    events: list[Event]


class WindowEvents(NamedTuple):
    """What one window saw.

    Args:
        names: Event names; `Event.name` indexes them.
        labels: tf.data's own name of each iterator event by the index of its name: the dataset's name in the graph.
        parallelism: The parallelism that each iterator event last stated, by the index of its name.
        threads: The events.
        start_s: When the window opened, on the profiler's clock.
        end_s: When it closed.
    """

    names: list[str]
    labels: dict[int, str]
    parallelism: dict[int, int]
    threads: list[ThreadEvents]
    start_s: float
    end_s: float

    @property
    def size(self) -> int:
        """Events in all."""
        return sum(len(t.events) for t in self.threads)


def read_window(window: OpenWindow) -> WindowEvents | None:
    """Read a closed window's file; None if the trace is not there, with the reason in `window.error`."""
    found = sorted(window.folder.glob("**/*.xplane.pb"))
    if not found:
        window.error = window.error or "the profiler wrote no trace"
        return None
    space = _xplane().XSpace()
    try:
        space.ParseFromString(found[0].read_bytes())
    except (lazy_module("google.protobuf.message").DecodeError, OSError) as error:
        window.error = f"a trace could not be read: {str(error) or type(error).__name__}"
        return None
    host = next((plane for plane in space.planes if plane.name == "/host:CPU"), None)
    offset_s = _clock_offset(host, window.mark_s) if host is not None else None
    if offset_s is None:
        window.error = "the trace holds no clock mark"
        return None
    return _read_plane(host, offset_s, window)


def loses_ended_threads() -> bool:
    """Whether this TensorFlow drops the events of threads that end while a window is open."""
    major, minor = (int(part) for part in tf.__version__.split(".")[:2])
    return (major, minor) < (2, 18)


def _host_level() -> int:
    return 2 if loses_ended_threads() else 1


def _stop(window: OpenWindow) -> None:
    try:
        tf.profiler.experimental.stop()
    except (tf.errors.OpError, RuntimeError) as error:
        window.error = str(error).splitlines()[0]


def _xplane() -> Any:
    return lazy_module("tensorflow.tsl.profiler.protobuf.xplane_pb2")


def _clock_offset(host: Any, mark_s: float) -> float | None:
    """What to add to the trace's seconds to get ours."""
    marks = [key for key, meta in host.event_metadata.items() if meta.name == MARK]
    for line in host.lines:
        for event in line.events:
            if event.metadata_id in marks:
                return float(mark_s - (line.timestamp_ns * 1e-9 + event.offset_ps * 1e-12))
    return None


INTERESTING = ("Iterator::", "ExecutorState::Process", "InstantiatedCapturedFunction::Run", "ExecutorDoneCallback")

MAKING = "MakeIterator::"
"""What the event of an iterator being made begins with; the op's name follows."""


def _wanted(name: str) -> bool:
    """Iterators, function runs, tf.data's hand-over steps and ops; not the framework's bookkeeping."""
    if name.startswith((*INTERESTING, MAKING)):
        return True
    if name.startswith(("Parallel", "MapAndBatch")):
        return name.endswith(("Produce", "InitializeInput", "ProcessBatch"))
    return is_op(name)


def is_op(name: str) -> bool:
    """Whether an event is an op of a function: `scope/node:OpType`."""
    node, colon, kind = name.rpartition(":")
    return bool(colon) and bool(node) and not node.endswith(":") and kind.isidentifier()


def _has_step(name: str) -> bool:
    return name.startswith(INTERESTING[1:])


def _read_plane(host: Any, offset_s: float, window: OpenWindow) -> WindowEvents:
    keys = {key: meta.name for key, meta in host.event_metadata.items() if _wanted(meta.name)}
    names = sorted(set(keys.values()))
    index = {name: i for i, name in enumerate(names)}
    numbers = {key: index[name] for key, name in keys.items()}
    stepped = {key for key, name in keys.items() if _has_step(name)}
    iterators = {key for key, name in keys.items() if name.startswith("Iterator::")}
    stats = {key: meta.name for key, meta in host.stat_metadata.items()}
    step_keys = {key for key, name in stats.items() if name == "id"}
    labels: dict[int, str] = {}
    parallelism: dict[int, int] = {}
    threads = []
    for thread, line in enumerate(host.lines):
        base_s = offset_s + line.timestamp_ns * 1e-9
        events = []
        for event in line.events:
            key = event.metadata_id
            name = numbers.get(key)
            if name is None:
                continue
            start = base_s + event.offset_ps * 1e-12
            step = next(_steps(event, step_keys), 0) if key in stepped else 0
            events.append(Event(start, start + event.duration_ps * 1e-12, name, step))
            if key in iterators and name not in labels:
                facts = _facts(event, stats)
                labels[name] = str(facts.get("name", ""))
                # While AUTOTUNE holds its lock the event says "unavailable".
                if isinstance(facts.get("parallelism"), int):
                    parallelism[name] = facts["parallelism"]
        if events:
            events.sort(key=lambda e: (e.start_s, -e.end_s))
            threads.append(ThreadEvents(thread, events))
    return WindowEvents(names, labels, parallelism, threads, window.start_s, window.end_s)


def _steps(event: Any, keys: set[int]) -> Iterator[int]:
    return (stat.int64_value or stat.uint64_value for stat in event.stats if stat.metadata_id in keys)


def _facts(event: Any, stats: dict[int, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for stat in event.stats:
        value = stat.WhichOneof("value")
        held: Any = getattr(stat, value) if value else None
        facts[stats.get(stat.metadata_id, "")] = stats.get(held, "") if value == "ref_value" else held
    return facts
