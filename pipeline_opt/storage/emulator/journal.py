"""What the emulator made its clients wait for: one entry a request, and sums by kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

KINDS: Final = ("list", "stat", "read", "write", "delete", "other")
"""Kinds of requests: listing objects; metadata of an object or bucket; contents; uploads, copies; ...; what is none."""

SETTLE_S: Final = 1.0


class Exchange(NamedTuple):
    """One request and its answer. Times are seconds of the machine's monotonic clock (`time.monotonic`).

    Attributes:
        kind: One of `KINDS`.
        uri: What was asked for, such as `gs://bucket/object`.
        range: The `Range` header of a read, the `Content-Range` of an upload, or None.
        bytes: Of the content that was moved, in either direction; headers are not counted.
        status: Of the answer; 0 if there was none.
        fault: What failed on purpose, or None.
        start_s: When the request was there, or the connection that was made for it.
        first_byte_s: When the first byte of the answer had reached the client; None if there was none.
        end_s: When the last byte had, or the connection was lost.
    """

    kind: str
    uri: str
    range: str | None
    bytes: int
    status: int
    fault: str | None
    start_s: float
    first_byte_s: float | None
    end_s: float


@dataclass(frozen=True)
class Waited:
    """Sums over requests.

    Attributes:
        count: Requests.
        bytes: Content moved.
        failed: Requests that got a fault or a status of 400 and above.
        first_byte_s: Seconds that clients waited for the first byte.
        seconds: Seconds that clients waited in all, contents included.
    """

    count: int = 0
    bytes: int = 0
    failed: int = 0
    first_byte_s: float = 0.0
    seconds: float = 0.0

    def plus(self, exchange: Exchange) -> Waited:
        """With one request more."""
        first = exchange.end_s if exchange.first_byte_s is None else exchange.first_byte_s
        return Waited(
            self.count + 1,
            self.bytes + exchange.bytes,
            self.failed + (exchange.fault is not None or exchange.status >= 400),
            self.first_byte_s + first - exchange.start_s,
            self.seconds + exchange.end_s - exchange.start_s,
        )


def waited(exchanges: Iterable[Exchange]) -> dict[str, Waited]:
    """The sums of some requests by kind; kinds that none of them is of are left out."""
    sums: dict[str, Waited] = {}
    for exchange in exchanges:
        sums[exchange.kind] = sums.get(exchange.kind, Waited()).plus(exchange)
    return sums


class Journal:
    """Collects entries from many threads, and knows of those whose client may have its answer already.

    Args:
        write: Takes an entry; called by one thread at a time.
        late_s: How much later clients see what happens here.
    """

    def __init__(self, write: Callable[[Exchange], None], late_s: float = 0.0) -> None:
        self._write = write
        self._late_s = late_s
        self._settled = threading.Condition()
        self._leaving = 0

    def leaving(self) -> None:
        """The last byte of an answer is about to be sent; `enter` follows, whatever happens."""
        with self._settled:
            self._leaving += 1

    def enter(self, exchange: Exchange, *, left: bool) -> None:
        """Add an entry, its times being those of this side; `left` says whether `leaving` was called for it."""
        first = None if exchange.first_byte_s is None else exchange.first_byte_s + self._late_s
        seen = exchange._replace(first_byte_s=first, end_s=exchange.end_s + self._late_s)
        with self._settled:
            self._write(seen)
            self._leaving -= left
            self._settled.notify_all()

    def settle(self) -> None:
        """Return once every answer that a client has is entered."""
        with self._settled:
            self._settled.wait_for(lambda: self._leaving == 0, SETTLE_S)
