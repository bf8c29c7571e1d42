"""How long this process's threads were on a core, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path

TASKS = Path("/proc/self/task")

Counters = dict[str, int]
"""Nanoseconds on a core so far of the threads alive at some moment, by their number."""


def core_times(tasks: Path = TASKS) -> Counters:
    """Read the scheduler's counter of every thread; empty where the kernel does not keep them."""
    counters: Counters = {}
    try:
        with os.scandir(tasks) as threads:
            for thread in threads:
                nanoseconds = _read(Path(thread.path) / "schedstat")
                if nanoseconds is not None:
                    counters[thread.name] = nanoseconds
    except OSError:
        return {}
    return counters


def on_core_s(spans: list[tuple[Counters, Counters]]) -> float | None:
    """Seconds on a core over some spans, all threads together; None if the kernel does not tell.

    A thread that began inside a span counts from zero; of one that ended inside it nothing is known.
    """
    nanoseconds = sum(now - begin.get(thread, 0) for begin, end in spans for thread, now in end.items())
    return nanoseconds * 1e-9 if nanoseconds > 0 else None


def _read(file: Path) -> int | None:
    try:
        return int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
