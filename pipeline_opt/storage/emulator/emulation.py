"""An emulated bucket as its users hold it: what to set for clients, its shape, and what clients waited for."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

from pipeline_opt.errors import OutputError, UsageError
from pipeline_opt.storage.emulator.environment import Environment, upstream_port, variables
from pipeline_opt.storage.emulator.journal import Exchange, Waited, waited
from pipeline_opt.storage.emulator.process import ServerProcess
from pipeline_opt.storage.shape import Shape

KEPT: Final = 1_000_000
"""So many requests are remembered, the last ones; sums and the log hold all."""


class Emulation:
    """Serves folders as buckets while its block lasts, to this process and to those that get its `environ`.

    Args:
        folders: By the names of the buckets.
        shape: How the storage behaves.
        seed: Of what is drawn from the shape.
        read_only: Whether changes are refused; otherwise uploads land in the folders.
        log: A file that gets one line of JSON for every request.

    Raises:
        SourceError: The server does not start.
        OutputError: The log cannot be written.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        shape: Shape,
        *,
        seed: int = 0,
        read_only: bool = False,
        log: Path | None = None,
    ) -> None:
        self._folders = {name: folder.resolve() for name, folder in folders.items()}
        self._shape = shape
        self._settings = {"seed": seed, "read_only": read_only}
        self._log_path = log
        self._log: TextIO | None = None
        self._lock = threading.Lock()
        self._exchanges: deque[Exchange] = deque(maxlen=KEPT)
        self._sums: dict[str, Waited] = {}
        self._server: ServerProcess | None = None
        self._environment: Environment | None = None

    def __enter__(self) -> Self:
        self._log = None if self._log_path is None else _opened(self._log_path)
        try:
            self._server = self._serve({"shape": dataclasses.asdict(self._shape), **self._settings})
            self._environment = Environment(self.variables)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._environment is not None:
            self._environment.restore()
        self._close()

    def _serve(self, settings: dict[str, Any]) -> ServerProcess:
        """Start the server that makes requests meet the shape."""
        buckets = {name: str(folder) for name, folder in self._folders.items()}
        return ServerProcess({"buckets": buckets, "upstream": upstream_port(), **settings}, self._take)

    @property
    def uri(self) -> str:
        """The first bucket's, such as `gs://bucket`."""
        return self.uris[0]

    @property
    def uris(self) -> tuple[str, ...]:
        """Those of all buckets."""
        return tuple(f"gs://{name}" for name in self._folders)

    @property
    def endpoint(self) -> str:
        """The server's address, for clients that take one: `http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._running.port}"

    @property
    def variables(self) -> dict[str, str]:
        """What to set in a client's environment, so that it talks to the emulator."""
        return variables(self._running.port, self._running.bundle)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a child process: that of this one, with `variables` set."""
        return {**os.environ, **self.variables}

    @property
    def shape(self) -> Shape:
        """How the storage behaves. Setting it changes that for requests from then on."""
        return self._shape

    @shape.setter
    def shape(self, shape: Shape) -> None:
        self._running.ask(shape=dataclasses.asdict(shape))
        self._shape = shape

    def requests(self, since: float = -math.inf) -> tuple[Exchange, ...]:
        """The requests that clients have had an answer to, in the order in which they ended.

        Args:
            since: Only those that began then or later, in seconds of `time.monotonic`.
        """
        self._settle()
        with self._lock:
            return tuple(exchange for exchange in self._exchanges if exchange.start_s >= since)

    def waited(self, since: float = -math.inf) -> dict[str, Waited]:
        """What clients waited for, by kind of request (`journal.KINDS`); kinds that were not asked for are left out."""
        if since > -math.inf:
            return waited(self.requests(since))
        self._settle()
        with self._lock:
            return dict(self._sums)

    @property
    def _running(self) -> ServerProcess:
        if self._server is None:
            raise UsageError("the storage emulator runs within its `with` block only")
        return self._server

    def _settle(self) -> None:
        if self._server is not None:
            self._server.ask()

    def _take(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges.append(exchange)
            self._sums[exchange.kind] = self._sums.get(exchange.kind, Waited()).plus(exchange)
            if self._log is not None:
                self._log.write(json.dumps(exchange._asdict()) + "\n")
                self._log.flush()

    def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.end()
        if self._log is not None:
            self._log.close()


def _opened(path: Path) -> Any:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
