"""What the measuring loop writes down, and what becomes of it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pipeline_opt.record import Epochs, Steps

Place = Literal["pipeline", "step", "profiler"]
"""Where a run failed."""

_FIELDS: Final = 8
_TRAIN_END: Final = 5


@dataclass(frozen=True)
class LoopResult:
    """What a loop measured. Times are seconds from `start`, which is a reading of its clock.

    Args:
        steps: The steps that were completed.
        epoch_starts: The steps at which an iterator began.
        epochs: The iterators.
        start: When the first iterator was asked for, by the clock.
        wall_s: From the start to the end of the last step, or of the wait for data after it.
        first_batch_s: From the start to the first batch; None if there was none.
        teardown_s: Seconds that ending the iterators took, all of them.
        partial: Whether the run ended before what was asked for.
        partial_reason: A sentence that says why, or None.
        error: What was raised, or None.
        failed_in: Where it was raised, or None.
    """

    steps: Steps
    epoch_starts: tuple[int, ...]
    epochs: Epochs
    start: float
    wall_s: float
    first_batch_s: float | None
    teardown_s: float
    partial: bool = False
    partial_reason: str | None = None
    error: BaseException | None = None
    failed_in: Place | None = None


@dataclass
class EpochLog:
    """One iterator, in readings of the clock."""

    first_step: int
    start: float
    last_wait: tuple[float, float] | None = None
    close_start: float | None = None
    close_end: float | None = None


class StepLog:
    """Collects steps and epochs, in readings of the clock. Another thread may read it in the meantime.

    Args:
        start: When the run began.

    Attributes:
        at: Where it is.
        closed: Whether it is over.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._rows = array("d")
        self._epochs: list[EpochLog] = []
        self.start = start
        self.at: Place = "pipeline"
        self.closed = False

    def __len__(self) -> int:
        return len(self._rows) // _FIELDS

    @property
    def last(self) -> float:
        """When something last came to its end: a step, or the time before an iterator."""
        ends = [*self._rows[-_FIELDS:][_TRAIN_END : _TRAIN_END + 1], *(epoch.start for epoch in self._epochs[-1:])]
        return max(ends, default=self.start)

    def add(
        self,
        wait_start: float,
        wait_end: float,
        load_start: float,
        load_end: float,
        train_start: float,
        train_end: float,
        elements: int,
        nbytes: int,
    ) -> None:
        """Add a completed step."""
        # One call: an interrupt cannot leave half of a row.
        row = (wait_start, wait_end, load_start, load_end, train_start, train_end, elements, nbytes)
        self._rows.extend(row)

    def drop_unfinished(self, now: float) -> None:
        """Forget the steps that a device has not finished by now: the run is over, and they will not be."""
        while self._rows and self._rows[-_FIELDS + _TRAIN_END] > now:
            del self._rows[-_FIELDS:]

    def begin_epoch(self, now: float) -> EpochLog:
        """Note that an iterator is asked for; the caller fills in the rest."""
        epoch = EpochLog(len(self), now)
        self._epochs.append(epoch)
        return epoch

    def result(
        self, reason: str | None, error: BaseException | None = None, failed_in: Place | None = None
    ) -> LoopResult:
        """Everything measured, counted from the start; `reason` says why it is partial, None if it is not."""
        start = self.start
        columns = np.array(self._rows, np.float64).reshape(-1, _FIELDS).T
        a, b, c, d, e, f = (np.ascontiguousarray(column) - start for column in columns[:6])
        elements, nbytes = (column.astype(np.int64) for column in columns[6:])
        steps = Steps(a, b, c, d, e, f, elements, nbytes)
        epochs = self._epoch_arrays(steps)
        ends = [*steps.train_end[-1:], *epochs.last_wait_end[-1:], 0.0]
        return LoopResult(
            steps=steps,
            epoch_starts=tuple(min(epoch.first_step, len(steps)) for epoch in self._epochs),
            epochs=epochs,
            start=start,
            wall_s=float(max(ends)),
            first_batch_s=float(steps.wait_end[0]) if len(steps) else None,
            teardown_s=float(np.sum(epochs.close_end - epochs.close_start)),
            partial=reason is not None,
            partial_reason=reason,
            error=error,
            failed_in=failed_in,
        )

    def _epoch_arrays(self, steps: Steps) -> Epochs:
        columns: list[tuple[float, ...]] = []
        for i, epoch in enumerate(self._epochs):
            end = min(self._epochs[i + 1].first_step, len(steps)) if i + 1 < len(self._epochs) else len(steps)
            done = float(steps.train_end[end - 1]) + self.start if end > epoch.first_step else epoch.start
            closed = done if epoch.close_start is None else epoch.close_start
            ended = closed if epoch.close_end is None else epoch.close_end
            columns.append((epoch.start, *(epoch.last_wait or (done, done)), closed, ended))
        rows = np.array(columns, np.float64).reshape(-1, 5) - self.start
        a, b, c, d, e = (np.ascontiguousarray(column) for column in rows.T)
        return Epochs(a, b, c, d, e)
