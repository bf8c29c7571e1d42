"""A real HDFS read by every route of this Python, also where it fails under way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf
from hdfs import RECORDS, Hdfs, record, routes
from hdfs_reader import Reader

import pipeline_opt as po
from pipeline_opt.storage.hadoop import Cluster

pytestmark = [pytest.mark.tf, pytest.mark.slow]

WITHIN_S = 30.0
"""By when an error has to be there, as people are promised."""


@pytest.fixture(params=routes())
def reader(hdfs: Hdfs, request: pytest.FixtureRequest) -> Iterator[Reader]:
    yield hdfs.reader(request.param)
    hdfs.mend()


def test_lists_a_folder_and_reads_it(hdfs: Hdfs, reader: Reader) -> None:
    read = reader.read(hdfs.uri)
    assert (read.error, read.names, read.digest) == ("", hdfs.names, hdfs.digest)


def test_globs(hdfs: Hdfs, reader: Reader) -> None:
    read = reader.read(f"{hdfs.uri}/part-[02].*")
    assert (read.error, read.names) == ("", [name for name in hdfs.names if not name.startswith("1:")])


def test_reads_by_address(hdfs: Hdfs, reader: Reader) -> None:
    read = reader.read(f"{hdfs.cluster.uri}/data/part-1.tfrecord")
    assert (read.error, read.names) == ("", [name for name in hdfs.names if name.startswith("1:")])


def test_the_root_needs_no_slash(hdfs: Hdfs, reader: Reader, tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "root.tfrecord")) as writer:
        writer.write(record(7, 0))
    hdfs.cluster.put(tmp_path / "root.tfrecord", "/root.tfrecord")
    try:
        read = reader.read(hdfs.uri.removesuffix("/data"))
    finally:
        hdfs.cluster.remove("/root.tfrecord")
    assert (read.error, read.names) == ("", ["7:0"])


def test_survives_a_datanode_that_is_killed_and_restarted(hdfs: Hdfs, reader: Reader) -> None:
    assert reader.read(hdfs.uri, pause=True).names == hdfs.names[:1]
    hdfs.cluster.kill_datanode()
    again = threading.Timer(1.0, hdfs.cluster.start_datanode)
    again.start()
    read = reader.resume()
    again.join()
    assert (read.error, read.names, read.digest) == ("", hdfs.names, hdfs.digest)


def test_a_datanode_that_stays_away_is_an_error(hdfs: Hdfs, reader: Reader) -> None:
    reader.read(hdfs.uri, pause=True)
    hdfs.cluster.kill_datanode()
    read = reader.resume()
    assert read.error
    assert ".tfrecord" in read.message
    assert read.names == hdfs.names[: len(read.names)]
    assert read.seconds < WITHIN_S


def test_a_namenode_that_is_down_is_an_error(hdfs: Hdfs, reader: Reader) -> None:
    hdfs.cluster.kill_namenode()
    read = reader.read(hdfs.uri)
    assert (read.error, read.names) == ("SourceError", [])
    assert "hdfs://testing/data" in read.message
    assert "refuse" in read.message.lower()
    assert read.seconds < WITHIN_S
    hdfs.mend()
    assert reader.read(hdfs.shard(0)).names == hdfs.names[:RECORDS]


def test_a_namenode_that_dies_after_a_first_look_makes_no_file_missing(hdfs: Hdfs, reader: Reader) -> None:
    assert reader.read(hdfs.shard(0)).names == hdfs.names[:RECORDS]
    hdfs.cluster.kill_namenode()
    for uri in (hdfs.uri, f"{hdfs.uri}/part-*"):
        read = reader.read(uri, remembers=True)
        assert (read.error, read.names) == ("SourceError", []), read
        assert "refuse" in read.message.lower()
        assert read.seconds < WITHIN_S


def test_a_namenode_that_dies_between_two_files_makes_none_missing(hdfs: Hdfs, reader: Reader) -> None:
    assert reader.read(hdfs.uri, pause=True, retries=1).names == hdfs.names[:1]
    hdfs.cluster.kill_namenode()
    read = reader.resume()
    assert read.error in ("SourceError", "StageError"), read
    assert "part-" in read.message
    assert "refuse" in read.message.lower()
    assert read.names == hdfs.names[: len(read.names)]
    assert read.seconds < WITHIN_S


def test_a_namenode_that_hangs_is_an_error(hdfs: Hdfs, reader: Reader) -> None:
    assert reader.read(hdfs.shard(0)).names == hdfs.names[:RECORDS]
    hdfs.stop_namenode()
    read = reader.read(hdfs.uri, remembers=True, timeout_s=3)
    assert (read.error, read.names) == ("SourceError", []), read
    assert f"cannot read {hdfs.uri}: no answer within 3 s" in read.message
    assert "says nothing within" in read.message
    assert read.seconds < WITHIN_S
    hdfs.mend()
    assert reader.read(hdfs.shard(0)).names == hdfs.names[:RECORDS]


def test_a_namenode_that_hangs_between_two_files_is_an_error(hdfs: Hdfs) -> None:
    reader = hdfs.reader("fsspec")
    try:
        assert reader.read(hdfs.uri, pause=True, timeout_s=3).names == hdfs.names[:1]
        hdfs.stop_namenode()
        read = reader.resume()
    finally:
        hdfs.mend()
    assert read.error == "SourceError", read
    assert "part-" in read.message
    assert "says nothing within" in read.message
    assert read.seconds < WITHIN_S


def test_the_command_line_ends_where_a_namenode_hangs(hdfs: Hdfs, tmp_path: Path) -> None:
    uri = f"{hdfs.cluster.uri}/data"
    hdfs.stop_namenode()
    begun = time.monotonic()
    command = [sys.executable, "-m", "pipeline_opt", "profile", uri, "--via", "fsspec"]
    environ = {**os.environ, "PYTHONPATH": str(Path(po.__file__).parent.parent)}
    try:
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    finally:
        took = time.monotonic() - begun
        hdfs.mend()
    assert done.returncode == 2, done
    assert "says nothing within" in " ".join(done.stderr.split())
    assert took < WITHIN_S


def test_a_wrong_port_is_an_error(hdfs: Hdfs, reader: Reader) -> None:
    read = reader.read("hdfs://127.0.0.1:1/data")
    assert (read.error, read.names) == ("SourceError", [])
    assert "127.0.0.1:1" in read.message
    assert read.seconds < WITHIN_S


def test_a_missing_file_is_an_error(hdfs: Hdfs, reader: Reader) -> None:
    read = reader.read(hdfs.shard(7))
    assert (read.error, read.names) == ("MissingPathError", [])
    assert "part-7.tfrecord" in read.message


def test_a_file_that_is_deleted_while_it_is_read_is_named(
    hdfs: Hdfs, reader: Reader, tmp_path: Path, tf: object
) -> None:
    path = tmp_path / "part-9.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:  # type: ignore[attr-defined]
        for number in range(RECORDS):
            writer.write(record(9, number))
    hdfs.cluster.put(path, "/more/part-9.tfrecord")
    assert reader.read(hdfs.shard(0), "hdfs://testing/more/part-9.tfrecord", pause=True).names == hdfs.names[:1]
    hdfs.cluster.remove("/more/part-9.tfrecord")
    read = reader.resume()
    assert read.error
    assert "part-9.tfrecord" in read.message
    assert read.names == hdfs.names[:RECORDS]
    assert read.seconds < WITHIN_S


def test_routes_give_the_same_elements(hdfs: Hdfs) -> None:
    read = {via: hdfs.reader(via).read(hdfs.uri) for via in routes()}
    assert {(tuple(each.names), each.digest) for each in read.values()} == {(tuple(hdfs.names), hdfs.digest)}


def test_nothing_is_left_of_a_cluster(hdfs: Hdfs) -> None:
    with Cluster("other") as cluster:
        folders = [Path(cluster.environ["HADOOP_CONF_DIR"]), cluster.folder]
        pids = [daemon.pid for daemon in (cluster.namenode, cluster.datanode)]
        assert all(folder.is_dir() for folder in folders)
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        assert cluster.uri != hdfs.cluster.uri
    assert not cluster.folder.exists()
    assert folders[0].is_dir(), "the other cluster's clients need it"
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_daemons_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pipeline_opt.storage.hadoop import Cluster\n"
        "with Cluster() as c:\n"
        "    print(c.namenode.pid, c.datanode.pid, c.folder, c.environ['HADOOP_CONF_DIR'], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        namenode, datanode, *folders = child.stdout.readline().split()
        child.send_signal(signal.SIGKILL)
    paths = [Path(f"/proc/{namenode}"), Path(f"/proc/{datanode}"), *map(Path, folders)]
    limit = time.monotonic() + WITHIN_S
    while any(path.exists() for path in paths) and time.monotonic() < limit:
        time.sleep(0.05)
    assert [path for path in paths if path.exists()] == []
