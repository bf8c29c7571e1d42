"""How long a probe may take, and how much it may read: looked at between requests."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pipeline_opt.clock import Clock


@dataclass
class Budget:
    """Seconds and bytes, from the moment it is made.

    Args:
        clock: Where time comes from.
        seconds: No request begins after so many.
        most_bytes: No request begins that would go beyond so many.
    """

    clock: Clock
    seconds: float
    most_bytes: int
    spent_bytes: int = 0
    started_s: float = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.started_s = self.clock.now()

    @property
    def spent_s(self) -> float:
        """Seconds that have passed."""
        return self.clock.now() - self.started_s

    @property
    def left_s(self) -> float:
        """Seconds that are left, from 0 on."""
        return max(0.0, self.seconds - self.spent_s)

    @property
    def left_bytes(self) -> int:
        """Bytes that are left."""
        return max(0, self.most_bytes - self.spent_bytes)

    def take(self, count: int) -> bool:
        """Set bytes aside for a request; False if there are not so many."""
        with self._lock:
            if self.spent_bytes + count > self.most_bytes:
                return False
            self.spent_bytes += count
            return True

    def moment(self, share: float) -> float:
        """When a phase has to end that may take a share (0 to 1) of all seconds, beginning now."""
        return min(self.clock.now() + share * self.seconds, self.started_s + self.seconds)
