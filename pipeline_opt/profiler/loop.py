"""The measuring loop: fetch, load, train, and write down when."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline_opt.clock import Clock
from pipeline_opt.errors import UsageError
from pipeline_opt.profiler.consumers import Consumer
from pipeline_opt.profiler.feeds import BufferedFeed, DirectFeed, Feed, MeasureBatch, release_frames
from pipeline_opt.profiler.step_log import EpochLog, LoopResult, Place, StepLog

OnStep = Callable[[int, float, int], None]
"""Called after each step with the steps done, the seconds since the start, and the elements that the step took."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a run ends. The first limit reached ends it; without any, it is one epoch.

    Args:
        steps: Steps to take, from 0. Where the data ends earlier, it is gone through again, unless `epochs` says no.
        seconds: Seconds after which no further step begins. Where the data ends earlier, likewise.
        epochs: Times to go through the data, each with a new iterator.
        max_seconds: As `seconds`, but as a safeguard: a run that it ends is partial.

    A limit is looked at between steps: a step or a wait under way is not broken off.

    Raises:
        UsageError: a limit is out of range.
    """

    steps: int | None = None
    seconds: float | None = None
    epochs: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("epochs", 1)):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and value >= least):
                raise UsageError(f"{name}={value!r} is out of range; valid: a whole number from {least}, or None")
        for name in ("seconds", "max_seconds"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise UsageError(f"{name}={value!r} is out of range; valid: seconds above 0, or None")


def run_loop(
    make_iterator: Callable[[], Iterator[Any]],
    consumer: Consumer,
    clock: Clock,
    limits: Limits,
    measure_batch: MeasureBatch,
    on_step: OnStep | None = None,
    on_iterator: Callable[[Iterator[Any]], None] | None = None,
    close_iterator: Callable[[Iterator[Any]], None] | None = None,
    buffer_ahead: int = 0,
    log: StepLog | None = None,
) -> LoopResult:
    """Feed a consumer from a pipeline and measure when it waits, loads and trains.

    What goes wrong in the pipeline or the step, Ctrl-C included, ends the run and is in the result with what was
    measured until then; a step under way counts only once it is complete.

    Args:
        make_iterator: Gives a new iterator over the data; called once an epoch. It should keep no reference to it.
        consumer: What takes the batches.
        clock: Where time comes from.
        limits: When to stop.
        measure_batch: Elements and bytes of a batch.
        on_step: Called between steps; its time is the loop's overhead.
        on_iterator: Called with every new iterator.
        close_iterator: Called with every iterator before it is let go; both are timed as teardown.
        buffer_ahead: Batches that a thread loads while the device computes, as `prefetch_to_device(buffer_size)` does;
            0: loading follows fetching, in the loop.
        log: Where steps are written down.
    """
    log = StepLog() if log is None else log
    log.start = clock.now()
    if limits.steps == 0:
        return log.result(None)
    hooks = _Hooks(measure_batch, on_step, on_iterator, close_iterator)
    return _Loop(make_iterator, consumer, clock, limits, hooks, buffer_ahead, log).run()


@dataclass(frozen=True)
class _Hooks:
    measure_batch: MeasureBatch
    on_step: OnStep | None
    on_iterator: Callable[[Iterator[Any]], None] | None
    close_iterator: Callable[[Iterator[Any]], None] | None


class _Loop:
    def __init__(
        self,
        make_iterator: Callable[[], Iterator[Any]],
        consumer: Consumer,
        clock: Clock,
        limits: Limits,
        hooks: _Hooks,
        ahead: int,
        log: StepLog,
    ) -> None:
        self._make_iterator = make_iterator
        self._consumer = consumer
        self._clock = clock
        self._limits = limits
        self._hooks = hooks
        self._ahead = ahead
        self._log = log
        self._count = 0
        self._reason: str | None = None

    def run(self) -> LoopResult:
        self._consumer.hold(self._ahead + 1)
        self._log.start = self._clock.now()
        error: BaseException | None = None
        try:
            self._run_epochs()
            self._log.at = "step"
            self._consumer.finish()
        except (Exception, KeyboardInterrupt) as raised:  # noqa: BLE001  handed to the caller with what was measured
            error = raised
            self._log.drop_unfinished(self._clock.now())
            self._reason = describe_failure(raised, self._log.at, len(self._log))
        self._log.closed = True
        return self._log.result(self._reason, error, self._log.at if error else None)

    def _run_epochs(self) -> None:
        limits = self._limits
        endless = limits.epochs is None and (limits.steps is not None or limits.seconds is not None)
        epochs = 0
        while endless or epochs < (limits.epochs or 1):
            before = self._count
            self._run_epoch()
            epochs += 1
            if self._reached_limit():
                return
            if endless and self._count == before:
                self._reason = f"the pipeline gave no batch after {_steps(self._count)}"
                return

    def _run_epoch(self) -> None:
        epoch = self._log.begin_epoch(self._clock.now())
        iterator: Iterator[Any] | None = None
        feed: Feed | None = None
        self._log.at = "pipeline"
        try:
            iterator = self._make_iterator()
            if self._hooks.on_iterator:
                self._hooks.on_iterator(iterator)
            feed = self._make_feed(iterator)
            self._run_steps(feed, epoch)
        except BaseException as error:
            release_frames(error)
            raise
        finally:
            try:
                if feed is not None:
                    # It waits for the batch under way, which is no part of ending the iterator.
                    feed.close()
            finally:
                epoch.close_start = self._clock.now()
                if iterator is not None and self._hooks.close_iterator:
                    self._hooks.close_iterator(iterator)
                iterator = None
                epoch.close_end = self._clock.now()

    def _make_feed(self, iterator: Iterator[Any]) -> Feed:
        if self._ahead:
            return BufferedFeed(iterator, self._consumer, self._clock, self._hooks.measure_batch, self._ahead)
        return DirectFeed(iterator, self._consumer, self._clock, self._hooks.measure_batch)

    def _run_steps(self, feed: Feed, epoch: EpochLog) -> None:
        now, take, release, log = self._clock.now, feed.take, feed.release, self._log
        train, trains, on_step = self._consumer.train, self._consumer.trains, self._hooks.on_step
        while True:
            log.at = "pipeline"
            wait_start = now()
            try:
                batch, elements, nbytes, arrived, load_start, load_end = take()
            except BaseException as error:
                epoch.last_wait = (wait_start, now())
                if isinstance(error, StopIteration):
                    return
                raise
            train_start = train_end = arrived if arrived > load_end else load_end
            if trains:
                log.at = "step"
                train_start = now()
                on_device = train(batch, elements)
                train_end = now()
                if on_device is not None:
                    train_start, train_end = on_device
            release(train_end)
            log.add(wait_start, arrived, load_start, load_end, train_start, train_end, elements, nbytes)
            self._count += 1
            if on_step is not None:
                log.at = "profiler"
                on_step(self._count, now() - log.start, elements)
            if self._reached_limit():
                return

    def _reached_limit(self) -> bool:
        limits = self._limits
        if limits.steps is not None and self._count >= limits.steps:
            return True
        if limits.seconds is None and limits.max_seconds is None:
            return False
        elapsed = self._clock.now() - self._log.start
        if limits.seconds is not None and elapsed >= limits.seconds:
            return True
        if limits.max_seconds is not None and elapsed >= limits.max_seconds:
            self._reason = f"the time limit of {limits.max_seconds:g} s was reached after {_steps(self._count)}"
            return True
        return False


def describe_failure(error: BaseException, at: Place, steps: int) -> str:
    """Why a run is partial, in a sentence."""
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted after {_steps(steps)}"
    lines = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return f"the {at} failed after {_steps(steps)}: {said}"


def _steps(count: int) -> str:
    return f"{count} step" if count == 1 else f"{count} steps"
