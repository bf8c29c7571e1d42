"""The clusters that live in this process, as one folder of settings that all its clients read."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline_opt.storage.hadoop.settings import LOOPBACK, Ports, write_client


class Known:
    """Settings for the clients of every cluster that lives.

    A process has one JVM with one CLASSPATH, and clients keep connections by name for as long as it lives. So the folder
    stays the same, and a name that comes again has its ports again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: list[tuple[str | None, Ports]] = []
        self._ports: dict[str, Ports] = {}
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

    def ports(self, name: str | None) -> Ports:
        """Ports that nothing listens on: for a name that was used before, those that it had."""
        with self._lock:
            ports = self._ports.get(name or "")
            if ports is None or not _are_free(ports):
                ports = _free_ports()
            if name is not None:
                self._ports[name] = ports
            return ports


KNOWN = Known()


def _free_ports() -> Ports:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server((LOOPBACK, 0))) for _ in Ports._fields]
        return Ports(*(each.getsockname()[1] for each in sockets))


def _are_free(ports: Ports) -> bool:
    try:
        for port in ports:
            socket.create_server((LOOPBACK, port)).close()
    except OSError:
        return False
    return True
