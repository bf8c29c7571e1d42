"""Transfers of a real HDFS that meet a shape; read with hdfs-native, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hdfs import needed

import pipeline_opt as po
from pipeline_opt.errors import UsageError
from pipeline_opt.storage.hadoop import HdfsEmulation
from pipeline_opt.storage.shape import Fault, Shape

pytestmark = pytest.mark.slow

SIZE = 400_000
CONTENT = bytes(range(256)) * (SIZE // 256 + 1)
NAME = "shaped"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HdfsEmulation]:
    folder = tmp_path_factory.mktemp("served")
    for number in range(4):
        (folder / f"file-{number}").write_bytes(CONTENT[:SIZE])
    with needed(lambda: HdfsEmulation(folder, f"hdfs://{NAME}/data", Shape())) as emulation:
        yield emulation


@pytest.fixture
def files(store: HdfsEmulation) -> Any:
    store.shape = Shape()
    return fsspec.filesystem("hdfs", host=NAME, skip_instance_cache=True)


def test_the_folder_is_there_and_its_copying_is_not_counted(store: HdfsEmulation, files: Any) -> None:
    assert store.uri == f"hdfs://{NAME}/data"
    assert sorted(Path(path).name for path in files.ls("/data", detail=False)) == [f"file-{n}" for n in range(4)]
    assert "write" not in store.waited()


def test_a_read_waits_for_its_first_byte_and_is_noted(store: HdfsEmulation, files: Any) -> None:
    store.shape = Shape(ttfb_s=0.2)
    since = time.monotonic()
    assert files.cat_file("/data/file-0") == CONTENT[:SIZE]
    took = time.monotonic() - since
    (read,) = store.requests(since)
    assert (read.kind, read.bytes, read.status, read.range) == ("read", SIZE, 200, f"bytes=0-{SIZE - 1}")
    assert read.first_byte_s is not None
    assert 0.2 <= read.first_byte_s - read.start_s <= read.end_s - read.start_s <= took
    assert store.waited(since)["read"].count == 1


def test_every_read_waits_also_on_a_kept_connection(store: HdfsEmulation, files: Any) -> None:
    store.shape = Shape(ttfb_s=0.05)
    since = time.monotonic()
    for _ in range(3):
        files.cat_file("/data/file-1", start=1000, end=2000)
    reads = store.requests(since)
    assert [read.range for read in reads] == ["bytes=1000-1999"] * 3
    assert all(read.first_byte_s is not None and read.first_byte_s - read.start_s >= 0.05 for read in reads)


def test_a_stream_has_its_rate_and_streams_do_not_share_it(store: HdfsEmulation, files: Any) -> None:
    store.shape = Shape(stream_bytes_per_s=1e6)
    since = time.monotonic()
    took = _together(files, 4)
    reads = store.requests(since)
    assert len(reads) == 4
    assert all(read.end_s - read.start_s >= 0.9 * SIZE / 1e6 for read in reads)
    assert took < 3 * SIZE / 1e6


def test_all_streams_share_the_total_rate(store: HdfsEmulation, files: Any) -> None:
    store.shape = Shape(total_bytes_per_s=2e6)
    assert _together(files, 4) >= 0.9 * 4 * SIZE / 2e6


@pytest.mark.parametrize("kind", ["503", "reset", "truncate"])
def test_faults_break_reads_and_are_noted(store: HdfsEmulation, files: Any, kind: str) -> None:
    store.shape = Shape(faults=(Fault(kind, 1.0),))
    since = time.monotonic()
    with pytest.raises((OSError, RuntimeError)):
        files.cat_file("/data/file-2")
    reads = store.requests(since)
    assert reads
    assert {read.fault for read in reads} == {kind}
    assert all(read.bytes < SIZE for read in reads)
    store.shape = Shape()
    assert files.cat_file("/data/file-2") == CONTENT[:SIZE]


def test_writes_pass_and_are_noted(store: HdfsEmulation, files: Any) -> None:
    store.shape = Shape(ttfb_s=5.0)
    since = time.monotonic()
    with files.open("/new", "wb") as file:
        file.write(CONTENT[:SIZE])
    store.shape = Shape()
    assert files.cat_file("/new") == CONTENT[:SIZE]
    assert time.monotonic() - since < 5.0
    assert store.waited(since)["write"].bytes >= SIZE


def test_a_name_that_comes_again_is_reached_by_clients_of_before(tmp_path: Path) -> None:
    contents = []
    for text in ("first", "second"):
        (tmp_path / "file").write_text(text)
        with needed(lambda: po.emulate(tmp_path, "hdfs://again")):
            contents.append(
                fsspec.filesystem("hdfs", host="again", skip_instance_cache=True).cat_file("/file").decode()
            )
    assert contents == ["first", "second"]


@pytest.mark.parametrize("uri", ["hdfs://name:9000", "hdfs://", "hdfs://a_b", "hdfs://127.0.0.1"])
def test_what_cannot_be_emulated_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(UsageError, match="valid: hdfs://NAME"):
        po.emulate(tmp_path, uri)


def _together(files: Any, streams: int) -> float:
    """The seconds in which so many files are read at a time."""
    threads = [threading.Thread(target=files.cat_file, args=(f"/data/file-{n}",)) for n in range(streams)]
    since = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - since
