"""Next steps that a record supports, each with the number that it follows from."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from pipeline_opt.accounting import Account
from pipeline_opt.record import Record, StageRecord
from pipeline_opt.reports import units
from pipeline_opt.reports.batches import is_sequential
from pipeline_opt.reports.stage_costs import work_in

MOST: Final = 2
FULL: Final = 0.85
"""From this share of their time on, the cores count as in use."""
_PYTHON: Final = re.compile(r"(Eager)?Py_?Func(Stateless)?|NumpyFunction", re.IGNORECASE)
_READING: Final = ("tfrecords", "text", "csv", "fixed_length", "images", "interleave")
"""Stages whose Python, where they run any, is mostly the bridge's, which waits for a storage without holding the lock."""
_PREFETCHES: Final = ("prefetch", "prefetch_to_device")


class Case(NamedTuple):
    """What advice may look at; `cause` is that of most waiting, `stage` the one that limits, where they are known."""

    record: Record
    figures: Account
    cause: str | None
    stage: StageRecord | None


def advise(case: Case) -> tuple[str, ...]:
    """The first two steps that apply, the most certain ones first."""
    found = (rule(case) for rule in RULES)
    return tuple(text for text in found if text)[:MOST]


def _python_lock(case: Case) -> str | None:
    if case.stage is None or not case.stage.ops or case.stage.kind in _READING:
        return None
    total = sum(op.work_s for op in case.stage.ops)
    calls = [op for op in case.stage.ops if _PYTHON.search(op.op)]
    share = sum(op.work_s for op in calls) / total if total > 0 else 0.0
    if share < 0.3:
        return None
    return (
        f"{case.stage.name} runs Python: {calls[0].op} is {units.percent(100 * share)} of its ops' work and holds "
        "Python's lock, so more threads do not help; write it with TensorFlow ops."
    )


def _sequential_reading(case: Case) -> str | None:
    files, work = case.record.source.files, case.figures.phases["extract"].work_s
    interleaves = [s for s in case.record.stages if s.kind == "interleave"]
    if case.cause != "extract" or any(map(_is_parallel, interleaves)) or not files or files < 2 or not work:
        return None
    for stage in interleaves:
        if stage.parallelism == "auto":
            return (
                f"AUTOTUNE left {stage.name} at one call at a time, and reading took {units.seconds(work)}: "
                "set num_parallel_calls and cycle_length; pipeline-opt probe says to what."
            )
    return (
        f"The {files:,} files are read one after another, and reading took {units.seconds(work)}: "
        "interleave(num_parallel_calls=AUTO) reads several at a time."
    )


def _sequential_map(case: Case) -> str | None:
    stage, cores = case.stage, case.record.environment.cores
    if stage is None or stage.kind != "map" or _is_parallel(stage) or stage.parallelism is not None or cores < 2:
        return None
    work = sum(stage.phase_work_s.values()) or stage.work_s
    return (
        f"{stage.name} handles one element at a time and took {units.seconds(work)} of the "
        f"{units.seconds(case.figures.wall_s)}: num_parallel_calls=AUTO spreads it over {units.number(cores)} cores."
    )


def _no_prefetch(case: Case) -> str | None:
    stages = case.record.stages
    if not case.record.has_consumer or not stages or any(stage.kind in _PREFETCHES for stage in stages):
        return None
    if len(case.record.intervals) and not is_sequential(case.record):
        return None
    figures = case.figures
    gain = ""
    if figures.sequential_s is not None and figures.pipelined_bound_s is not None:
        gain = (
            f" (one after another the phases take {units.seconds(figures.sequential_s)}, "
            f"overlapped {units.seconds(figures.pipelined_bound_s)})"
        )
    elif figures.accelerator_idle_s is not None:
        gain = f" ({units.seconds(figures.accelerator_idle_s)} idle)"
    return f"Nothing is made ready while the accelerator computes{gain}: end the pipeline with prefetch(AUTO)."


def _slow_copy(case: Case) -> str | None:
    steps = case.record.steps
    copies = steps.load_end - steps.load_start
    if case.cause != "load" or not copies.sum() > 0:
        return None
    each, step = float(copies.mean()), case.figures.wall_s / len(steps)
    if not case.record.consumer.double_buffered:
        return (
            f"Copying a batch takes {units.seconds(each)} of a step's {units.seconds(step)}, and the accelerator waits "
            "meanwhile: prefetch_to_device copies the next batch while it computes."
        )
    rate = float(steps.bytes.sum() / copies.sum())
    return (
        f"A batch of {units.size(float(steps.bytes.mean()))} takes {units.seconds(each)} to copy "
        f"({units.size(rate)}/s): only fewer bytes a batch or a faster link make that shorter."
    )


def _cores_full(case: Case) -> str | None:
    used = cores_used(case.record)
    if used is None or used < FULL or case.cause not in ("transform", "extract"):
        return None
    work = work_in(case.stage, case.cause) if case.stage else 0.0
    costliest = ""
    if case.stage and case.stage.ops and work > 0:
        total = sum(op.work_s for op in case.stage.ops)
        top = case.stage.ops[0]
        costliest = f", above all {top.op} ({units.percent(100 * top.work_s / total)} of the ops of {case.stage.name})"
    return (
        f"The {units.number(case.record.environment.cores)} cores are in use {units.percent(100 * used)} of the time: "
        f"more threads cannot help, only less work for an element{costliest}."
    )


def _fixed_parallelism(case: Case) -> str | None:
    stage, cores, used = case.stage, case.record.environment.cores, cores_used(case.record)
    if stage is None or used is None or used >= FULL or not isinstance(stage.parallelism, int):
        return None
    if stage.parallelism >= cores:
        return None
    return (
        f"{stage.name} is held to num_parallel_calls={stage.parallelism} while the {units.number(cores)} cores are in "
        f"use {units.percent(100 * used)} of the time: AUTO may use more."
    )


def _hand_over(case: Case) -> str | None:
    if case.cause != "overhead":
        return None
    stage = max(case.record.stages, key=lambda s: s.overhead_s or 0.0, default=None)
    if stage is None or not stage.overhead_s:
        return None
    return (
        f"{stage.name} spent {units.seconds(stage.overhead_s)} handing elements from thread to thread: batching before "
        "it, or a longer block_length, means fewer hand-overs."
    )


def _slow_start(case: Case) -> str | None:
    first, wall = case.record.first_batch_s, case.figures.wall_s
    shuffles = [stage.name for stage in case.record.stages if stage.kind == "shuffle"]
    if first is None or case.cause != "fill" or not shuffles:
        return None
    return (
        f"The first batch took {units.seconds(first)} of {units.seconds(wall)}, as {shuffles[0]} fills its buffer "
        "first: a smaller buffer_size starts sooner."
    )


def _blocked_end(case: Case) -> str | None:
    end, iterators = case.record.teardown_s, len(case.record.epoch_starts)
    if end is None or end < 0.1 * case.figures.wall_s or end < 0.1:
        return None
    if iterators < 2:
        return f"Ending the iterator took {units.seconds(end)}, after the run: AUTOTUNE's thread can hold it up until it wakes."
    return f"Ending the {iterators} iterators took {units.seconds(end)}: repeat() inside the pipeline needs only one."


def cores_used(record: Record) -> float | None:
    """The share of the cores' time that the stages' work took, 0 to 1; None where no stage's is known."""
    known = [stage.cpu_s for stage in record.stages if stage.cpu_s is not None]
    available = record.wall_s * record.environment.cores
    return min(1.0, sum(known) / available) if known and available > 0 else None


def _is_parallel(stage: StageRecord) -> bool:
    chosen = stage.parallelism_chosen
    return chosen > 1 if chosen is not None else stage.parallelism == "auto" or (stage.parallelism or 1) != 1


RULES: Final[tuple[Callable[[Case], str | None], ...]] = (
    _python_lock,
    _sequential_reading,
    _sequential_map,
    _no_prefetch,
    _slow_copy,
    _cores_full,
    _fixed_parallelism,
    _hand_over,
    _slow_start,
    _blocked_end,
)
