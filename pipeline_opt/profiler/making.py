"""The record of a run, from everything that was measured."""

from __future__ import annotations

import dataclasses
import math
import platform
from datetime import UTC, datetime

from pipeline_opt import text
from pipeline_opt.build.reading import silent_losses
from pipeline_opt.errors import PlanError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import machine
from pipeline_opt.plan import Plan
from pipeline_opt.profiler.assemble import Observed, share_on_core, stage_records
from pipeline_opt.profiler.attribution import Attribution, attribute
from pipeline_opt.profiler.observer import Observer
from pipeline_opt.profiler.step_log import LoopResult
from pipeline_opt.profiler.subject import Subject
from pipeline_opt.profiler.trace import loses_ended_threads
from pipeline_opt.record import ConsumerInfo, Environment, Intervals, Record, Window
from pipeline_opt.version import VERSION

tf = lazy_module("tensorflow")


SHARING = frozenset({"callable", "keras"})
"""Consumers that work on the same cores, in the same process: its time on a core is theirs, too."""

LONG_WORK = 0.1
"""A piece of work that is this part of a trace window is often cut by its edges, and then is not in the trace."""


def make_record(
    subject: Subject, observer: Observer, result: LoopResult, consumer: ConsumerInfo, *, warmup: int, trace: str
) -> Record:
    """Put everything that was measured together."""
    found = attribute(observer.read(), subject.stages, observer.ahead.spans)
    spans = _windows(found.windows, result)
    seen = Observed(
        costs=found.costs,
        totals=observer.sampler.totals(),
        series=observer.sampler.series(result.start),
        steps=len(result.steps),
        rows=int(result.steps.elements.sum()),
        even=_even(subject),
        drained=_drained(result),
        epochs=len(result.epoch_starts),
        whole=_whole(spans, result),
        scale=_scale(spans, result),
        share_on_core=None if consumer.kind in SHARING else share_on_core(found.costs, observer.on_core_s),
        no_trace=_no_trace(trace, observer, bool(found.windows)),
        no_model=observer.sampler.refusal or "",
    )
    return Record(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=VERSION,
        pipeline_text=text.plan_text(subject.plan),
        fingerprint=text.fingerprint(subject.plan),
        toml=_toml(subject.plan),
        source=subject.source,
        environment=environment(),
        consumer=dataclasses.replace(consumer, double_buffered=subject.buffer_ahead > 0),
        steps=result.steps,
        epoch_starts=result.epoch_starts,
        epochs=result.epochs,
        wall_s=result.wall_s,
        first_batch_s=result.first_batch_s,
        teardown_s=result.teardown_s,
        partial=result.partial,
        partial_reason=result.partial_reason,
        warmup=warmup,
        trace_mode=trace,
        windows=spans,
        intervals=_shifted(found, result.start, spans),
        stages=stage_records(subject.stages, seen),
        knobs=seen.series,
        notes=(*_losses(subject, result), *observer.problems, *_notes(found, spans, seen.whole, result)),
    )


def environment() -> Environment:
    """Versions and machine."""
    here = machine()
    details = {"cpu": here.cpu, "platform": platform.platform()}
    return Environment(str(tf.__version__), platform.python_version(), here.cores, here.ram_bytes, details)


def _windows(windows: list[tuple[float, float]], result: LoopResult) -> tuple[Window, ...]:
    """The windows in run time, cut to the run: what was traced before it began or after it ended does not count."""
    spans = []
    for start_s, end_s in windows:
        start, end = max(0.0, start_s - result.start), min(result.wall_s, end_s - result.start)
        if end > start:
            spans.append(Window(start, end))
    return tuple(spans)


def _shifted(found: Attribution, origin_s: float, spans: tuple[Window, ...]) -> Intervals:
    """The intervals in run time, those inside the windows."""
    intervals = found.intervals
    start, end = intervals.start - origin_s, intervals.end - origin_s
    inside = sum(((start < span.end_s) & (end > span.start_s) for span in spans), start < -math.inf)
    low = spans[0].start_s if spans else 0.0
    high = spans[-1].end_s if spans else 0.0
    return Intervals(
        start[inside].clip(low, high),
        end[inside].clip(low, high),
        intervals.phase[inside],
        intervals.stage[inside],
        intervals.thread[inside],
    )


def _scale(spans: tuple[Window, ...], result: LoopResult) -> float:
    """What to multiply the windows' work with: seconds of the run for each second in a window."""
    inside = sum(span.end_s - span.start_s for span in spans)
    return result.wall_s / inside if inside else 1.0


def _losses(subject: Subject, result: LoopResult) -> tuple[str, ...]:
    """What is missing from the data though nothing failed; a run broken off knows more, and its storage may not answer."""
    return () if result.partial else silent_losses(subject.plan)


def _notes(found: Attribution, spans: tuple[Window, ...], whole: bool, result: LoopResult) -> list[str]:
    notes = []
    mean_s = sum(span.end_s - span.start_s for span in spans) / len(spans) if spans else 0.0
    if spans and not whole and found.longest_s >= LONG_WORK * mean_s:
        notes.append(
            f"Single pieces of work take up to {found.longest_s:.2g} s and trace windows {mean_s:.2g} s: work that was under way "
            "as one opened or closed is not in it, so that extract and transform may be too low. trace='full' sees all of it."
        )
    ends = result.epochs.close_start[:-1]
    if loses_ended_threads() and any(((span.start_s <= ends) & (ends < span.end_s)).any() for span in spans):
        notes.append(
            f"TensorFlow {tf.__version__} drops what threads did that end while a trace window is open, as "
            "those of an epoch do at its end: extract and transform may be too low. Later versions keep it."
        )
    return notes


def _whole(spans: tuple[Window, ...], result: LoopResult) -> bool:
    """Whether one window saw the run from its first to its last moment, and all threads.

    TensorFlow 2.17 loses the events of threads that end inside a window, as those of every iterator but the last do.
    """
    return (
        len(result.epoch_starts) == 1
        and len(spans) == 1
        and spans[0].start_s == 0.0
        and spans[0].end_s == result.wall_s
    )


def _even(subject: Subject) -> bool:
    """Whether the number of rows in a batch is fixed by its type: a last one that is smaller is then dropped."""
    first = next(iter(tf.nest.flatten(subject.dataset.element_spec)), None)
    shape = getattr(first, "shape", None)
    return subject.batched and shape is not None and bool(shape.rank) and shape[0] is not None


def _drained(result: LoopResult) -> bool:
    epochs = result.epochs
    ended = epochs.last_wait_end > epochs.last_wait_start
    return not result.partial and len(epochs) > 0 and bool(ended.all())


def _no_trace(trace: str, observer: Observer, traced: bool) -> str:
    if trace == "off":
        return "the run was made with trace=off"
    if not traced:
        return observer.tracer.refusal or "no trace window could be read"
    return ""


def _toml(plan: Plan) -> str | None:
    try:
        return text.to_toml(plan)
    except PlanError:
        return None
