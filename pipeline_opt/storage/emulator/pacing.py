"""When the pieces of an answer may leave, so that it takes the time that its rate says."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

from pipeline_opt.clock import Clock, SystemClock
from pipeline_opt.storage.shape import Shape

FIRST_BYTES: Final = 1024
"""What leaves together with the header: the first byte is not to wait for a whole piece."""

LEAST_BYTES: Final = 16 << 10
MOST_BYTES: Final = 1 << 20
FREE_BYTES: Final = 256 << 10
"""A piece of an answer without a rate: large enough for few calls, small enough for the processor's cache."""

STREAM_PIECE_S: Final = 0.02
SHARED_PIECE_S: Final = 0.005
"""A piece takes so long at most, where the size allows: more often costs the processor, more seldom makes lumps."""

CREDIT_S: Final = 0.05
"""What the shared rate has not moved because an answer's thread woke late may be made up for so long."""

SWITCH_S: Final = 1e-3
"""For how long a thread may compute while others are due: lateness of theirs is seen by clients."""

_SET_TIMER_SLACK: Final = 29
"""`PR_SET_TIMERSLACK` of Linux' prctl(2)."""


def be_punctual() -> None:
    """Let this thread, and those that it starts from now on, wake as soon as they are due.

    Linux may put off the end of every sleep by 50 us, to wake the processor less often; other systems are left as they are.
    """
    sys.setswitchinterval(SWITCH_S)
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(_SET_TIMER_SLACK, 1, 0, 0, 0)


class PatientClock(SystemClock):
    """The machine's monotonic clock, the same in every process; waiting costs no processor, at some 0.05 ms of lateness.

    Deadlines do not drift, so no lateness adds to another.
    """

    now = staticmethod(time.monotonic)

    def sleep_until(self, moment: float) -> None:
        """Sleep until `now()` has reached the moment."""
        while (left := moment - self.now()) > 0:
            time.sleep(left)


class Meter:
    """What all answers together may move: each reserves its bytes, one after another."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._free_s = clock.now()

    def reserve(self, count: int, bytes_per_s: float, since: float) -> float:
        """The moment when the next `count` bytes are through, at that rate for all.

        Args:
            count: Bytes.
            bytes_per_s: The rate.
            since: When whoever asks could have asked: time in which nobody did is lost to all.
        """
        with self._lock:
            self._free_s = max(self._free_s, since, self._clock.now() - CREDIT_S) + count / bytes_per_s
            return self._free_s


class Pace:
    """The deadlines of one answer or upload: byte n has passed at `start + n / rate`, and not before.

    Args:
        shape: Its rates.
        meter: Shared by all answers.
        clock: Seconds.
    """

    def __init__(self, shape: Shape, meter: Meter, clock: Clock) -> None:
        self._stream = shape.stream_bytes_per_s
        self._total = shape.total_bytes_per_s
        self._meter = meter
        self._clock = clock
        self._start_s = clock.now()
        self._due_s = self._start_s
        self._passed = 0
        self.piece_bytes = _piece_bytes(shape)

    def pieces(self, count: int) -> Iterator[int]:
        """Sizes that add up to `count`, each given when it may pass."""
        while count > 0:
            piece = min(count, self.piece_bytes)
            self.wait(piece)
            yield piece
            count -= piece

    def count(self, count: int) -> None:
        """So many bytes pass without waiting: those after them wait for these, too."""
        self._passed += count
        if self._total is not None:
            self._meter.reserve(count, self._total, self._due_s)

    def wait(self, count: int) -> None:
        """Return when the next `count` bytes may have passed."""
        self._passed += count
        due = self._start_s
        if self._stream is not None:
            due += self._passed / self._stream
        if self._total is not None:
            due = max(due, self._meter.reserve(count, self._total, self._due_s))
        self._due_s = due
        self._clock.sleep_until(due)


def _piece_bytes(shape: Shape) -> int:
    wanted = [
        rate * seconds
        for rate, seconds in (
            (shape.stream_bytes_per_s, STREAM_PIECE_S),
            (shape.total_bytes_per_s, SHARED_PIECE_S),
        )
        if rate is not None
    ]
    return int(min(max(min(wanted), LEAST_BYTES), MOST_BYTES)) if wanted else FREE_BYTES
