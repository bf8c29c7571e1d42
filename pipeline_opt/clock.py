"""Where time comes from: a clock that is passed in, so that tests need not wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

MOST_LATE_S: Final = 2e-4
"""The longest time by which a sleep is cut short, in expectation of waking late."""


class Condition(AbstractContextManager[Any], Protocol):
    """The part of `threading.Condition` that this package waits with."""

    def wait_for(self, predicate: Callable[[], bool]) -> bool:
        """Wait until the predicate holds; call it with the lock held."""
        ...

    def notify_all(self) -> None:
        """Wake every thread that waits."""
        ...


class Clock(Protocol):
    """Seconds that only go forward, and ways to let them pass."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        ...

    def cpu(self) -> float:
        """Seconds of a core that this process, all its threads together, has used since some fixed moment."""
        ...

    def sleep_until(self, moment: float) -> None:
        """Return once `now()` has reached `moment`; at once if it has already."""
        ...

    def condition(self) -> Condition:
        """A condition variable whose waiting threads this clock knows of."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    now = staticmethod(time.perf_counter)
    cpu = staticmethod(time.process_time)

    def __init__(self) -> None:
        self._late = 0.0

    def sleep_until(self, moment: float) -> None:
        """Sleep without using the CPU, and wake at the moment as nearly as can be.

        A sleep wakes late by what it takes to be scheduled again, some 0.1 ms, which is much for a step of 3 ms. So this
        aims earlier by what has been usual, and gives the core to whoever wants it for what may be left.
        """
        while (remaining := moment - self.now()) > 0:
            if remaining <= self._late:
                time.sleep(0)
                continue
            aim = moment - self._late
            time.sleep(remaining - self._late)
            self._late += (min(max(self.now() - aim, 0.0), MOST_LATE_S) - self._late) / 8

    def condition(self) -> Condition:
        """A plain `threading.Condition`."""
        return threading.Condition()
