"""Runs another program in the foreground, and hands on to it the signals that this one gets."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Final, Self

from pipeline_opt.errors import UsageError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

GRACE_S: Final = 0.3
"""A process group gets a signal at once; a program that has not ended after this was not in it, or takes its time."""

_LOOK_S: Final = 0.1


class Foreground:
    """Within its block signals do not interrupt this process: they are the program's. Only for the main thread.

    Attributes:
        heard: The signals that came so far.
    """

    def __init__(self) -> None:
        self.heard: list[int] = []
        self._child: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # One that is ignored (nohup) stays so, in the program as well.
        taken = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._hear) for number in taken}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, command: Sequence[str], environ: Mapping[str, str]) -> int:
        """Run a program to its end; the terminal is its own.

        Returns:
            Its exit code, or 128 and the number of the signal that ended it.

        Raises:
            UsageError: There is no such program, or it cannot be run.
        """
        # What Python ignores, other programs expect to end them.
        usual = (signal.SIGPIPE, signal.SIGXFSZ)
        try:
            self._child = os.posix_spawnp(command[0], list(command), environ, setsigdef=usual)
        except OSError as error:
            raise UsageError(f"{command[0]} cannot be run: {error.strerror}") from error
        for number in self.heard:
            os.kill(self._child, number)
        _, status = os.waitpid(self._child, 0)
        self._child = None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def wait(self) -> None:
        """Return when a signal has come."""
        while not self.heard:
            time.sleep(_LOOK_S)

    def _hear(self, number: int, _: FrameType | None) -> None:
        self.heard.append(number)
        if self._child is not None and not (number == signal.SIGINT and _is_in_front()):
            _pass_on(self._child, number)


def _is_in_front() -> bool:
    """Whether Ctrl-C at a terminal reaches this process, and so the program, too."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _pass_on(child: int, number: int) -> None:
    """Give the program a signal, unless it ends of one that it has got itself."""
    end = time.monotonic() + GRACE_S
    while time.monotonic() < end:
        if _has_ended(child):
            return
        time.sleep(GRACE_S / 10)
    os.kill(child, number)


def _has_ended(child: int) -> bool:
    """Whether a child has; also where it was waited for already, just before the signal was handled."""
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
