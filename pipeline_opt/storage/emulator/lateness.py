"""How much later than due a client on this machine notices an answer: it is answered so much earlier, and that is noted."""

from __future__ import annotations

import socket
import threading
from statistics import median
from typing import Final

from pipeline_opt.clock import Clock

ROUNDS: Final = 9
WAIT_S: Final = 0.004
"""Long enough for both to have gone to sleep."""

MOST_S: Final = 5e-4
"""More than that is a machine that is busy right now."""

_GIVE_UP_S: Final = 10.0


def lateness(clock: Clock) -> float:
    """Seconds that connecting, being accepted, waking and noticing the answer take, all on the loopback interface.

    The middle of some rounds, each with a connection of its own to which a byte is sent when it is due.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=ROUNDS) as listener:
        listener.settimeout(_GIVE_UP_S)
        late_s: list[float] = []
        client = threading.Thread(target=_ask, args=(listener.getsockname(), clock, late_s))
        client.start()
        try:
            for _ in range(ROUNDS):
                connection, _ = listener.accept()
                with connection:
                    clock.sleep_until(clock.now() + WAIT_S)
                    connection.sendall(b".")
        finally:
            client.join()
    return min(max(median(late_s), 0.0), MOST_S)


def _ask(address: tuple[str, int], clock: Clock, late_s: list[float]) -> None:
    for _ in range(ROUNDS):
        begun = clock.now()
        with socket.create_connection(address, _GIVE_UP_S) as connection:
            connection.recv(1)
            late_s.append(clock.now() - begun - WAIT_S)
