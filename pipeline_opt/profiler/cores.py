"""How much of their runnable time this process's threads spent on a core, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

TASKS = Path("/proc/self/task")


class CoreTime(NamedTuple):
    """Nanoseconds of one thread: on a core, and ready to run but waiting for one."""

    on_core: int
    waiting: int


Counters = dict[str, CoreTime]
"""The threads alive at some moment, by their number."""


def core_times(tasks: Path = TASKS) -> Counters:
    """Read the scheduler's counters of every thread; empty where the kernel does not keep them."""
    counters: Counters = {}
    try:
        with os.scandir(tasks) as threads:
            for thread in threads:
                read = _read(Path(thread.path) / "schedstat")
                if read is not None:
                    counters[thread.name] = read
    except OSError:
        return {}
    return counters


def share_on_core(spans: list[tuple[Counters, Counters]]) -> float | None:
    """Of the time in which threads were ready to run, the share that they ran, over some spans; None if unknown.

    A thread that began inside a span counts from zero; of one that ended inside it nothing is known.
    """
    on_core = waiting = 0
    for begin, end in spans:
        for thread, now in end.items():
            before = begin.get(thread, CoreTime(0, 0))
            on_core += now.on_core - before.on_core
            waiting += now.waiting - before.waiting
    return on_core / (on_core + waiting) if on_core > 0 else None


def _read(file: Path) -> CoreTime | None:
    try:
        on_core, waiting, *_ = file.read_text().split()
        return CoreTime(int(on_core), int(waiting))
    except (OSError, ValueError):
        return None
