"""An emulated HDFS as its users hold it: a real one, whose transfers meet a shape."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any, Final

from pipeline_opt.errors import UsageError
from pipeline_opt.storage.emulator.emulation import Emulation
from pipeline_opt.storage.emulator.journal import Exchange
from pipeline_opt.storage.emulator.process import ServerProcess
from pipeline_opt.storage.hadoop.cluster import Cluster
from pipeline_opt.storage.hadoop.jars import Progress
from pipeline_opt.storage.hadoop.settings import BEHIND, LOOPBACK
from pipeline_opt.storage.shape import Shape

_URI: Final = re.compile(r"hdfs://([A-Za-z](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(/[^?#]*)?")


class HdfsEmulation(Emulation):
    """Serves a copy of a folder as an HDFS while its block lasts, to this process and those that get its `environ`.

    The NameNode and the DataNode are Hadoop's own; reads pass through a process that holds them back or lets them fail.
    The first start fetches Hadoop; later ones take three to five seconds, and the copy what it takes.

    Args:
        folder: What is copied into it. What is written to the HDFS goes to the copy.
        uri: What clients call it, such as `hdfs://namenode`, or `hdfs://namenode/data` for the place of the copy.
        shape: How reads behave. Statuses as faults are what a DataNode says that cannot read its block.
        seed: Of what is drawn from the shape.
        log: A file that gets one line of JSON for every transfer.
        progress: Told in words what takes long.

    Raises:
        UsageError: The URI cannot be emulated, or an HDFS of that name runs in this process.
        SchemeError: Java or Hadoop are not there and cannot be had; names the remedy.
        SourceError: The HDFS does not start, or does not take the folder.
        OutputError: The log or the cache of packages cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        uri: str,
        shape: Shape,
        *,
        seed: int = 0,
        log: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        told = _URI.fullmatch(uri)
        if told is None:
            raise UsageError(
                f"{uri!r} is no HDFS; valid: hdfs://NAME or hdfs://NAME/FOLDER, NAME of letters, digits, '-' and '.'"
            )
        self._name: str = told[1]
        self._target = (told[2] or "/").rstrip("/") or "/"
        super().__init__({self._name: folder}, shape, seed=seed, log=log)
        self._cluster = Cluster(self._name, transfers_at=BEHIND, progress=progress)
        self._copied = False
        self._undo = contextlib.ExitStack()

    @property
    def cluster(self) -> Cluster:
        """Its daemons, to be killed and started."""
        return self._cluster

    @property
    def uris(self) -> tuple[str, ...]:
        """The place of the copy."""
        return (f"hdfs://{self._name}{self._target.rstrip('/')}",)

    @property
    def endpoint(self) -> str:
        """The NameNode's address, `hdfs://127.0.0.1:PORT`: for clients that do not know the name."""
        return self._cluster.uri

    @property
    def variables(self) -> dict[str, str]:
        """What to set in a client's environment, so that it knows the name; for libhdfs, before the process' first use."""
        return self._cluster.environ

    def _serve(self, settings: dict[str, Any]) -> ServerProcess:
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._cluster)
            place = {"host": LOOPBACK, "behind": BEHIND, "port": self._cluster.ports.transfers}
            server = ServerProcess(
                {**place, "uri": f"hdfs://{self._name}", **settings},
                self._take,
                "pipeline_opt.storage.hadoop.transfers",
            )
            undo.callback(server.end)
            self._cluster.put(next(iter(self._folders.values())), self._target)
            server.ask()
            self._copied = True
            self._undo = undo.pop_all()
        return server

    def _take(self, exchange: Exchange) -> None:
        """Note a transfer, but not those that copy the folder."""
        if self._copied:
            super()._take(exchange)

    def _close(self) -> None:
        super()._close()
        self._undo.close()
        self._copied = False
