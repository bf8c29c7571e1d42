"""Ends a run whose thread waits inside TensorFlow, where neither Ctrl-C nor a time limit reaches it, and saves what it has."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from pipeline_opt.cli.console import note
from pipeline_opt.cli.exits import ExitCode
from pipeline_opt.profiler.running import Running
from pipeline_opt.reports import units

LOOK_S: Final = 0.25
"""How often the run is looked at."""

REACTS_S: Final = 2.0
"""How long the run's own thread may take to react to a signal."""

HANGS_S: Final = 30.0
"""A wait for data that goes on for so long after the time limit, with the cores idle, is broken off."""

IDLE_CORES: Final = 0.05
"""The cores that a process uses at the most while it does nothing."""

REPORTS_S: Final = 60.0
"""How long figures and pages of a run that was given up may take."""

SHOW_CURSOR: Final = "\x1b[?25h"

Ending = Callable[[str, Running, str, bool], ExitCode]
"""Saves a run, by its name, that is given up for a reason, and says so; whether a person or a signal wanted it."""


@dataclass
class Patience:
    """Decides when a run is given up. Times are seconds of one clock.

    Args:
        limit_s: The run's time limit, if it has one.
    """

    limit_s: float | None
    asked: list[float] = field(default_factory=list)
    terminated: bool = False
    told: bool = False
    _quiet_since: float = -1.0
    _cpu_s: float = 0.0

    def signal(self, number: int, now_s: float) -> None:
        """Take note of a signal."""
        self.asked.append(now_s)
        self.terminated |= number == signal.SIGTERM

    def should_tell(self, now_s: float) -> bool:
        """Whether to say, once, that a signal did not reach the run."""
        unheard = bool(self.asked) and not self.told and now_s - self.asked[0] >= REACTS_S
        self.told |= unheard
        return unheard

    def gives_up(self, now_s: float) -> bool:
        """Whether the run is to end now although its thread does not react."""
        wanted = len(self.asked) > 1 or self.terminated
        return wanted and now_s - self.asked[-1] >= REACTS_S / 2

    def hangs(self, now_s: float, running: Running, cpu_s: float) -> bool:
        """Whether the run is past its limit, and nothing happens in it any more; `cpu_s` is the process's time so far."""
        quiet_since = now_s - running.quiet_s
        if abs(quiet_since - self._quiet_since) > LOOK_S:
            # A step has ended since: count from here.
            self._quiet_since, self._cpu_s = quiet_since, cpu_s
        past_s = min(running.quiet_s, running.elapsed_s - (self.limit_s or 0.0))
        if self.limit_s is None or not running.waits_for_data or past_s < HANGS_S:
            return False
        return cpu_s - self._cpu_s <= IDLE_CORES * running.quiet_s


class Watchdog:
    """Watches runs, one after another, until the block ends; SIGTERM interrupts a run in it as Ctrl-C does.

    Args:
        limit_s: Seconds after which no further step begins, if that was asked for.
        end: Called where a run is given up. The process ends with its exit code: the run's thread cannot be woken.
    """

    def __init__(self, limit_s: float | None, end: Ending) -> None:
        self._limit_s = limit_s
        self._end = end
        self._name = ""
        self._running: Running | None = None
        self._patience = Patience(limit_s)
        self._stop = threading.Event()
        self._signals, self._wake = socket.socketpair()
        self._restore: tuple[int, Any] | None = None
        self._thread = threading.Thread(target=self._watch, name="pipeline-opt-watchdog", daemon=True)

    def follow(self, name: str, running: Running) -> None:
        """Watch this run from now on."""
        self._name, self._running, self._patience = name, running, Patience(self._limit_s)

    def __enter__(self) -> Self:
        self._wake.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
            self._restore = before, signal.signal(signal.SIGTERM, signal.default_int_handler)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if self._restore is not None:
            wakeup, handler = self._restore
            signal.set_wakeup_fd(wakeup)
            signal.signal(signal.SIGTERM, handler)
        self._signals.close()
        self._wake.close()

    def _watch(self) -> None:
        while not self._stop.is_set():
            heard, _, _ = select.select([self._signals], [], [], LOOK_S)
            numbers = self._signals.recv(64) if heard else b""
            running, patience, now_s = self._running, self._patience, time.monotonic()
            if running is not None and running.is_over:
                continue
            for number in numbers:
                patience.signal(number, now_s)
            if running is None:
                if patience.gives_up(now_s):
                    note("error: interrupted; nothing was measured")
                    _leave(ExitCode.INTERRUPTED)
                continue
            steps, quiet = units.plural(len(running.log), "step"), f"{running.quiet_s:.0f} s"
            if patience.gives_up(now_s):
                self._give_up(running, f"interrupted after {steps}, in a wait of {quiet} that did not end", asked=True)
            elif patience.should_tell(now_s):
                note(
                    "The run waits inside TensorFlow, where Ctrl-C does not reach it. Once more: save what there is, and end."
                )
            elif patience.hangs(now_s, running, sum(os.times()[:2])):
                over = f"the time limit of {self._limit_s:g} s is over"
                self._give_up(running, f"no data came for {quiet} after {steps}, and {over}", asked=False)

    def _give_up(self, running: Running, reason: str, *, asked: bool) -> None:
        # What is made after the run file was saved may read the storage that does not answer.
        code = ExitCode.INTERRUPTED if asked else ExitCode.FAILED
        last = threading.Timer(REPORTS_S, _leave, (code,))
        last.daemon = True
        last.start()
        _leave(self._end(self._name, running, reason, asked))


def _leave(code: ExitCode) -> None:
    """End the process, whatever its threads are at."""
    if sys.stderr.isatty():
        sys.stderr.write(SHOW_CURSOR)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
