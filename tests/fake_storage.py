"""A storage of known behaviour under a fake clock: what a probe has to find out."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

from fake_clock import FakeClock

from pipeline_opt.storage.probe import knee
from pipeline_opt.storage.probe.client import Connection, File

PIECE = 256 << 10


def right_knee(one: float, total: float) -> int:
    """The knee by its definition, from what one stream moves and all together can: numbers that are tried are powers of two."""
    return 1 << math.ceil(math.log2(knee.ENOUGH * total / one))


@dataclass
class FakeStorage:
    """Files of one size; requests wait, then share the total rate, each piece in its turn.

    Args:
        clock: Whose time passes.
        count: Number of files; `size` bytes each.
        cold_s: Time to first byte on a new connection; `warm_s` on a kept one.
        stream: Bytes a second of one request; `total` of all.
        fails: Every so many-th read fails.
        hangs_after: Reads after which one never ends, until `released`.
        slower_above: With more requests at a time than that, the total falls to a half.
    """

    clock: FakeClock
    count: int = 16
    size: int = 32 << 20
    cold_s: float = 0.05
    warm_s: float = 0.05
    stream: float = 50e6
    total: float = 400e6
    stat_s: float = 0.01
    list_s: float = 0.1
    fails: int = 0
    hangs_after: int | None = None
    slower_above: int | None = None
    released: bool = False
    reads: int = 0
    bytes_read: int = 0
    at_once: int = 0
    written: list[str] = field(default_factory=list)

    route = "fsspec"
    name = "a fake storage"
    tail_only = False
    block_bytes: int | None = None
    cold_reason = ""
    warm_reason = ""
    remembered_s = 0.0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._free_s = 0.0

    def list(self, uri: str) -> list[File]:
        self.clock.sleep(self.list_s)
        return [File(f"{uri}/{number}", self.size) for number in range(self.count)]

    def stat(self, path: str) -> int | None:
        self.clock.sleep(self.stat_s)
        return self.size

    def cold(self) -> Connection:
        return FakeConnection(self, kept=False)

    def warm(self) -> Connection:
        return FakeConnection(self, kept=True)

    def serve(self, ttfb_s: float, offset: int, count: int) -> int:
        with self._lock:
            self.reads += 1
            number = self.reads
            self.at_once += 1
        try:
            while self.hangs_after is not None and number > self.hangs_after and not self.released:
                self.clock.sleep(5.0)
            self.clock.sleep(ttfb_s)
            if self.fails and number % self.fails == 0:
                raise OSError("503: try again")
            left = min(count, self.size - offset)
            while left > 0:
                self._move(min(left, PIECE))
                left -= PIECE
            with self._lock:
                self.bytes_read += min(count, self.size - offset)
            return min(count, self.size - offset)
        finally:
            with self._lock:
                self.at_once -= 1

    def _move(self, count: int) -> None:
        with self._lock:
            now = self.clock.now()
            crowded = self.slower_above is not None and self.at_once > self.slower_above
            self._free_s = max(self._free_s, now) + count / (self.total / 2 if crowded else self.total)
            due = max(self._free_s, now + count / self.stream)
        self.clock.sleep_until(due)


class FakeConnection:
    """Requests on a kept connection find it ready from the second on."""

    def __init__(self, storage: FakeStorage, *, kept: bool) -> None:
        self.storage = storage
        self.kept = kept
        self.used = False
        self.own_s = 0.0

    def read(self, path: str, offset: int, count: int) -> int:
        ready = self.kept and self.used
        self.used = True
        return self.storage.serve(self.storage.warm_s if ready else self.storage.cold_s, offset, count)
