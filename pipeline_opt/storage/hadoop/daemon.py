"""One Java process of Hadoop: started, known to be up by what it logs, ended."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline_opt.clock import Clock, SystemClock
from pipeline_opt.errors import SourceError
from pipeline_opt.storage.hadoop.reaper import Reaper

OPENED: Final = ("java.lang", "java.io", "java.net", "java.nio", "java.util", "sun.nio.ch")
"""What Hadoop 2 reaches into, which Java has kept to itself since version 16."""

JVM_OPTIONS: Final = (
    "-Djava.net.preferIPv4Stack=true",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
)
"""What every JVM takes. A client in one has the heap that Java gives it: each open file sets its buffer aside there."""
SMALL_HEAP: Final = ("-Xmx256m", "-XX:+UseSerialGC")
"""Enough for a NameNode and a DataNode of a test."""
_START_LIMIT_S: Final = 60.0
_END_LIMIT_S: Final = 10.0
_LOOK_S: Final = 0.02
_SHOWN_LINES: Final = 12


class Daemon:
    """A class of Hadoop in a JVM of its own.

    Args:
        name: What it is called in errors.
        command: Program and arguments.
        log: Where it writes; a start begins a new file.
        reaper: Ends it if this process dies.
        clock: The time that passes while it starts.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, reaper: Reaper, clock: Clock | None = None
    ) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._reaper = reaper
        self._clock = clock or SystemClock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The number of its process, if it has one."""
        return None if self._process is None else self._process.pid

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, if it runs."""
        self.kill()

    def start(self) -> None:
        """Start the process; `wait_for` tells when it serves."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._reaper.add(self._process.pid)

    def wait_for(self, *signs: str) -> None:
        """Return once all signs are in its log.

        Raises:
            SourceError: It ended, or they were not there in a minute; has the end of its log.
        """
        limit = self._clock.now() + _START_LIMIT_S
        while not all(sign in self.log() for sign in signs):
            if not self.runs:
                raise self._failure("ended while it started")
            if self._clock.now() > limit:
                raise self._failure(f"was not up within {_START_LIMIT_S:g} s")
            self._clock.sleep_until(self._clock.now() + _LOOK_S)

    def finish(self) -> None:
        """Wait for a process that ends by itself.

        Raises:
            SourceError: It failed, or took more than a minute.
        """
        if self._process is None:
            return
        try:
            code = self._process.wait(_START_LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            raise self._failure("failed")
        self._forget()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process; with SIGKILL if it does not go in ten seconds."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget()

    def kill(self) -> None:
        """End it as a failing machine would."""
        self.end(signal.SIGKILL)

    def log(self) -> str:
        """What it has logged since its start."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _failure(self, what: str) -> SourceError:
        """The error, with the end of the log and a copy of all of it that stays."""
        last = "\n".join(f"  {line[:300]}" for line in self.log().splitlines()[-_SHOWN_LINES:])
        with tempfile.NamedTemporaryFile(prefix=f"{self._log.stem}-", suffix=".log", delete=False) as kept:
            kept.write(self.log().encode())
        return SourceError(f"the {self.name} of HDFS {what}; its log is kept in {kept.name}:\n{last or '  (empty)'}")

    def _forget(self) -> None:
        if self._process is not None:
            self._reaper.drop(self._process.pid)
            self._process = None
