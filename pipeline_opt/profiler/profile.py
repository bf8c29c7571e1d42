"""Run a pipeline under a consumer with both instruments on, and make the record of it."""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from pipeline_opt import text
from pipeline_opt.build.dataset import build, stage_names
from pipeline_opt.build.failures import translate
from pipeline_opt.clock import Clock, SystemClock
from pipeline_opt.errors import PipelineOptError, PlanError, StageError, UsageError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import machine
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.profiler.arguments import TraceMode
from pipeline_opt.profiler.assemble import Observed, stage_records
from pipeline_opt.profiler.attribution import Attribution, attribute
from pipeline_opt.profiler.batches import measurer
from pipeline_opt.profiler.consumers import Consumer, as_consumer
from pipeline_opt.profiler.graph import Node, nodes_of
from pipeline_opt.profiler.loop import Limits, run_loop
from pipeline_opt.profiler.observer import Observer
from pipeline_opt.profiler.pacing import Pacing
from pipeline_opt.profiler.recorder import LoopRecorder
from pipeline_opt.profiler.stagemap import StageMap, from_nodes, from_plan
from pipeline_opt.profiler.step_log import LoopResult
from pipeline_opt.profiler.trace import WindowEvents
from pipeline_opt.record import ConsumerInfo, Environment, Intervals, Record, SourceInfo, Window
from pipeline_opt.sources import FileSource, OpaqueDataset, Source
from pipeline_opt.stages import BATCHING, PrefetchToDevice, Unbatch
from pipeline_opt.storage import resolve
from pipeline_opt.version import VERSION

tf = lazy_module("tensorflow")

ENDLESS_S = 20.0
"""How long a run of endless data lasts if nobody says."""

Progress = Callable[[int, float], None]
"""Called between steps with the steps done and the seconds since the start."""


@dataclass(frozen=True)
class Subject:
    """What is profiled: a plan, the dataset that it makes, and the stages to charge.

    Args:
        plan: The plan; of an existing dataset, one with an opaque source.
        dataset: What the loop iterates over.
        stages: Its stages.
        batched: Whether it yields batches.
        buffer_ahead: Batches that the profiler itself loads ahead, in place of a stage that needs a real device.
    """

    plan: Plan
    dataset: Any
    stages: StageMap
    batched: bool
    buffer_ahead: int = 0


def profile(
    pipeline: Any,
    consumer: Any = None,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    epochs: int | None = None,
    max_seconds: float | None = None,
    warmup: int = 1,
    trace: TraceMode = "auto",
    clock: Clock | None = None,
    on_progress: Progress | None = None,
) -> Record:
    """Run a pipeline and measure where its time goes.

    Args:
        pipeline: A plan or any `tf.data.Dataset`.
        consumer: What takes the batches: None to drain as fast as possible, a function of a batch, a compiled Keras model, an
            `Accelerator`, or its text form.
        steps: Steps to take.
        seconds: Seconds after which no further step begins.
        epochs: Times to go through the data. Without any limit it is one, or 20 seconds if the data is endless.
        max_seconds: As `seconds`, as a safeguard: a run that it ends is partial.
        warmup: Steps that rates leave out; the first one always is.
        trace: `auto` opens short trace windows over the run, `full` traces all of it, `off` leaves phases unknown.
        clock: Where time comes from.
        on_progress: Called between steps.

    Raises:
        UsageError: An argument is out of range.
        PlanError, SourceError: The pipeline cannot be built.
        StageError: The pipeline or the step failed while it ran; `error.record` holds what was measured until then. Ctrl-C
            raises nothing: the record is partial.
    """
    if trace not in ("auto", "full", "off"):
        raise UsageError(f"trace={trace!r} is out of range; valid: 'auto', 'full', 'off'")
    clock = clock or SystemClock()
    taker = as_consumer(consumer, clock)
    subject = prepare(pipeline, emulated=taker.info.kind == "accelerator")
    limits = _limits(subject.dataset, steps, seconds, epochs, max_seconds)
    observer = _observer(subject, trace, clock, seconds)
    result = _run(subject, taker, clock, limits, observer, on_progress)
    record = make_record(subject, observer, result, taker.info, warmup=warmup, trace=trace)
    _raise_failure(result, subject.plan, record)
    return record


def prepare(pipeline: Any, *, emulated: bool = False) -> Subject:
    """Build what is to be profiled.

    Args:
        pipeline: A plan or a dataset.
        emulated: Whether the consumer is an emulated accelerator, which takes the place of the device that a last
            `prefetch_to_device` stage names.
    """
    plan = pipeline if isinstance(pipeline, Plan) else Plan(OpaqueDataset(dataset=_dataset(pipeline)))
    built, ahead = _without_device(plan) if emulated else (plan, 0)
    dataset = build(built)
    nodes = nodes_of(dataset)
    opaque = _is_opaque(plan.source)
    stages = from_nodes(nodes) if opaque and nodes else from_plan(built, stage_names(built))
    return Subject(plan, dataset, stages, _batched(plan, nodes if opaque else []), ahead)


def make_record(
    subject: Subject, observer: Observer, result: LoopResult, consumer: ConsumerInfo, *, warmup: int, trace: str
) -> Record:
    """Put everything that was measured together."""
    windows = observer.read()
    found = attribute(windows, subject.stages)
    spans = _windows(windows, result)
    seen = Observed(
        costs=found.costs,
        totals=observer.sampler.totals(),
        series=observer.sampler.series(result.start),
        steps=len(result.steps),
        rows=int(result.steps.elements.sum()),
        drained=_drained(result),
        epochs=len(result.epoch_starts),
        scale=_scale(spans, result),
        share_on_core=observer.share_on_core,
        no_trace=_no_trace(trace, observer, windows),
        no_model=observer.sampler.refusal or "",
    )
    return Record(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=VERSION,
        pipeline_text=text.plan_text(subject.plan),
        fingerprint=text.fingerprint(subject.plan),
        toml=_toml(subject.plan),
        source=source_info(subject.plan.source),
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
        notes=tuple(observer.problems),
    )


def source_info(source: Source) -> SourceInfo:
    """What a source reads, as far as it can be known without reading it."""
    if isinstance(source, FileSource):
        resolved = resolve(source)
        uri = ", ".join(source.paths)
        scheme = uri.partition("://")[0] if "://" in uri else "file"
        return SourceInfo(uri, scheme, len(resolved.files), resolved.bytes)
    if isinstance(source, Combination):
        inner = [source_info(plan.source) for plan in source.plans]
        schemes = sorted({info.scheme for info in inner})
        return SourceInfo(f"{source.kind} of {len(inner)}", "+".join(schemes))
    return SourceInfo(source.kind, "memory" if source.kind == "tensors" else "dataset")


def environment() -> Environment:
    """Versions and machine."""
    here = machine()
    details = {"cpu": here.cpu, "platform": platform.platform()}
    return Environment(str(tf.__version__), platform.python_version(), here.cores, here.ram_bytes, details)


class Profiling:
    """Profiles a training loop that belongs to the user.

    Example:
        with po.profiling(dataset) as profiling:
            for batch in profiling:
                train_step(batch)
        profiling.record
    """

    def __init__(
        self, pipeline: Any, *, warmup: int = 1, trace: TraceMode = "auto", clock: Clock | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self._subject = prepare(pipeline)
        self._warmup, self._trace = warmup, trace
        self._observer = _observer(self._subject, trace, self._clock, None)
        measure = _Counting(self._subject.batched)
        self._recorder = LoopRecorder(
            measure,
            self._clock,
            on_step=lambda _count, _now: self._observer.on_step(measure.last),
            on_iterator=self._observer.on_iterator,
            close_iterator=lambda _: self._observer.on_close(),
        )
        self._record: Record | None = None

    def __enter__(self) -> Self:
        self._observer.start()
        self._recorder.__enter__()
        return self

    def __iter__(self) -> Iterator[Any]:
        """One epoch over the pipeline; may be called again for the next."""
        return self._recorder.iterate(self._subject.dataset)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recorder.__exit__(kind, error, trace)
        self._observer.stop()
        result = self._recorder.result
        consumer = ConsumerInfo("callable", "the user's loop")
        self._record = make_record(
            self._subject, self._observer, result, consumer, warmup=self._warmup, trace=self._trace
        )

    @property
    def record(self) -> Record:
        """What was measured; also after an exception in the loop, marked as partial.

        Raises:
            UsageError: The block has not ended.
        """
        if self._record is None:
            raise UsageError("there is no record before the end of the `with` block")
        return self._record


class _Counting:
    """Measures batches, and remembers the elements of the last."""

    def __init__(self, batched: bool) -> None:
        self._measure = measurer(batched)
        self.last = 0

    def __call__(self, batch: Any) -> tuple[int, int]:
        measured = self._measure(batch)
        self.last = measured[0]
        return measured


def _run(
    subject: Subject,
    consumer: Consumer,
    clock: Clock,
    limits: Limits,
    observer: Observer,
    on_progress: Progress | None,
) -> LoopResult:
    measure = _Counting(subject.batched)

    def on_step(count: int, elapsed_s: float) -> None:
        observer.on_step(measure.last)
        if on_progress is not None:
            on_progress(count, elapsed_s)

    observer.start()
    try:
        return run_loop(
            lambda: iter(subject.dataset),
            consumer,
            clock,
            limits,
            measure,
            on_step=on_step,
            on_iterator=observer.on_iterator,
            close_iterator=lambda _: observer.on_close(),
            buffer_ahead=subject.buffer_ahead,
        )
    finally:
        observer.stop()


def _observer(subject: Subject, trace: TraceMode, clock: Clock, expected_s: float | None) -> Observer:
    return Observer(subject.stages, clock, Pacing(trace, machine().cores, expected_s))


def _limits(
    dataset: Any, steps: int | None, seconds: float | None, epochs: int | None, max_seconds: float | None
) -> Limits:
    endless = dataset.cardinality().numpy() == tf.data.INFINITE_CARDINALITY
    if endless and epochs is not None and steps is None and seconds is None:
        raise UsageError(f"epochs={epochs}: the data is endless; valid: steps or seconds")
    if endless and steps is None and seconds is None and max_seconds is None:
        seconds = ENDLESS_S
    return Limits(steps=steps, seconds=seconds, epochs=epochs, max_seconds=max_seconds)


def _raise_failure(result: LoopResult, plan: Plan, record: Record) -> None:
    """Raise what ended the run, with the record; Ctrl-C is no failure."""
    error = result.error
    if error is None or isinstance(error, KeyboardInterrupt):
        return
    if result.failed_in == "profiler":
        raise error
    failure = _failure(error, result.failed_in, plan)
    failure.record = record
    raise failure from error


def _failure(error: BaseException, failed_in: str | None, plan: Plan) -> PipelineOptError:
    if isinstance(error, PipelineOptError):
        return error
    if failed_in == "step":
        return StageError(f"the training step failed: {type(error).__name__}: {error}", "train")
    return translate(error, plan)


def _dataset(value: Any) -> Any:
    if isinstance(value, tf.data.Dataset):
        return value
    raise UsageError(f"cannot profile {type(value).__name__}; valid: a Pipeline or a tf.data.Dataset")


def _is_opaque(source: Source) -> bool:
    return isinstance(source, OpaqueDataset) or (
        isinstance(source, Combination) and any(_is_opaque(plan.source) for plan in source.plans)
    )


def _without_device(plan: Plan) -> tuple[Plan, int]:
    """The plan without a last prefetch_to_device, and the buffers that it asked for."""
    devices = [stage for stage in plan.stages if isinstance(stage, PrefetchToDevice)]
    kept = [stage for stage in plan.stages if not isinstance(stage, PrefetchToDevice)]
    return plan.with_stages(kept), devices[-1].buffer_size if devices else 0


def _batched(plan: Plan, nodes: list[Node]) -> bool:
    """Whether the last thing that batches or unbatches is a batch."""
    kinds = [node.kind for node in nodes] + [stage.kind for stage in plan.stages]
    batching = {stage.kind for stage in BATCHING}
    last = next((kind for kind in reversed(kinds) if kind in batching or kind == Unbatch.kind), "")
    if last:
        return last in batching
    return isinstance(plan.source, Combination) and all(_batched(inner, []) for inner in plan.source.plans)


def _windows(windows: list[WindowEvents], result: LoopResult) -> tuple[Window, ...]:
    """The windows in run time, cut to the run: what was traced before it began or after it ended does not count."""
    spans = []
    for window in windows:
        start, end = max(0.0, window.start_s - result.start), min(result.wall_s, window.end_s - result.start)
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
    """What to multiply the windows' work with: steps of the run for each step that ended inside a window."""
    ends = result.steps.train_end
    inside = sum(int(((ends >= span.start_s) & (ends <= span.end_s)).sum()) for span in spans)
    return len(ends) / inside if inside else 1.0


def _drained(result: LoopResult) -> bool:
    epochs = result.epochs
    ended = epochs.last_wait_end > epochs.last_wait_start
    return not result.partial and len(epochs) > 0 and bool(ended.all())


def _no_trace(trace: str, observer: Observer, windows: list[WindowEvents]) -> str:
    if trace == "off":
        return "the run was made with trace=off"
    if not windows:
        return observer.tracer.refusal or "no trace window could be read"
    return ""


def _toml(plan: Plan) -> str | None:
    try:
        return text.to_toml(plan)
    except PlanError:
        return None
