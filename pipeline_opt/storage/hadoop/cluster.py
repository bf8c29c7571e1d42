"""A real HDFS on this machine: a NameNode and a DataNode, loopback only, gone with this process."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline_opt.errors import PipelineOptError
from pipeline_opt.storage.hadoop.daemon import JVM_OPTIONS, SMALL_HEAP, Daemon
from pipeline_opt.storage.hadoop.files import remove, upload
from pipeline_opt.storage.hadoop.jars import Progress, class_path
from pipeline_opt.storage.hadoop.java import find_java
from pipeline_opt.storage.hadoop.known import KNOWN
from pipeline_opt.storage.hadoop.libhdfs import libhdfs_home
from pipeline_opt.storage.hadoop.reaper import Reaper
from pipeline_opt.storage.hadoop.settings import LOOPBACK, write_server

_NAMENODE: Final = "org.apache.hadoop.hdfs.server.namenode.NameNode"
_DATANODE: Final = "org.apache.hadoop.hdfs.server.datanode.DataNode"
_SERVES: Final = "NameNode RPC up at"
_WRITABLE: Final = "Leaving safe mode"
_REGISTERED: Final = "Successfully sent block report"


class Cluster:
    """One NameNode and one DataNode, as a context manager; three to five seconds until it serves.

    What Hadoop needs is fetched into the user's cache the first time (210 MB).

    Args:
        name: Clients with `environ` can call it `hdfs://name/`, beside `uri`.
        transfers_at: Where the DataNode listens. Clients are told 127.0.0.1 whatever this is: elsewhere, something has to
            pass their transfers on.
        progress: Told in words what takes long.

    Raises:
        SchemeError: Java or Hadoop are not there and cannot be had; names the remedy.
        SourceError: A daemon does not start; has the end of its log.
        UsageError: A cluster of that name runs in this process.

    Attributes:
        ports: Where the NameNode is called and where blocks are transferred.
        folder: What the daemons write: gone with them.
        namenode: The process.
        datanode: The process.
    """

    def __init__(
        self, name: str | None = None, *, transfers_at: str = LOOPBACK, progress: Progress | None = None
    ) -> None:
        self._java = find_java()
        self._jars = class_path(progress)
        self._name = name
        self._at = transfers_at
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self.folder = Path(tempfile.mkdtemp(prefix="pipeline-opt-hdfs-"))
            self._reaper = undo.enter_context(Reaper(self.folder, KNOWN.folder))
            self.ports = undo.enter_context(KNOWN.ports(self._name))
            write_server(self.folder / "server", self.folder / "data", self.ports, self._at)
            self._settings = undo.enter_context(KNOWN.knows(self._name, self.ports))
            formatting = self._daemon("NameNode", _NAMENODE, "-format", "-nonInteractive")
            self.namenode = undo.enter_context(self._daemon("NameNode", _NAMENODE))
            self.datanode = undo.enter_context(self._daemon("DataNode", _DATANODE))
            self.datanode.start()
            formatting.start()
            formatting.finish()
            self.start_namenode()
            self.datanode.wait_for(_REGISTERED)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End both daemons and remove what they wrote."""
        self._undo.close()

    @property
    def uri(self) -> str:
        """The root, such as `hdfs://127.0.0.1:40123`."""
        return f"hdfs://{LOOPBACK}:{self.ports.namenode}"

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables by which both clients find the cluster, and tensorflow-io libhdfs.

        Hadoop's settings are read when a client is made, CLASSPATH when the one JVM of a process is: they can be set in a
        process that runs, before that.
        """
        found = {
            "HADOOP_CONF_DIR": str(self._settings),
            "CLASSPATH": ":".join(map(str, (self._settings, *self._jars))),
            "JAVA_HOME": str(self._java.home),
            "LIBHDFS_OPTS": " ".join(("-Xrs", *JVM_OPTIONS)),
        }
        with contextlib.suppress(PipelineOptError):
            found["HADOOP_HDFS_HOME"] = str(libhdfs_home())
        return found

    def put(self, source: str | Path, target: str = "/") -> int:
        """Copy a file, or a folder with all that is in it, to the path `target`; returns the bytes copied.

        Raises:
            SourceError: It cannot be read or written.
        """
        return upload(Path(source), self.uri, target)

    def remove(self, path: str) -> None:
        """Delete a file, or a folder with all that is in it.

        Raises:
            SourceError: It cannot be deleted.
        """
        remove(self.uri, path)

    def start_datanode(self) -> None:
        """Start the DataNode again, and wait until the NameNode knows its blocks."""
        self.datanode.start()
        self.datanode.wait_for(_REGISTERED)

    def kill_datanode(self) -> None:
        """End the DataNode as a failing machine would."""
        self.datanode.kill()

    def start_namenode(self) -> None:
        """Start the NameNode again, and wait until it serves; with a DataNode, until its blocks are known, too."""
        self.namenode.start()
        self.namenode.wait_for(_SERVES, *((_WRITABLE,) if self.datanode.runs else ()))

    def kill_namenode(self) -> None:
        """End the NameNode as a failing machine would."""
        self.namenode.kill()

    def _daemon(self, name: str, main: str, *arguments: str) -> Daemon:
        server = self.folder / "server"
        jars = ":".join(map(str, (server, *self._jars)))
        command = [str(self._java.command), *SMALL_HEAP, *JVM_OPTIONS, "-cp", jars, main, *arguments]
        return Daemon(name, command, self.folder / f"{name.lower()}.log", self._reaper)
