"""Passes requests about other buckets on to the emulator that was there before, so that several serve one client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

from pipeline_opt.storage.emulator.delivery import reset
from pipeline_opt.storage.emulator.messages import FORWARDED, Request

_PIECE: Final = 256 << 10
_OUR_OWN: Final = ("connection", "expect", "transfer-encoding", "proxy-connection", FORWARDED)
"""Headers that are about one connection, not about the request."""


def pass_on(request: Request, scheme: str, client: socket.socket, port: int) -> None:
    """Give a request to another emulator, and its answer to the client; the connection is to be closed then.

    Raises:
        OSError: One of them went away; the client is reset where the other emulator was.
    """
    try:
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in _message(request, scheme):
                upstream.sendall(piece)
            buffer = memoryview(bytearray(_PIECE))
            while count := upstream.recv_into(buffer):
                client.sendall(buffer[:count])
    except ConnectionError:
        reset(client)
        raise


def _message(request: Request, scheme: str) -> Iterator[bytes]:
    """The request again, as one that ends its connection."""
    kept = [f"{name}: {value}" for name, value in request.headers.items() if name not in _OUR_OWN]
    said = ["Connection: close", f"{FORWARDED}: {request.headers.get(FORWARDED, scheme)}"]
    is_chunked = "content-length" not in request.headers and not request.body.is_empty
    if is_chunked:
        said.append("Transfer-Encoding: chunked")
    yield "\r\n".join([f"{request.method} {request.target} HTTP/1.1", *kept, *said, "", ""]).encode("latin-1")
    for piece in request.body.pieces():
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
    if is_chunked:
        yield b"0\r\n\r\n"
