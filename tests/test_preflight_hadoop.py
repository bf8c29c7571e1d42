"""What `hdfs://` needs: settings, a NameNode behind the port, libhdfs and its CLASSPATH."""

from __future__ import annotations

import ctypes
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import closed_port, server, until_blank_line

from pipeline_opt.errors import MissingPathError, SchemeError, SourceError
from pipeline_opt.storage import preflight
from pipeline_opt.storage.client_errors import client_errors
from pipeline_opt.storage.preflight import Finding, failed, hadoop_settings, libhdfs, name_node


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HADOOP_CONF_DIR", "HADOOP_HOME", "HADOOP_HDFS_HOME", "CLASSPATH"):
        monkeypatch.delenv(name, raising=False)
    preflight.forget()


def problem_of(uri: str, route: str = "fsspec") -> Finding:
    found = failed(preflight.findings(uri, route))
    assert found is not None
    return found


def site(folder: Path, **settings: str) -> Path:
    folder.mkdir(exist_ok=True)
    properties = "".join(
        f"<property><name>{name.replace('__', '.')}</name><value>{value}</value></property>"
        for name, value in settings.items()
    )
    (folder / "hdfs-site.xml").write_text(f"<configuration>{properties}</configuration>")
    return folder


def answering(text: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        until_blank_line(connection)
        connection.sendall(text)

    return serve


def test_a_port_that_is_closed() -> None:
    port = closed_port()
    with pytest.raises(SourceError, match=f"refuses connections to port {port}; check that the server runs"):
        preflight.require(f"hdfs://127.0.0.1:{port}/x", "fsspec")


def test_a_name_that_is_not_known() -> None:
    found = problem_of("hdfs://nobody.invalid:9000/x")
    assert "nobody.invalid is not known here" in found.detail


def test_a_nameservice_without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HADOOP_CONF_DIR", str(site(tmp_path / "conf", dfs__nameservices="other")))
    found = problem_of("hdfs://cluster-invalid/x")
    assert "if cluster-invalid is a nameservice, set HADOOP_CONF_DIR" in found.remedy
    assert "nameservices known there: other" in found.remedy


def test_a_nameservice_is_looked_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dead = closed_port()
    with server(answering(b"")) as port:
        folder = site(
            tmp_path / "conf",
            dfs__nameservices="a, service",
            dfs__ha__namenodes__service="n1,n2",
            dfs__namenode__rpc_address__service__n1="",
        )
        text = (folder / "hdfs-site.xml").read_text().replace("rpc_address", "rpc-address")
        text = text.replace("<value></value>", f"<value>127.0.0.1:{dead}</value>")
        second = f"<property><name>dfs.namenode.rpc-address.service.n2</name><value>127.0.0.1:{port}</value></property>"
        (folder / "hdfs-site.xml").write_text(text.replace("</configuration>", f"{second}</configuration>"))
        monkeypatch.setenv("HADOOP_CONF_DIR", str(folder))
        found = list(preflight.findings("hdfs://service/x", "fsspec"))
    assert found == [Finding("NameNode", True, f"127.0.0.1:{port} accepts connections")]


def test_no_name_node_at_all() -> None:
    assert "names no NameNode" in problem_of("hdfs:///x").detail


def test_a_web_port_is_no_name_node() -> None:
    with server(answering(b"HTTP/1.1 302 Found\r\nLocation: /index.html\r\n\r\n")) as port:
        found = problem_of(f"hdfs://127.0.0.1:{port}/x")
    assert "no NameNode's RPC port: it answers 'HTTP/1.1 302 Found'" in found.detail
    assert "not the web interface's" in found.remedy


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 404 Not Found\r\n\r\nIt looks like you are making an HTTP request to a Hadoop IPC port. ",
        b"",
        b"\x00\x00\x00\x20",
    ],
)
def test_a_name_node_and_whatever_may_be_one(text: bytes) -> None:
    with server(answering(text)) as port:
        preflight.require(f"hdfs://127.0.0.1:{port}/x", "fsspec")


def test_a_name_node_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its system accepts connections for it, and keeps them."""
    monkeypatch.setattr(name_node, "ASK_S", 0.2)
    ended = threading.Event()
    with server(lambda _: ended.wait(10) and None) as port:
        with pytest.raises(
            SourceError, match=f"{port} accepts connections, but says nothing within 0.2 s; check whether"
        ):
            preflight.require(f"hdfs://127.0.0.1:{port}/x", "fsspec")
        ended.set()


def test_a_store_that_has_gone_since_it_was_seen() -> None:
    with server(answering(b"")) as port:
        uri = f"hdfs://127.0.0.1:{port}/x"
        preflight.require(uri, "fsspec")
    preflight.require(uri, "fsspec")
    with pytest.raises(SourceError, match="refuses connections"):
        preflight.require(uri, "fsspec", anew=True)
    with pytest.raises(SourceError, match="refuses connections"):
        preflight.require(uri, "fsspec")


def test_what_a_client_does_not_find_is_missing_only_while_its_store_answers() -> None:
    uri = f"hdfs://127.0.0.1:{closed_port()}/x"
    with pytest.raises(SourceError, match="refuses connections") as caught, client_errors(uri):
        raise FileNotFoundError(uri)
    assert not isinstance(caught.value, MissingPathError)
    with pytest.raises(MissingPathError, match="no such path: memory://x"), client_errors("memory://x"):
        raise FileNotFoundError


def test_settings_of_several_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, two = site(tmp_path / "one", a="1"), site(tmp_path / "two", a="2", b="2")
    (two / "core-site.xml").write_text("<configuration")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(one))
    monkeypatch.setenv("CLASSPATH", f"{two}:/nowhere/x.jar:{tmp_path}/*")
    assert hadoop_settings.hadoop_settings() == {"a": "1", "b": "2"}


# libhdfs


def loading(monkeypatch: pytest.MonkeyPatch, problem: str = "") -> None:
    def load(name: str) -> None:
        if problem:
            raise OSError(problem)

    monkeypatch.setattr(ctypes, "CDLL", load)


def test_no_libhdfs(monkeypatch: pytest.MonkeyPatch) -> None:
    loading(monkeypatch, "libhdfs.so: cannot open shared object file")
    with pytest.raises(SchemeError, match=r"libhdfs does not load.*LD_LIBRARY_PATH"):
        preflight.require("hdfs://127.0.0.1:9/x", "tf")


def test_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    loading(monkeypatch, "libjvm.so: cannot open shared object file")
    found = problem_of("hdfs://127.0.0.1:9/x", "tf")
    assert found.step == "Java"
    assert "lib/server" in found.remedy


def test_no_class_path(monkeypatch: pytest.MonkeyPatch) -> None:
    loading(monkeypatch)
    found = problem_of("viewfs://127.0.0.1:9/x", "tf")
    assert str(found) == f"CLASSPATH is not set; {libhdfs.CLASSPATH_REMEDY}"


def test_class_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loading(monkeypatch)
    jars = [tmp_path / f"hadoop-{name}-2.7.3.jar" for name in ("common", "hdfs")]

    def works(text: str) -> bool | None:
        monkeypatch.setenv("CLASSPATH", text)
        return list(preflight.findings("viewfs://x/", "tf"))[-1].works

    assert works(":".join(map(str, jars))) is False, "jars that do not exist"
    for jar in jars:
        jar.touch()
    assert works(":".join(map(str, jars))) is True
    assert works(f"{tmp_path}/*") is None, "older versions of libhdfs do not expand it"
    assert works(str(jars[0])) is None, "the rest may be in it"
