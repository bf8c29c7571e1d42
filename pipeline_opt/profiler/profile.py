"""Run a pipeline under a consumer with both instruments on, and make the record of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from pipeline_opt.build.failures import translate
from pipeline_opt.clock import Clock, SystemClock
from pipeline_opt.errors import PipelineOptError, StageError, UsageError
from pipeline_opt.interrupts import no_interrupt
from pipeline_opt.machine import machine
from pipeline_opt.plan import Plan
from pipeline_opt.profiler.arguments import TraceMode
from pipeline_opt.profiler.batches import measurer
from pipeline_opt.profiler.consumers import Consumer, as_consumer
from pipeline_opt.profiler.loop import Limits, run_loop
from pipeline_opt.profiler.making import make_record
from pipeline_opt.profiler.observer import Observer
from pipeline_opt.profiler.pacing import Pacing
from pipeline_opt.profiler.recorder import LoopRecorder
from pipeline_opt.profiler.running import Running
from pipeline_opt.profiler.step_log import LoopResult, StepLog
from pipeline_opt.profiler.subject import Subject, prepare
from pipeline_opt.record import ConsumerInfo, Record

ENDLESS_S = 20.0
"""How long a run of endless data lasts if nobody says."""

Progress = Callable[[int, float], None]
"""Called between steps with the steps done and the seconds since the start."""


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
    on_start: Callable[[Running], None] | None = None,
    on_reading: Callable[[], None] | None = None,
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
        on_start: Called before the first step with what another thread may ask of the run.
        on_reading: Called after the last step, before traces are read.

    Raises:
        UsageError: An argument is out of range.
        PlanError, SourceError: The pipeline cannot be built.
        StageError: The pipeline or the step failed while it ran; `error.record` holds what was measured until then. Ctrl-C
            raises nothing: the record is partial.
    """
    _require_valid(trace, warmup)
    clock = clock or SystemClock()
    taker = as_consumer(consumer, clock)
    subject = prepare(pipeline, emulated=taker.info.kind == "accelerator")
    notes = () if subject.batched else taker.take_whole()
    limits = _limits(subject.endless, steps, seconds, epochs, max_seconds)
    observer = _observer(subject, trace, clock, seconds)
    log = StepLog(clock.now())

    def finish(result: LoopResult) -> Record:
        record = _finish(subject, observer, result, taker.info, warmup, trace)
        return dataclasses.replace(record, notes=(*record.notes, *notes))

    if on_start is not None:
        on_start(Running(log, clock, finish))
    result = _run(subject, taker, clock, limits, observer, on_progress, log)
    if on_reading is not None:
        on_reading()
    record = finish(result)
    _raise_failure(result, subject.plan, record)
    return record


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
        self._recorder = LoopRecorder(
            measurer(self._subject.dataset.element_spec, self._subject.batched),
            self._clock,
            on_step=lambda _count, _now, elements: self._observer.on_step(elements),
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
        result = self._recorder.result
        consumer = ConsumerInfo("callable", "the user's loop")
        self._record = _finish(self._subject, self._observer, result, consumer, self._warmup, self._trace)

    @property
    def record(self) -> Record:
        """What was measured; also after an exception in the loop, marked as partial.

        Raises:
            UsageError: The block has not ended.
        """
        if self._record is None:
            raise UsageError("there is no record before the end of the `with` block")
        return self._record


def _run(
    subject: Subject,
    consumer: Consumer,
    clock: Clock,
    limits: Limits,
    observer: Observer,
    on_progress: Progress | None,
    log: StepLog,
) -> LoopResult:
    def on_step(count: int, elapsed_s: float, elements: int) -> None:
        observer.on_step(elements)
        if on_progress is not None:
            on_progress(count, elapsed_s)

    observer.start()
    try:
        return run_loop(
            lambda: iter(subject.dataset),
            consumer,
            clock,
            limits,
            measurer(subject.dataset.element_spec, subject.batched),
            on_step=on_step,
            on_iterator=observer.on_iterator,
            close_iterator=lambda _: observer.on_close(),
            buffer_ahead=subject.buffer_ahead,
            log=log,
        )
    except BaseException:
        observer.discard("the run was broken off")
        raise


def _finish(
    subject: Subject, observer: Observer, result: LoopResult, consumer: ConsumerInfo, warmup: int, trace: str
) -> Record:
    """The record of a run that is over. Reading traces takes time: Ctrl-C ends it, and the rest is kept."""
    try:
        observer.stop()
        return make_record(subject, observer, result, consumer, warmup=warmup, trace=trace)
    except KeyboardInterrupt:
        reason = result.partial_reason or "interrupted while traces were read"
        result = dataclasses.replace(result, partial=True, partial_reason=reason)
        with no_interrupt(later=False):
            observer.discard("the traces were not read: interrupted")
            return make_record(subject, observer, result, consumer, warmup=warmup, trace=trace)
    finally:
        observer.tracer.close()


def _require_valid(trace: str, warmup: int) -> None:
    if trace not in ("auto", "full", "off"):
        raise UsageError(f"trace={trace!r} is out of range; valid: 'auto', 'full', 'off'")
    if not isinstance(warmup, int) or warmup < 0:
        raise UsageError(f"warmup={warmup!r} is out of range; valid: a whole number from 0")


def _observer(subject: Subject, trace: TraceMode, clock: Clock, expected_s: float | None) -> Observer:
    return Observer(subject.stages, clock, Pacing(trace, machine().cores, expected_s))


def _limits(
    endless: bool, steps: int | None, seconds: float | None, epochs: int | None, max_seconds: float | None
) -> Limits:
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
    failure = _failure(error, result.failed_in, plan)
    # Until here the reason ends with TensorFlow's own words.
    when = (record.partial_reason or "").partition(":")[0]
    failure.record = dataclasses.replace(record, partial_reason=f"{when}: {failure}")
    raise failure from error


def _failure(error: BaseException, failed_in: str | None, plan: Plan) -> PipelineOptError:
    if isinstance(error, PipelineOptError):
        return error
    if failed_in == "profiler":
        return StageError(f"what is called after each step failed: {type(error).__name__}: {error}", "profiler")
    if failed_in == "step":
        return StageError(f"the training step failed: {type(error).__name__}: {error}", "train")
    return translate(error, plan)
