"""A clock for tests: time passes only when someone sleeps, and then at once.

With several threads it moves on when all of them sleep or wait, to the first moment at which one wakes, so that a test
with threads has the same times every time it runs. Threads that were there before the clock are not counted.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from types import TracebackType

_POLL_S = 0.001


class FakeClock:
    """Seconds from `start`."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._cond = threading.Condition()
        self._main = threading.current_thread()
        self._foreign = set(threading.enumerate()) - {self._main}
        self._until: dict[threading.Thread, float] = {}
        self._waiting: set[threading.Thread] = set()
        self._interrupt_at = math.inf

    def now(self) -> float:
        return self._now

    def cpu(self) -> float:
        """Whoever sleeps works."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Stands for work that takes as long."""
        self.sleep_until(self._now + seconds)

    def sleep_until(self, moment: float) -> None:
        with self._cond:
            self._block(moment, lambda: self._now >= moment)

    def condition(self) -> FakeCondition:
        return FakeCondition(self)

    def interrupt_at(self, moment: float) -> None:
        """Press Ctrl-C: the main thread gets a KeyboardInterrupt if it sleeps or waits then."""
        self._interrupt_at = moment

    def _block(self, until: float, done: Callable[[], bool]) -> None:
        """Wait, with the lock held, until `done`; time may pass up to `until`."""
        me = threading.current_thread()
        deadline = min(until, self._interrupt_at) if me is self._main else until
        try:
            while not done():
                self._until[me] = deadline
                if until == math.inf:
                    self._waiting.add(me)
                self._move_on()
                if me is self._main and self._now >= self._interrupt_at:
                    self._interrupt_at = math.inf
                    raise KeyboardInterrupt
                if not done():
                    self._cond.wait(_POLL_S)
        finally:
            self._until.pop(me, None)
            self._waiting.discard(me)

    def _move_on(self) -> None:
        alive = [t for t in threading.enumerate() if t not in self._foreign]
        if all(thread in self._until for thread in alive):
            first = min(self._until.values())
            assert first < math.inf, "every thread waits for another one"
            if first > self._now:
                self._now = first
                self._cond.notify_all()

    def _wake_waiting(self) -> None:
        for thread in self._waiting:
            self._until[thread] = self._now
        self._cond.notify_all()


class FakeCondition:
    """A condition variable whose waiting threads let the clock's time pass."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def __enter__(self) -> FakeCondition:
        self._clock._cond.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clock._cond.release()

    def wait_for(self, predicate: Callable[[], bool]) -> bool:
        self._clock._block(math.inf, predicate)
        return True

    def notify_all(self) -> None:
        self._clock._wake_waiting()
