"""The measuring loop turned inside out: around a loop that is the user's own."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from pipeline_opt.clock import Clock, SystemClock
from pipeline_opt.errors import UsageError
from pipeline_opt.profiler.feeds import MeasureBatch
from pipeline_opt.profiler.loop import OnStep, describe_failure
from pipeline_opt.profiler.step_log import EpochLog, LoopResult, StepLog

T = TypeVar("T")

_Row = tuple[float, float, float, float, float, float, int, int]


class LoopRecorder:
    """Measures a training loop that it does not run.

        with LoopRecorder(measure_batch) as recorder:
            for epoch in range(3):
                for batch in recorder.iterate(dataset):
                    train_step(batch)
        recorder.result

    A step's training is from the moment it gets a batch to the moment it asks for the next; loading cannot be told
    from it. What the loop does between epochs is neither wait nor training. A step that raises does not count, one that
    ends in `break` does.

    Args:
        measure_batch: Elements and bytes of a batch.
        clock: Where time comes from.
        on_step: Called after each step with the steps done, the seconds since the start, and the elements that it took.
        on_iterator: Called with every new iterator.
        close_iterator: Called with every iterator before it is let go.
    """

    def __init__(
        self,
        measure_batch: MeasureBatch,
        clock: Clock | None = None,
        on_step: OnStep | None = None,
        on_iterator: Callable[[Iterator[Any]], None] | None = None,
        close_iterator: Callable[[Iterator[Any]], None] | None = None,
    ) -> None:
        self._measure = measure_batch
        self._clock = clock or SystemClock()
        self._on_step = on_step
        self._on_iterator = on_iterator
        self._close_iterator = close_iterator
        self._log = StepLog()
        self._begun = False
        self._log.at = "step"
        self._last: _Row | None = None
        self._open: Callable[[], Generator[Any, None, None] | None] = lambda: None
        self._result: LoopResult | None = None

    @property
    def result(self) -> LoopResult:
        """What was measured; there once the `with` block has ended.

        Raises:
            UsageError: the block has not ended.
        """
        if self._result is None:
            raise UsageError("there is no result before the end of the `with` block")
        return self._result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unfinished = self._open()
        if unfinished is not None:
            unfinished.close()
        if error is None:
            self._commit_last()
        reason = describe_failure(error, self._log.at, len(self._log)) if error is not None else None
        self._begin(self._clock.now())
        self._result = self._log.result(reason, error, self._log.at if error is not None else None)

    def iterate(self, dataset: Iterable[T]) -> Iterator[T]:
        """The elements of `dataset`, once through, each one step."""
        self._commit_last()
        batches = self._iterate(dataset)
        self._open = weakref.ref(batches)
        return batches

    def _iterate(self, dataset: Iterable[T]) -> Generator[T, None, None]:
        now = self._clock.now
        epoch = self._log.begin_epoch(now())
        self._begin(epoch.start)
        self._log.at = "pipeline"
        # The only reference, in a list: a frame that is being left would keep a variable's value alive.
        held: list[Iterator[T]] = []
        try:
            held.append(iter(dataset))
            if self._on_iterator:
                self._on_iterator(held[0])
            yield from self._steps(held, epoch)
        finally:
            epoch.close_start = now()
            if held and self._close_iterator:
                self._close_iterator(held[0])
            held.clear()
            epoch.close_end = now()

    def _steps(self, held: list[Iterator[T]], epoch: EpochLog) -> Generator[T, None, None]:
        now = self._clock.now
        while True:
            self._log.at = "pipeline"
            wait_start = now()
            try:
                batch = next(held[0])
            except BaseException as error:
                epoch.last_wait = (wait_start, now())
                if isinstance(error, StopIteration):
                    self._log.at = "step"
                    return
                raise
            arrived = now()
            elements, nbytes = self._measure(batch)
            self._log.at = "step"
            train_start = now()
            try:
                yield batch
            except GeneratorExit:
                # `break`, or an error in the step: which of the two is known later.
                self._last = (wait_start, arrived, arrived, arrived, train_start, now(), elements, nbytes)
                raise
            self._log.add(wait_start, arrived, arrived, arrived, train_start, now(), elements, nbytes)
            if self._on_step is not None:
                self._on_step(len(self._log), now() - self._log.start, elements)

    def _begin(self, now_s: float) -> None:
        if not self._begun:
            self._begun, self._log.start = True, now_s

    def _commit_last(self) -> None:
        if self._last is not None:
            self._log.add(*self._last)
            self._last = None
