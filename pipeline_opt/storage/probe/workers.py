"""Threads that make requests while the main thread watches the time: a request that hangs holds nobody up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from pipeline_opt.clock import Clock

TICK_S: Final = 0.01

Job = Callable[[Callable[[], bool]], object]
"""Makes requests until the function that it is given says to stop."""


class HangError(Exception):
    """A request did not end within the limit."""


def run_together(
    jobs: Sequence[Job], clock: Clock, until: float, limit_s: float, watch: Callable[[], object] | None = None
) -> None:
    """Run jobs, each on a thread of its own, and wait for them; none begins before all have their thread.

    Args:
        jobs: What to run; what one raises is raised here once all have ended.
        clock: Where time comes from.
        until: The moment at which they are told to stop.
        limit_s: How long after that a request may take to end; its thread is then left to itself.
        watch: Called some times a second.

    Raises:
        HangError: Some did not end in time.
    """
    go, stop = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def stopped() -> bool:
        return stop.is_set() or clock.now() >= until

    def run(job: Job) -> None:
        go.wait()
        try:
            job(stopped)
        except Exception as error:  # noqa: BLE001 - raised again on the main thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(job,), daemon=True, name="probe") for job in jobs]
    try:
        for thread in threads:
            thread.start()
        go.set()
        while any(thread.is_alive() for thread in threads):
            if clock.now() >= until + limit_s:
                left = sum(thread.is_alive() for thread in threads)
                raise HangError(f"{left} of {len(threads)} requests had no answer after {limit_s:g} s")
            clock.sleep_until(clock.now() + TICK_S)
            if watch is not None:
                watch()
    finally:
        # Also when Ctrl-C comes here: what is under way ends with its request.
        stop.set()
        go.set()
    if failures:
        raise failures[0]
