"""A real HDFS for the tests of one session, and readers of it by every route that this Python has."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hdfs_reader import Reader

from pipeline_opt.errors import PipelineOptError
from pipeline_opt.storage.hadoop import Cluster
from pipeline_opt.storage.hadoop.libhdfs import libhdfs_home

NAME = "testing"
SHARDS = 3
RECORDS = 20
RECORD_BYTES = 40_000


T = TypeVar("T")


def routes() -> tuple[str, ...]:
    """Those that can be had with this TensorFlow: tensorflow-io is made for one version."""
    try:
        importlib.metadata.version("tensorflow-io")
    except importlib.metadata.PackageNotFoundError:
        return ("fsspec",)
    return ("fsspec", "tf")


def needed(make: Callable[[], T]) -> T:
    """What `make` gives; without it tests are skipped, and say what to install, or fail where they are not to be."""
    try:
        return make()
    except PipelineOptError as error:
        if "hdfs" in os.environ.get("PIPELINE_OPT_REQUIRE", "").split(","):
            raise
        pytest.skip(str(error))


def record(shard: int, number: int) -> bytes:
    return f"{shard}:{number}|".encode() + bytes([(shard * 7 + number) % 251]) * RECORD_BYTES


def digest(records: list[bytes]) -> str:
    """Of records in any order."""
    return hashlib.sha256("".join(sorted(hashlib.sha256(each).hexdigest() for each in records)).encode()).hexdigest()


def write_shards(folder: Path) -> None:
    import tensorflow as tf

    for shard in range(SHARDS):
        with tf.io.TFRecordWriter(str(folder / f"part-{shard}.tfrecord")) as writer:
            for number in range(RECORDS):
                writer.write(record(shard, number))


class Hdfs:
    """The cluster, what is in it, and readers that live as long as it does."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.uri = f"hdfs://{NAME}/data"
        self.names = [f"{shard}:{number}" for shard in range(SHARDS) for number in range(RECORDS)]
        self.digest = digest([record(shard, number) for shard in range(SHARDS) for number in range(RECORDS)])
        self._readers: dict[str, Reader] = {}
        self._stopped = False

    def stop_namenode(self) -> None:
        """Let the NameNode hang: the system goes on to accept its connections."""
        os.kill(int(self.cluster.namenode.pid or 0), signal.SIGSTOP)
        self._stopped = True

    def reader(self, via: str) -> Reader:
        if via not in self._readers:
            if via == "tf":
                needed(libhdfs_home)
            self._readers[via] = Reader(via, self.cluster.environ)
        return self._readers[via]

    def shard(self, number: int) -> str:
        return f"{self.uri}/part-{number}.tfrecord"

    def mend(self) -> None:
        """Start what a test has ended, and let go on what it has stopped."""
        if self._stopped:
            os.kill(int(self.cluster.namenode.pid or 0), signal.SIGCONT)
            self._stopped = False
            self._wait_until_writable()
        if not self.cluster.datanode.runs:
            self.cluster.datanode.start()
        if not self.cluster.namenode.runs:
            self.cluster.start_namenode()

    def _wait_until_writable(self) -> None:
        """The DataNode counts as lost to a NameNode that was stopped for long, until it is heard of again."""
        until = time.monotonic() + 30
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"content")
            file.flush()
            while True:
                try:
                    self.cluster.put(file.name, "/written")
                except PipelineOptError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.2)
                else:
                    break
        self.cluster.remove("/written")

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    """A cluster with three shards below `hdfs://testing/data`; only clients with its `environ` know the name."""
    folder = tmp_path_factory.mktemp("hdfs")
    write_shards(folder)
    with needed(lambda: Cluster(NAME)) as cluster:
        cluster.put(folder, "/data")
        place = Hdfs(cluster)
        yield place
        place.close()
