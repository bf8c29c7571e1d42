"""What the numbers of a record may be: the one list that a run file is held to when it is read.

Every number that a profiled run holds is within these bounds by far; what is outside of them is damage, and would end
in sums that overflow, times that run backwards and figures without end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline_opt.record import (
    ConsumerInfo,
    Environment,
    Epochs,
    Intervals,
    KnobSeries,
    OpCost,
    Record,
    SourceInfo,
    StageRecord,
    Steps,
    Window,
)


@dataclass(frozen=True)
class Bounds:
    """A closed range of finite numbers, and how to say it."""

    low: float
    high: float
    said: str


TIME: Final = Bounds(-1e9, 1e9, "seconds from the start of the run, up to 1e9 before or after it")
SECONDS: Final = Bounds(0, 1e9, "seconds from 0 to 1e9")
THREAD_SECONDS: Final = Bounds(0, 1e12, "seconds from 0 to 1e12, over all threads")
MICROSECONDS: Final = Bounds(0, 1e18, "microseconds from 0 to 1e18")
COUNT: Final = Bounds(0, 2**53, "a number from 0 to 2**53")
SPEED: Final = Bounds(1e-9, 1e18, "bytes a second from 1e-9 to 1e18")
CORES: Final = Bounds(1e-3, 1e6, "cores from 0.001 to 1e6")
KNOB: Final = Bounds(-1, 2**64, "a number from -1 to 2**64")
PHASE: Final = Bounds(0, 1, "0 or 1, a place in PHASES")
STAGE: Final = Bounds(-1, 1e6, "a place among the stages from 0, or -1")

BOUNDS: Final[Mapping[type, Mapping[str, Bounds]]] = {
    Steps: {
        **dict.fromkeys(("wait_start", "wait_end", "load_start", "load_end", "train_start", "train_end"), TIME),
        **dict.fromkeys(("elements", "bytes"), COUNT),
    },
    Epochs: dict.fromkeys(("start", "last_wait_start", "last_wait_end", "close_start", "close_end"), TIME),
    Intervals: {"start": TIME, "end": TIME, "phase": PHASE, "stage": STAGE, "thread": COUNT},
    Window: {"start_s": TIME, "end_s": TIME},
    OpCost: {"work_s": THREAD_SECONDS, "count": COUNT},
    StageRecord: {
        **dict.fromkeys(("elements", "bytes_in", "bytes_out", "parallelism", "parallelism_chosen"), COUNT),
        **dict.fromkeys(("work_s", "cpu_s", "overhead_s", "ahead_s", "phase_work_s"), THREAD_SECONDS),
        "us_per_element": MICROSECONDS,
        "buffer_fill": COUNT,
    },
    KnobSeries: {"time_s": TIME, "value": KNOB},
    SourceInfo: {"files": COUNT, "bytes": COUNT},
    Environment: {"cores": CORES, "ram_bytes": COUNT},
    ConsumerInfo: {"step_s": SECONDS, "link_bytes_per_s": SPEED, "in_flight": COUNT},
    Record: {
        **dict.fromkeys(("wall_s", "first_batch_s", "teardown_s"), SECONDS),
        **dict.fromkeys(("epoch_starts", "warmup"), COUNT),
    },
}
"""The bounds of every number, by its field; of each number in an array, a tuple or a dictionary."""

SPANS: Final[Mapping[type, tuple[tuple[str, str], ...]]] = {
    Steps: (("wait_start", "wait_end"), ("load_start", "load_end"), ("train_start", "train_end")),
    Epochs: (("last_wait_start", "last_wait_end"), ("close_start", "close_end")),
    Intervals: (("start", "end"),),
    Window: (("start_s", "end_s"),),
}
"""Fields of which the second is not before the first."""

ASCENDING: Final[Mapping[type, tuple[str, ...]]] = {
    Steps: ("wait_start", "wait_end", "load_start", "load_end", "train_start", "train_end"),
    Epochs: ("start",),
    Intervals: ("start",),
    KnobSeries: ("time_s",),
    Record: ("epoch_starts",),
}
"""Fields whose numbers never fall."""


def problem(it: Any, place: str) -> str | None:
    """What is wrong with the numbers of one part of a record: its place, the value and what is valid.

    Args:
        it: A record, or one of the objects that it is made of, with values of the annotated types.
        place: What it is called.
    """
    return next(_problems(it, place), None)


def _problems(it: Any, place: str) -> Iterator[str]:
    cls = type(it)
    for name, bounds in BOUNDS.get(cls, {}).items():
        yield from _out_of_bounds(getattr(it, name), bounds, f"{place}.{name}")
    for start, end in SPANS.get(cls, ()):
        early = np.flatnonzero(np.atleast_1d(np.less(getattr(it, end), getattr(it, start))))
        if len(early):
            yield f"{place}.{end}{_at(getattr(it, end), early[0])} is before {start}; valid: a time not before it"
    for name in ASCENDING.get(cls, ()):
        falls = np.flatnonzero(np.diff(np.asarray(getattr(it, name))) < 0)
        if len(falls):
            value = getattr(it, name)
            yield f"{place}.{name}{_at(value, falls[0] + 1)} is less than the one before; valid: in ascending order"
    if isinstance(it, Record):
        yield from _mismatches(it, place)


def _out_of_bounds(value: Any, bounds: Bounds, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _out_of_bounds(part, bounds, f"{place}[{key!r}]")
    elif isinstance(value, np.ndarray):
        outside = np.flatnonzero(~((value >= bounds.low) & (value <= bounds.high)))
        if len(outside):
            yield f"{place}{_at(value, outside[0])} is out of range; valid: {bounds.said}"
    elif isinstance(value, tuple):
        for index, part in enumerate(value):
            yield from _out_of_bounds(part, bounds, f"{place}[{index}]")
    elif isinstance(value, int | float) and not bounds.low <= value <= bounds.high:
        yield f"{place}{_at(value, 0)} is out of range; valid: {bounds.said}"


def _mismatches(record: Record, place: str) -> Iterator[str]:
    """What does not fit together."""
    steps, stages = len(record.steps), len(record.stages)
    if any(step > steps for step in record.epoch_starts):
        yield f"{place}.epoch_starts={record.epoch_starts!r} lie outside of {steps} steps"
    if len(record.epochs) not in (0, len(record.epoch_starts)):
        yield f"{place}.epochs has {len(record.epochs)} iterators; valid: 0, or {len(record.epoch_starts)} as epoch_starts"
    if np.any(record.intervals.stage >= stages):
        yield f"{place}.intervals name stages that do not exist; stages: {stages}"


def _at(value: Any, index: int) -> str:
    """`[3]=-1.0` for one of several numbers, `=-1.0` for a number."""
    return f"[{index}]={value[index]!s:.80}" if isinstance(value, np.ndarray | tuple) else f"={value!s:.80}"
