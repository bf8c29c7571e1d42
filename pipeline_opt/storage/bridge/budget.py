"""How many bytes may wait to be read, all files of a source together."""

from __future__ import annotations

import threading
from collections import deque


class Budget:
    """Bytes that are shared out, `limit` in all, first come, first served.

    Who is urgently waited for gets more than that, so that nothing locks up.
    """

    def __init__(self, limit: int) -> None:
        self.used = 0
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: deque[Claim] = deque()

    def claim(self) -> Claim:
        """The part of one more file."""
        return Claim(self, self._lock)

    def _grant(self) -> None:
        """Give those that wait what there is room for; each wakes on its own, as hundreds may wait."""
        while self._waiting and self.used + self._waiting[0].asked <= self._limit:
            self._waiting[0].grant()


class Claim:
    """What one file has of a budget. It is made by `Budget.claim`."""

    def __init__(self, budget: Budget, lock: threading.Lock) -> None:
        self.asked = 0
        self._budget = budget
        self._changed = threading.Condition(lock)
        self._urgent = False
        self._over = False

    def take(self, count: int) -> bool:
        """Wait for room and take it, in bytes; False, with nothing taken, once it is over."""
        budget = self._budget
        with self._changed:
            if self._over:
                return False
            self.asked = count
            budget._waiting.append(self)
            if self._urgent:
                self.grant()
            budget._grant()
            while self.asked and not self._over:
                self._changed.wait()
            granted, self.asked = not self.asked, 0
            return granted

    def give_back(self, count: int) -> None:
        """Return bytes that were taken."""
        with self._changed:
            self._budget.used -= count
            self._budget._grant()

    def hurry(self, urgent: bool) -> None:
        """Whether somebody waits for these bytes, and has nothing else of the same file."""
        with self._changed:
            self._urgent = urgent
            if urgent and self.asked and not self._over:
                self.grant()

    def close(self) -> None:
        """Nobody wants more; who waits is told."""
        with self._changed:
            self._over = True
            if self.asked:
                self._budget._waiting.remove(self)
                self._changed.notify()

    def grant(self) -> None:
        """Take what is waited for. The budget's lock is held."""
        self._budget._waiting.remove(self)
        self._budget.used += self.asked
        self.asked = 0
        self._changed.notify()
