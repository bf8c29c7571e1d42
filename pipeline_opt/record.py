"""The record of a run: raw measurements with the plan, machine and versions that they belong to.

Everything that is shown (tables, figures, pages, verdicts) is computed from this. Times are seconds from the start of
the run, read from one clock. A number that could not be known is None, and `StageRecord.absent` says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PHASES: Final = ("extract", "transform", "load", "train")
"""The phases of a pipeline, in the order in which an element passes through them."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """The consumer's loop, one row a step, every array of shape (steps,).

    `wait` is the consumer waiting for the next element of the iterator; `load` the copy to the accelerator; `train` its
    computing. With double buffering, waits are for a loaded batch, and `load` intervals come from the loading thread.
    With steps in flight, `train` intervals are the device's and can begin after the host went on.
    """

    wait_start: Floats
    wait_end: Floats
    load_start: Floats
    load_end: Floats
    train_start: Floats
    train_end: Floats
    elements: Ints
    bytes: Ints

    def __len__(self) -> int:
        return len(self.wait_start)

    @classmethod
    def empty(cls) -> Steps:
        """No steps."""
        none = np.empty(0, np.float64)
        count = np.empty(0, np.int64)
        return cls(none, none, none, none, none, none, count, count)


@dataclass(frozen=True)
class Epochs:
    """The iterators of the run, one row each, every array of shape (iterators,).

    At `start` the iterator is asked for; its first wait follows. The last wait ended with the data, or was broken off,
    and gave no batch; it has no length where the run stopped earlier. From `close_start` to `close_end` the
    iterator is destroyed, which for the last one is after the run.
    """

    start: Floats
    last_wait_start: Floats
    last_wait_end: Floats
    close_start: Floats
    close_end: Floats

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def empty(cls) -> Epochs:
        """No iterators, or nothing known of them."""
        none = np.empty(0, np.float64)
        return cls(none, none, none, none, none)


@dataclass(frozen=True)
class Intervals:
    """When a thread worked for a phase of a stage, from the trace windows; every array of shape (intervals,).

    `phase` indexes `PHASES` (0 or 1: extract, transform); `stage` indexes the record's stages (-1: none); `thread`
    numbers threads from 0, a file that is fetched ahead of its reader being one of its own. Intervals of one thread do not
    overlap. Sorted by start.
    """

    start: Floats
    end: Floats
    phase: Ints
    stage: Ints
    thread: Ints

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def empty(cls) -> Intervals:
        """No intervals."""
        none = np.empty(0, np.float64)
        count = np.empty(0, np.int64)
        return cls(none, none, count, count, count)


@dataclass(frozen=True)
class Window:
    """A span of the run in which a trace was open, in seconds from the start of the run."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class OpCost:
    """Work of one kind of op inside a stage's function over the run, part of the stage's `work_s`, and how often it ran.

    `op` is what ran, after TensorFlow's own rewrites: with oneDNN a `MatMul` is a `_MklMatMul` on some processors.
    """

    op: str
    work_s: float
    count: int


@dataclass(frozen=True)
class StageRecord:
    """What was measured of one stage over the whole run.

    Args:
        name: The stage's name in the plan.
        kind: Its kind, `map` or `interleave`.
        phase: `extract`, `transform` or `load`: where most of its work went.
        elements: Elements that it produced.
        bytes_in: Bytes that it took from the stage before.
        bytes_out: Bytes that it produced.
        work_s: Thread-seconds spent in it, waiting for storage included, and each file's seconds of being fetched ahead.
        cpu_s: The part of `work_s` on a core.
        overhead_s: Thread-seconds that tf.data spent handing its elements from thread to thread and starting and ending its
            function, not in `work_s`.
        ahead_s: The part of `work_s` in which a file was fetched and no reader waited for it: storage at work, which may hold up
            what follows, and no thread of tf.data.
        us_per_element: Microseconds of work for an element that passed through it (a batch, for a batching stage).
        parallelism: What the plan says: a number, "auto", or None for a sequential stage.
        parallelism_chosen: What ran, where tf.data reports it: the last value seen.
        buffer_fill: Mean elements in its buffer.
        phase_work_s: Its thread-seconds by phase, where it has more than one.
        ops: The costliest ops of its function, most work first.
        absent: For every field above that is None: why it could not be known.
    """

    name: str
    kind: str
    phase: str
    elements: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    work_s: float | None = None
    cpu_s: float | None = None
    overhead_s: float | None = None
    ahead_s: float = 0.0
    us_per_element: float | None = None
    parallelism: int | str | None = None
    parallelism_chosen: int | None = None
    buffer_fill: float | None = None
    phase_work_s: dict[str, float] = field(default_factory=dict)
    ops: tuple[OpCost, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class KnobSeries:
    """One number of the model over time: a knob of a stage, or the fill of its buffer.

    `knob` is tf.data's parameter name (`parallelism`, `buffer_size`), or `buffered_elements`.
    """

    stage: str
    knob: str
    time_s: Floats
    value: Floats
    tuned: bool = False


@dataclass(frozen=True)
class SourceInfo:
    """What the plan read: `files` and `bytes` are None where they cannot be known."""

    uri: str
    scheme: str
    files: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Environment:
    """Where the run was made."""

    tensorflow: str
    python: str
    cores: float
    ram_bytes: int
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ConsumerInfo:
    """What took the batches.

    Args:
        kind: `none`, `callable`, `keras` or `accelerator`.
        label: For titles: `resnet50 on h100`, `20 ms a step`.
        step_s: Compute seconds a batch of an emulated accelerator, else None.
        link_bytes_per_s: Its host-to-device link, else None.
        in_flight: Steps that the host may be ahead.
        double_buffered: Whether the next batch is loaded while the accelerator computes.
        preset: The preset's name with its source, else None.
    """

    kind: str = "none"
    label: str = "none"
    step_s: float | None = None
    link_bytes_per_s: float | None = None
    in_flight: int = 0
    double_buffered: bool = False
    preset: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """One run, equal to itself alone, so that what is computed from it can be kept beside it.

    See the module's docstring for units; `epoch_starts` holds the steps at which an iterator began.

    Args:
        created: UTC time in ISO form.
        pipeline_text: The plan, one stage a line.
        fingerprint: Hash of the plan.
        toml: The plan as TOML, where it can be written so.
        wall_s: From the start, where the iterator is asked for, to the end of the last step or of a wait after it;
            the last iterator's teardown left out.
        first_batch_s: From the start, making the iterator included, to the first batch; None if there was none.
        teardown_s: Seconds that ending the iterator took.
        partial: Whether the run was cut short, with `partial_reason`.
        warmup: Steps at the start that rates and utilization leave out, the first one always.
        trace_mode: `auto`, `full` or `off`.
        notes: Sentences for the reader: what was corrected, scaled or could not be done.
        extra: What belongs to the run and was not measured in it, as plain values: `storage`, the profile of the storage that
            it read, and `advice`, the sentences that its plan follows.
    """

    created: str
    version: str
    pipeline_text: str
    fingerprint: str
    source: SourceInfo
    environment: Environment
    consumer: ConsumerInfo = ConsumerInfo()
    toml: str | None = None
    steps: Steps = field(default_factory=Steps.empty)
    epoch_starts: tuple[int, ...] = ()
    epochs: Epochs = field(default_factory=Epochs.empty)
    wall_s: float = 0.0
    first_batch_s: float | None = None
    teardown_s: float | None = None
    partial: bool = False
    partial_reason: str | None = None
    warmup: int = 0
    trace_mode: str = "auto"
    windows: tuple[Window, ...] = ()
    intervals: Intervals = field(default_factory=Intervals.empty)
    stages: tuple[StageRecord, ...] = ()
    knobs: tuple[KnobSeries, ...] = ()
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def has_consumer(self) -> bool:
        """Whether something takes the batches to compute with them."""
        return self.consumer.kind != "none"

    @property
    def skipped(self) -> int:
        """Steps at the start that rates and utilization leave out: the warm-up, and the first one always."""
        return max(1, self.warmup)
