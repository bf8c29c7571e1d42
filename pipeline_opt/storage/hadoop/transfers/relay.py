"""One client's connection to the DataNode: passed on, held back, noted."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import BinaryIO, Final, NamedTuple

from pipeline_opt.clock import Clock
from pipeline_opt.storage.emulator.conditions import Conditions, Drawn
from pipeline_opt.storage.emulator.delivery import reset
from pipeline_opt.storage.emulator.journal import Exchange, Journal
from pipeline_opt.storage.emulator.pacing import FIRST_BYTES, Meter, Pace
from pipeline_opt.storage.hadoop.transfers.protocol import (
    WRITE,
    Answer,
    Request,
    read_message,
    read_request,
    refusal,
)

_PIECE: Final = 256 << 10
_CONNECT_S: Final = 10.0


class Site(NamedTuple):
    """What all connections share; `behind` is where the DataNode listens."""

    behind: tuple[str, int]
    uri: str
    conditions: Conditions
    meter: Meter
    journal: Journal
    clock: Clock


class Relay:
    """Passes one connection on to its end. Reads meet what is drawn for them; writes pass as they are."""

    def __init__(self, client: socket.socket, site: Site) -> None:
        self._client = client
        self._site = site

    def serve(self) -> None:
        """Pass requests and answers on until the client, the DataNode or a fault ends the connection."""
        # As a DataNode that is not there: the client gets no answer.
        with (
            contextlib.suppress(OSError),
            self._client,
            self._client.makefile("rb") as stream,
            socket.create_connection(self._site.behind, _CONNECT_S) as server,
        ):
            server.settimeout(None)
            for each in (self._client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve(stream, server)

    def _serve(self, stream: BinaryIO, server: socket.socket) -> None:
        while (request := read_request(stream)) is not None:
            if request.length == 0:
                self._pass_all(request, stream, server)
                return
            if not self._read(request, server):
                return
            content = read_message(stream)
            if content is None:
                return
            server.sendall(content)

    def _read(self, request: Request, server: socket.socket) -> bool:
        """Pass one read on, and note it; whether the connection goes on."""
        site, drawn, started = self._site, self._site.conditions.draw(), self._site.clock.now()
        delivery = _Delivery(self._client, server, site)
        try:
            if not self._meets(drawn, request, started, delivery):
                return False
            server.sendall(request.raw)
            cut = request.length // 2 if drawn.fault in ("reset", "truncate") else None
            delivery.pass_on(drawn, started + drawn.ttfb_s, cut)
            if drawn.fault == "reset":
                reset(self._client)
            return cut is None and not delivery.answer.refused
        finally:
            site.journal.enter(_entry(site, request, drawn, started, delivery), left=delivery.left)

    def _meets(self, drawn: Drawn, request: Request, started: float, delivery: _Delivery) -> bool:
        """Let fail what fails before the DataNode is asked; whether it is to be asked."""
        if drawn.fault == "stall":
            while self._client.recv(1):
                pass
        elif drawn.fault == "reset" and drawn.early:
            self._site.clock.sleep_until(started + drawn.ttfb_s)
            reset(self._client)
        elif drawn.fault is not None and drawn.fault.isdecimal():
            self._site.clock.sleep_until(started + drawn.ttfb_s)
            delivery.refuse(int(drawn.fault), f"an emulated fault ({drawn.fault}) for block {request.block}")
        else:
            return True
        return False

    def _pass_all(self, request: Request, stream: BinaryIO, server: socket.socket) -> None:
        """Pass on what is no read, in both directions, until both are at their end."""
        started = self._site.clock.now()
        server.sendall(request.raw)
        back = threading.Thread(target=_pump, args=(server.recv, self._client), daemon=True)
        back.start()
        moved = _pump(lambda count: stream.read1(count), server)  # type: ignore[attr-defined]
        back.join()
        if request.operation == WRITE:
            end = self._site.clock.now()
            uri = f"{self._site.uri}/"
            self._site.journal.enter(Exchange("write", uri, None, moved, 200, None, started, started, end), left=False)


class _Delivery:
    """The answer to one read on its way."""

    def __init__(self, client: socket.socket, server: socket.socket, site: Site) -> None:
        self._client = client
        self._server = server
        self._site = site
        self.answer = Answer()
        self.first_byte_s: float | None = None
        self.status = 0
        self.left = False

    def refuse(self, status: int, reason: str) -> None:
        """Answer in the DataNode's place that the block cannot be read."""
        self.first_byte_s, self.status = self._site.clock.now(), status
        self._leave()
        self._client.sendall(refusal(reason))

    def pass_on(self, drawn: Drawn, first_s: float, cut: int | None) -> None:
        """Pass the answer on as slowly as its shape says, up to `cut` bytes of content if that is given."""
        head = self._receive(memoryview(bytearray(FIRST_BYTES)))
        self._site.clock.sleep_until(first_s)
        self.first_byte_s, self.status = self._site.clock.now(), 500 if self.answer.refused else 200
        pace = Pace(drawn.shape, self._site.meter, self._site.clock)
        pace.count(self.answer.content)
        self._send(head)
        buffer = memoryview(bytearray(pace.piece_bytes))
        while not self.answer.done and (cut is None or self.answer.content < cut):
            before = self.answer.content
            piece = self._receive(buffer if cut is None else buffer[: cut - before])
            pace.wait(self.answer.content - before)
            self._send(piece)

    def _receive(self, buffer: memoryview) -> memoryview:
        count = self._server.recv_into(buffer)
        if count == 0:
            raise ConnectionError("the DataNode ended the connection")
        self.answer.follow(buffer[:count])
        return buffer[:count]

    def _send(self, piece: memoryview) -> None:
        if self.answer.done:
            self._leave()
        self._client.sendall(piece)

    def _leave(self) -> None:
        self.left = True
        self._site.journal.leaving()


def _entry(site: Site, request: Request, drawn: Drawn, started: float, delivery: _Delivery) -> Exchange:
    return Exchange(
        kind="read",
        uri=f"{site.uri}/#blk_{request.block}",
        range=f"bytes={request.offset}-{request.offset + request.length - 1}",
        bytes=delivery.answer.content,
        status=delivery.status,
        fault=drawn.fault,
        start_s=started,
        first_byte_s=delivery.first_byte_s,
        end_s=site.clock.now(),
    )


def _pump(receive: Callable[[int], bytes], target: socket.socket) -> int:
    """Pass bytes on until there are no more; returns how many there were."""
    moved = 0
    with contextlib.suppress(OSError):
        while data := receive(_PIECE):
            target.sendall(data)
            moved += len(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    return moved
