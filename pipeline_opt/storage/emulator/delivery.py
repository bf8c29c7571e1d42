"""Sends an answer as slowly as its storage would, and lets it fail where it is to fail."""

from __future__ import annotations

import io
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

from pipeline_opt.clock import Clock
from pipeline_opt.storage.emulator.journal import Journal
from pipeline_opt.storage.emulator.messages import Answer, head_of
from pipeline_opt.storage.emulator.pacing import FIRST_BYTES, Meter, Pace
from pipeline_opt.storage.shape import Shape

_RESET: Final = struct.pack("ii", 1, 0)


class Delivery:
    """One answer on its way.

    Args:
        connection: Where it goes.
        journal: Is told when the last byte is about to leave.
        clock: Seconds.

    Attributes:
        sent: Bytes of the content that have left.
        first_byte_s: When the first byte left; None before.
        left: Whether the journal was told.
    """

    def __init__(self, connection: socket.socket, journal: Journal, clock: Clock) -> None:
        self._connection = connection
        self._journal = journal
        self._clock = clock
        self.sent = 0
        self.first_byte_s: float | None = None
        self.left = False

    def send(
        self,
        answer: Answer,
        shape: Shape,
        meter: Meter,
        *,
        due_s: float,
        head_only: bool,
        keeps: bool,
        share: float = 1.0,
    ) -> None:
        """Send the header and a share of the content, the first byte when it is due: what it takes is at hand by then.

        Raises:
            OSError: The client went away, or the file became shorter while it was read.
        """
        total = 0 if head_only else int(answer.length * share)
        lead = min(total, FIRST_BYTES)
        take = _content(answer)
        first = head_of(answer, keeps=keeps) + bytes(take(lead))
        self._clock.sleep_until(due_s)
        self.first_byte_s = self._clock.now()
        pace = Pace(shape, meter, self._clock)
        pace.count(lead)
        self._pass(first, lead, last=lead == total)
        for size in pace.pieces(total - lead):
            self._pass(take(size), size, last=self.sent + size == total)

    def _pass(self, data: bytes | memoryview, count: int, *, last: bool) -> None:
        if last:
            self.left = True
            self._journal.leaving()
        self._connection.sendall(data)
        self.sent += count


def _content(answer: Answer) -> Callable[[int], memoryview]:
    """Gives the next bytes of the content, as many as it is asked for; they are valid until the next call."""
    if answer.media is None:
        body = io.BytesIO(answer.body)
        return lambda count: memoryview(body.read(count))
    stream, at, buffer = answer.media.stream.fileno(), answer.media.offset, bytearray()

    def take(count: int) -> memoryview:
        nonlocal at, buffer
        if len(buffer) < count:
            buffer = bytearray(count)
        piece = _filled(stream, memoryview(buffer)[:count], at)
        at += count
        return piece

    return take


def reset(connection: socket.socket) -> None:
    """End a connection with a reset, as a server that dies does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.close()


def _filled(file: int, buffer: memoryview, offset: int) -> memoryview:
    at = 0
    while at < len(buffer):
        count = os.preadv(file, [buffer[at:]], offset + at)
        if count == 0:
            raise OSError("the file became shorter while it was sent")
        at += count
    return buffer
