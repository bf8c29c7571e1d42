"""When a file is fetched and no reader waits for it: work of the storage that no thread of tf.data shows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Final, NamedTuple


class AheadSpan(NamedTuple):
    """Seconds of the monotonic clock in which a request was under way and its reader did not wait.

    Args:
        reader: The name of the stage that reads.
        file: A number of its own for every file that is opened. Spans of one file do not overlap.
        start_s: Where the request was made, or where the reader went on.
        end_s: Where the request ended, or where the reader began to wait.
    """

    reader: str
    file: int
    start_s: float
    end_s: float


_FILES: Final = itertools.count(1)
_WATCHES: Final[list[Watch]] = []


class Watch:
    """Collects the spans of every bridge in this process that touch a window, from `begin` to `end`."""

    def __init__(self) -> None:
        self._is_open = False
        self._closed_s = 0.0
        self.spans: list[AheadSpan] = []

    def begin(self) -> None:
        """Begin to be told of spans."""
        _WATCHES.append(self)

    def end(self) -> None:
        """No longer be told; what was collected stays."""
        if self in _WATCHES:
            _WATCHES.remove(self)

    def opened(self) -> None:
        """A window opened: what ends from now on counts."""
        self._is_open = True

    def closed(self, now_s: float) -> None:
        """The window closed: what began before still counts."""
        self._is_open, self._closed_s = False, now_s

    def take(self, span: AheadSpan) -> None:
        """Keep a span that touches a window."""
        if self._is_open or span.start_s < self._closed_s:
            self.spans.append(span)


class Ahead:
    """Of one file, whether a request is under way and whether its reader waits. To be used with the file's lock held."""

    def __init__(self, reader: str, now: Callable[[], float] = time.perf_counter) -> None:
        self._reader = reader
        self._now = now
        self._file = next(_FILES)
        self._asks = self._waits = False
        self._since = 0.0

    def asks(self, asks: bool) -> None:
        """A request was made, or is over."""
        self._change(asks, self._waits)

    def waits(self, waits: bool) -> None:
        """The reader has nothing to go on with, or goes on."""
        self._change(self._asks, waits)

    def _change(self, asks: bool, waits: bool) -> None:
        before, after = self._asks and not self._waits, asks and not waits
        self._asks, self._waits = asks, waits
        if after and not before:
            self._since = self._now()
        if before and not after and _WATCHES:
            span = AheadSpan(self._reader, self._file, self._since, self._now())
            for watch in tuple(_WATCHES):
                watch.take(span)
