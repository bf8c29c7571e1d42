"""One client's connection: what it asks for, what it meets, and what is noted of it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import BinaryIO, Final, NamedTuple, cast

from pipeline_opt.clock import Clock
from pipeline_opt.storage.emulator.api import Api, Call, refused
from pipeline_opt.storage.emulator.conditions import Conditions, Drawn
from pipeline_opt.storage.emulator.delivery import Delivery, reset
from pipeline_opt.storage.emulator.forwarding import pass_on
from pipeline_opt.storage.emulator.journal import Exchange, Journal
from pipeline_opt.storage.emulator.messages import Answer, Request, head_of, read_request
from pipeline_opt.storage.emulator.pacing import Meter, Pace
from pipeline_opt.storage.emulator.refusals import RefusalError

HOSTS: Final = ("www.googleapis.com", "storage.googleapis.com")
"""The hosts that the emulator stands for."""

_BUFFER: Final = 64 << 10


class Site(NamedTuple):
    """What all connections share; `upstream` is the port of another emulator on this machine, for other buckets."""

    api: Api
    conditions: Conditions
    meter: Meter
    journal: Journal
    clock: Clock
    tls: ssl.SSLContext
    upstream: int | None


class Connection:
    """Serves one connection to its end.

    Args:
        plain: Just accepted.
        site: What is served.
    """

    def __init__(self, plain: socket.socket, site: Site) -> None:
        self._socket = plain
        self._site = site
        self._accepted_s = site.clock.now()

    def serve(self) -> None:
        """Answer requests until the client or a fault ends the connection."""
        with contextlib.suppress(OSError):
            try:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._serve()
            finally:
                self._socket.close()

    def _serve(self) -> None:
        stream, scheme = self._stream(), "http"
        arrived: float | None = self._accepted_s
        while (request := self._next(stream, scheme)) is not None:
            if request.method == "CONNECT":
                if not self._enter_tls(request):
                    return
                stream, scheme = self._stream(), "https"
                continue
            if self._site.upstream is not None and not self._site.api.holds(request):
                pass_on(request, scheme, self._socket, self._site.upstream)
                return
            if not self._exchange(request, stream, self._site.clock.now() if arrived is None else arrived):
                return
            arrived = None

    def _stream(self) -> BinaryIO:
        return cast("BinaryIO", self._socket.makefile("rb", _BUFFER))

    def _next(self, stream: BinaryIO, scheme: str) -> Request | None:
        try:
            return read_request(stream, self._socket.sendall, scheme)
        except RefusalError as refusal:
            self._refuse(refusal.status, str(refusal))
            return None

    def _refuse(self, status: int, message: str) -> None:
        text = (("Content-Type", "text/plain; charset=UTF-8"),)
        self._socket.sendall(head_of(answer := Answer(status, text, message.encode()), keeps=False) + answer.body)

    def _enter_tls(self, request: Request) -> bool:
        """Become the host that the client wants to talk to; False for hosts that are not stood for."""
        host, _, port = request.path.rpartition(":")
        if host not in HOSTS or port != "443":
            known = " and ".join(f"{each}:443" for each in HOSTS)
            self._refuse(403, f"pipeline-opt emulate stands for {known} only and passes nothing on: no {request.path}")
            return False
        self._socket.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._socket = self._site.tls.wrap_socket(self._socket, server_side=True)
        return True

    def _exchange(self, request: Request, stream: BinaryIO, arrived_s: float) -> bool:
        """Answer one request, and note it; whether the connection goes on."""
        site, drawn = self._site, self._site.conditions.draw()
        call = site.api.call(request)
        delivery = Delivery(self._socket, site.journal, site.clock)
        answer: Answer | None = None
        try:
            answer = self._answer(request, call, drawn)
            # The time to first byte of an upload counts from its last byte.
            since = site.clock.now() if request.body.received else arrived_s
            due_s = since + drawn.ttfb_s
            if answer is None:
                site.clock.sleep_until(due_s)
                self._break(stream, drawn)
                return False
            return self._deliver(request, answer, drawn, delivery, due_s)
        finally:
            if answer is not None and answer.media is not None:
                answer.media.stream.close()
            site.journal.enter(self._entry(request, call, drawn, delivery, answer, arrived_s), left=delivery.left)

    def _answer(self, request: Request, call: Call, drawn: Drawn) -> Answer | None:
        """What the request gets; None where it gets nothing at all."""
        request.body.pace = Pace(drawn.shape, self._site.meter, self._site.clock)
        if drawn.fault == "stall" or (drawn.fault == "reset" and drawn.early):
            return None
        if drawn.fault is not None and drawn.fault.isdecimal():
            status = int(drawn.fault)
            answer = refused(request, status, f"an emulated fault: {status} for {call.uri}")
        else:
            answer = call.run()
        if not request.body.is_held_back:
            # What is left unread would reset the connection, and the answer with it.
            for _ in request.body.pieces():
                pass
        return answer

    def _deliver(self, request: Request, answer: Answer, drawn: Drawn, delivery: Delivery, due_s: float) -> bool:
        cut = drawn.fault in ("reset", "truncate")
        keeps = request.keeps and not cut and not request.body.is_held_back
        delivery.send(
            answer,
            drawn.shape,
            self._site.meter,
            due_s=due_s,
            head_only=request.method == "HEAD",
            keeps=keeps,
            share=0.5 if cut else 1.0,
        )
        if drawn.fault == "reset" or (drawn.fault == "truncate" and answer.length == 0):
            reset(self._socket)
        return keeps

    def _break(self, stream: BinaryIO, drawn: Drawn) -> None:
        if drawn.fault == "stall":
            # Until the client gives up.
            while stream.read(1):
                pass
        else:
            reset(self._socket)

    def _entry(
        self, request: Request, call: Call, drawn: Drawn, delivery: Delivery, answer: Answer | None, arrived_s: float
    ) -> Exchange:
        return Exchange(
            kind=call.kind,
            uri=call.uri,
            range=request.headers.get("range", request.headers.get("content-range")),
            bytes=request.body.received if call.kind == "write" else delivery.sent,
            status=answer.status if answer is not None and delivery.first_byte_s is not None else 0,
            fault=drawn.fault,
            start_s=arrived_s,
            first_byte_s=delivery.first_byte_s,
            end_s=self._site.clock.now(),
        )
