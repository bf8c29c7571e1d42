"""Where time comes from: a clock that is passed in, so that tests need not wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol


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

    def sleep_until(self, moment: float) -> None:
        """Return once `now()` has reached `moment`; at once if it has already."""
        ...

    def condition(self) -> Condition:
        """A condition variable whose waiting threads this clock knows of."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    now = staticmethod(time.perf_counter)

    def sleep_until(self, moment: float) -> None:
        """Sleep without using the CPU; a sleep that ends early is repeated, one that ends late is not undone.

        Callers aim at deadlines on a time line of their own, so that lateness does not add up.
        """
        while (remaining := moment - self.now()) > 0:
            time.sleep(remaining)

    def condition(self) -> Condition:
        """A plain `threading.Condition`."""
        return threading.Condition()
