"""Moments in which Ctrl-C or SIGTERM would lose what was measured."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def no_interrupt(*, later: bool) -> Iterator[None]:
    """Hold back what would interrupt Python code until the block ends; keep it short. Only the main thread can.

    Args:
        later: Whether an interrupt is carried out then; otherwise it is forgotten, as one has been carried out already.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    # A signal that Python does not handle (SIGTERM, usually) ends the process as before.
    before = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    for number in before:
        signal.signal(number, lambda number, _: held.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held and later:
        signal.raise_signal(held[0])
