"""Servers and ports on this machine, for tests of what goes wrong with a network."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trustme

Serve = Callable[[socket.socket], None]
"""Answers one connection."""
_TAKEN: list[socket.socket] = []


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    """The port of a server that hands each connection to `serve`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        serve(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def closed_port() -> int:
    """A port where nothing listens, as long as the tests run: it is taken, by a socket that does not."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    _TAKEN.append(taken)
    return int(taken.getsockname()[1])


def until_blank_line(connection: socket.socket) -> bytes:
    heard = b""
    while b"\r\n\r\n" not in heard and (part := connection.recv(4096)):
        heard += part
    return heard


def tls_proxy(authority: trustme.CA, answers: Callable[[bytes], bytes]) -> Serve:
    """A proxy that answers for the host itself, with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("www.googleapis.com", "storage.googleapis.com").configure_cert(context)

    def serve(connection: socket.socket) -> None:
        until_blank_line(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.sendall(answers(until_blank_line(secure)))

    return serve


def reply(status: int, body: str | bytes) -> bytes:
    """A whole answer, after which the connection ends."""
    content = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status} .\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode() + content
