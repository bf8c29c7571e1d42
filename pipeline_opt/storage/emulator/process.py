"""Starts the server's process, talks to it, and ends it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from pipeline_opt.errors import SourceError
from pipeline_opt.storage.emulator.journal import Exchange

START_S: Final = 30.0
ANSWER_S: Final = 10.0
END_S: Final = 2.0

_ROOT: Final = Path(__file__).resolve().parents[3]


class ServerProcess:
    """A server that runs until `end`, or until this process does, however that ends.

    Args:
        settings: Plain data: shape, seed, and what the server serves.
        take: Is given every entry of its journal, on a thread of its own.
        module: The server, to be run by `python -m`.

    Raises:
        SourceError: The server does not start.

    Attributes:
        port: On the loopback interface.
        bundle: The file with the certificate that clients have to trust; none where the server needs none.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        take: Callable[[Exchange], None],
        module: str = "pipeline_opt.storage.emulator",
    ) -> None:
        self._take = take
        self._heard = threading.Condition()
        self._ready: dict[str, Any] = {}
        self._done = -1
        self._number = 0
        self._over = False
        self._line, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server
        with theirs:
            self._process = _start(module, theirs, self._said)
        self._listener = threading.Thread(target=self._listen, name="pipeline-opt-emulator", daemon=True)
        self._listener.start()
        try:
            self._tell({**settings, "parent": os.getpid()})
            self._await(lambda: bool(self._ready), START_S)
        except BaseException:
            self.end()
            raise
        self.port: int = self._ready["port"]
        self.bundle = Path(self._ready.get("bundle", os.devnull))

    def ask(self, **message: Any) -> None:
        """Send a message, and return once the server has obeyed and all entries before that are here.

        Raises:
            SourceError: The server is gone.
        """
        with self._heard:
            number = self._number
            self._number += 1
        self._tell({**message, "number": number})
        self._await(lambda: self._done >= number, ANSWER_S)

    def end(self) -> None:
        """End the server; nothing is left of it."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        self._line.close()
        self._said.close()
        if "bundle" in self._ready:
            shutil.rmtree(Path(self._ready["bundle"]).parent, ignore_errors=True)

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._line.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise SourceError(f"the storage emulator is gone{self._last_words()}") from error

    def _await(self, holds: Callable[[], bool], seconds: float) -> None:
        with self._heard:
            self._heard.wait_for(lambda: holds() or self._over, seconds)
            if not holds():
                what = "is gone" if self._over else f"does not answer within {seconds:g} s"
                raise SourceError(f"the storage emulator {what}{self._last_words()}")

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def _listen(self) -> None:
        try:
            with self._line.makefile("rb") as lines:
                for line in lines:
                    self._hear(json.loads(line))
        except (OSError, ValueError):
            pass
        finally:
            with self._heard:
                self._over = True
                self._heard.notify_all()

    def _hear(self, message: dict[str, Any]) -> None:
        if "exchange" in message:
            self._take(Exchange(*message["exchange"]))
            return
        with self._heard:
            self._ready = message.get("ready", self._ready)
            self._done = message.get("done", self._done)
            self._heard.notify_all()


def _start(module: str, line: socket.socket, said: IO[bytes]) -> subprocess.Popen[bytes]:
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        # -P: a file beside the user's script must not stand for a module of Python's.
        [sys.executable, "-P", "-m", module, str(line.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        pass_fds=[line.fileno()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )
