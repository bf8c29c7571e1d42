"""How many bytes may wait to be read, all files of a source together."""

from __future__ import annotations

import threading
from collections.abc import Callable

_LOOK_AGAIN_S = 0.2


class Budget:
    """Bytes that are shared out, `limit` in all. Who is urgently waited for gets more than that, so that nothing locks up."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._freed = threading.Condition()
        self.used = 0

    def take(self, count: int, *, urgent: Callable[[], bool], over: Callable[[], bool]) -> bool:
        """Wait for room and take it.

        Args:
            count: Bytes.
            urgent: Whether somebody waits for these bytes, and nothing else of the same file.
            over: Whether nobody wants them any more.

        Returns:
            False, with nothing taken, once it is over.
        """
        with self._freed:
            while self.used + count > self._limit and not urgent() and not over():
                self._freed.wait(_LOOK_AGAIN_S)
            if over():
                return False
            self.used += count
            return True

    def give_back(self, count: int) -> None:
        """Return bytes that were taken."""
        with self._freed:
            self.used -= count
            self._freed.notify_all()

    def wake(self) -> None:
        """Have those that wait look again whether they are urgent, or over."""
        with self._freed:
            self._freed.notify_all()
