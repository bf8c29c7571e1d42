"""Ports that are a cluster's before its daemons listen there, and while they are down."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline_opt.storage.hadoop.settings import LOOPBACK, Ports


@contextmanager
def held() -> Iterator[Ports]:
    """Free ports that the system gives to nobody else while the block lasts.

    A port that was free a moment ago may be another's when a daemon has started: that of a server, or of any outgoing
    connection. A socket that is bound and does not listen keeps it; Linux lets a daemon listen there all the same, as
    both allow the address to be reused.
    """
    with contextlib.ExitStack() as sockets:
        yield Ports(*(_bound(sockets.enter_context(socket.socket())) for _ in Ports._fields))


def _bound(holder: socket.socket) -> int:
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((LOOPBACK, 0))
    return int(holder.getsockname()[1])
