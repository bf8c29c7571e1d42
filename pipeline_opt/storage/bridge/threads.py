"""Threads that are used again: a short file would cost more for its thread than for its bytes."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

Work = Callable[[], None]

SPARE: Final = "pipeline_opt_spare"
"""Name of a thread that has nothing to do."""
_SPARE_S: Final = 10.0
"""For so long it is kept."""

_spare: Final[deque[queue.SimpleQueue[Work]]] = deque()
# A forked process has no threads but one.
os.register_at_fork(after_in_child=_spare.clear)


def on_a_thread(work: Work, name: str) -> None:
    """Do it, on a thread that carries this name meanwhile and keeps no process from ending."""

    def named() -> None:
        threading.current_thread().name = name
        work()

    try:
        box = _spare.pop()
    except IndexError:
        box = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(box,), name=name, daemon=True).start()
    box.put(named)


def _serve(box: queue.SimpleQueue[Work]) -> None:
    while True:
        try:
            work = box.get(timeout=_SPARE_S)
        except queue.Empty:
            try:
                _spare.remove(box)
            except ValueError:
                # Work is on its way.
                continue
            return
        work()
        del work
        threading.current_thread().name = SPARE
        _spare.append(box)
