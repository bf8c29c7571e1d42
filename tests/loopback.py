"""Servers and ports on this machine, for tests of what goes wrong with a network."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Serve = Callable[[socket.socket], None]
"""Answers one connection."""


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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def until_blank_line(connection: socket.socket) -> bytes:
    heard = b""
    while b"\r\n\r\n" not in heard and (part := connection.recv(4096)):
        heard += part
    return heard
