"""The clusters that live in this process, as one folder of settings that all its clients read."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline_opt.errors import UsageError
from pipeline_opt.storage.hadoop.ports import held
from pipeline_opt.storage.hadoop.settings import Ports, write_client


class Known:
    """Settings for the clients of every cluster that lives.

    A process has one JVM with one CLASSPATH, and clients keep connections by name for as long as it lives. So the folder
    stays the same, and a name that comes again has its ports again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: list[tuple[str | None, Ports]] = []
        self._ports: dict[str, Ports] = {}
        self._kept = contextlib.ExitStack()
        self._process = 0
        self._token = ""

    @property
    def folder(self) -> Path:
        """The folder; it is there while a cluster lives."""
        if self._process != os.getpid():
            self._process, self._token = os.getpid(), secrets.token_hex(4)
        return Path(tempfile.gettempdir()) / f"pipeline-opt-hdfs-clients-{self._process}-{self._token}"

    @contextmanager
    def knows(self, name: str | None, ports: Ports) -> Iterator[Path]:
        """Let clients know a cluster while the block lasts; gives the folder."""
        with self._lock:
            self._living.append((name, ports))
            write_client(self.folder, self._living)
        try:
            yield self.folder
        finally:
            with self._lock:
                self._living.remove((name, ports))
                if self._living:
                    write_client(self.folder, self._living)
                else:
                    shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def ports(self, name: str | None) -> Iterator[Ports]:
        """Ports for a cluster while the block lasts. Those of a name stay its own for as long as this process lives.

        Raises:
            UsageError: A cluster of that name lives already.
        """
        if name is None:
            with held() as ports:
                yield ports
            return
        with self._lock:
            if name in (living for living, _ in self._living):
                raise UsageError(f"this process runs an HDFS called {name!r} already; valid: another name")
            if name not in self._ports:
                self._ports[name] = self._kept.enter_context(held())
        yield self._ports[name]


KNOWN = Known()
