"""What the emulator answers on the wire: shaping, faults, refusals, and the log of it."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from plain_http import Client, through_proxy

import pipeline_opt as po
from pipeline_opt.storage.emulator import Emulation
from pipeline_opt.storage.shape import Fault, Shape


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Emulation]]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "big").write_bytes(os.urandom(1_000_000))
    (folder / "small").write_bytes(b"small")
    with po.emulate(folder, "gs://bucket") as emulation:
        yield folder, emulation


@pytest.fixture
def store(served: tuple[Path, Emulation]) -> Iterator[Emulation]:
    emulation = served[1]
    yield emulation
    emulation.shape = Shape()


@pytest.fixture
def client(store: Emulation) -> Client:
    return Client(store.endpoint, "bucket")


def raw(connection: socket.socket, request: str) -> bytes:
    """Everything that comes until the connection ends."""
    connection.sendall(request.replace("\n", "\r\n").encode())
    said = b""
    while data := connection.recv(1 << 16):
        said += data
    return said


def broken_off(store: Emulation, request: str) -> bool:
    """Whether an answer had begun before its connection was reset."""
    begun = False
    with socket.create_connection(("127.0.0.1", int(store.endpoint.rpartition(":")[2]))) as connection:
        connection.sendall(request.encode())
        try:
            while connection.recv(1 << 16):
                begun = True
        except ConnectionResetError:
            return begun
    raise AssertionError("the connection was not reset")


# Refusals


@pytest.mark.parametrize("host", ["oauth2.googleapis.com", "example.com", "bucket.storage.googleapis.com"])
def test_other_hosts_are_refused_by_name(store: Emulation, host: str) -> None:
    with through_proxy(store.endpoint, None, host) as connection:
        said = raw(connection, "")
    assert said.startswith(b"HTTP/1.1 403 Forbidden")
    assert f"no {host}:443".encode() in said


def test_nobody_else_trusts_the_certificate(store: Emulation) -> None:
    with through_proxy(store.endpoint, None) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(connection, server_hostname="storage.googleapis.com")


@pytest.mark.parametrize("request_line", ["nonsense", "GET / HTTP/9", "GET /bucket/small SMTP/1.1"])
def test_what_is_no_http_is_refused(store: Emulation, request_line: str) -> None:
    with socket.create_connection(("127.0.0.1", int(store.endpoint.rpartition(":")[2]))) as connection:
        assert raw(connection, f"{request_line}\n\n").startswith(b"HTTP/1.1 400")


def test_errors_are_googles(client: Client) -> None:
    error = client.stat("no").json["error"]
    assert (error["code"], error["errors"][0]["reason"]) == (404, "notFound")
    assert b"<Code>NoSuchKey</Code>" in client.read("no").body
    assert client("POST", "/storage/v1/b?project=p", b"{}").status == 501
    assert client("POST", "/batch/storage/v1", b"").json["error"]["errors"][0]["reason"] == "notImplemented"
    assert client.list(pageToken="no").status == 400
    assert client.list(maxResults="many").status == 400
    assert client.write("../out", b"x").status == 400
    assert client.part(client.begin("x"), b"1", "bytes 5-5/6").status == 400
    assert client.part(client.begin("x"), b"1", "lines 5").status == 400
    assert client("POST", "/upload/storage/v1/b/bucket/o", b"", uploadType="odd").status == 400
    assert client("POST", client.object_path("y") + "/compose", b"{no").status == 400


# The wire


def test_a_connection_is_kept(store: Emulation) -> None:
    ask = "GET /bucket/small HTTP/1.1\nHost: storage.googleapis.com\n"
    with through_proxy(store.endpoint, store.variables["CURL_CA_BUNDLE"]) as connection:
        said = raw(connection, f"{ask}\n{ask}Connection: close\n\n")
    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert said.count(b"small") == 2


def test_uploads_come_in_chunks_and_wait_to_be_asked_for(store: Emulation, served: tuple[Path, Emulation]) -> None:
    where = "POST /upload/storage/v1/b/bucket/o?uploadType=media&name=chunked HTTP/1.1\nHost: www.googleapis.com\n"
    with through_proxy(store.endpoint, store.variables["CURL_CA_BUNDLE"], "www.googleapis.com") as connection:
        connection.sendall(
            f"{where}Expect: 100-continue\nTransfer-Encoding: chunked\nConnection: close\n\n".replace(
                "\n", "\r\n"
            ).encode()
        )
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert b'"size":"6"' in raw(connection, "3\nabc\n3;x=y\ndef\n0\n\n")
    assert (served[0] / "chunked").read_bytes() == b"abcdef"


def test_a_torn_upload_keeps_what_has_come(client: Client, store: Emulation) -> None:
    session = client.begin("torn")
    with socket.create_connection(("127.0.0.1", int(store.endpoint.rpartition(":")[2]))) as connection:
        head = f"PUT {session} HTTP/1.1\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n"
        connection.sendall(head.encode() + b"abcd")
    end = time.monotonic() + 10
    while client.part(session, b"", "bytes */10").headers.get("range") != "bytes=0-3":
        assert time.monotonic() < end
    assert client.part(session, b"cdefghij", "bytes 2-9/10").status == 200
    assert client.read("torn").body == b"abcdefghij"


def test_session_addresses_come_back_as_https(store: Emulation) -> None:
    ask = "POST /upload/storage/v1/b/bucket/o?uploadType=resumable&name=x HTTP/1.1\nHost: www.googleapis.com\n"
    with through_proxy(store.endpoint, store.variables["CURL_CA_BUNDLE"], "www.googleapis.com") as connection:
        said = raw(connection, f"{ask}Content-Length: 0\nConnection: close\n\n")
    assert b"Location: https://www.googleapis.com/upload/storage/v1/b/bucket/o?" in said


def test_a_file_that_becomes_shorter_breaks_the_answer(
    client: Client, store: Emulation, served: tuple[Path, Emulation]
) -> None:
    (served[0] / "shrinks").write_bytes(bytes(1_000_000))
    store.shape = Shape(stream_bytes_per_s=500_000)
    connection = socket.create_connection(("127.0.0.1", int(store.endpoint.rpartition(":")[2])))
    with connection:
        connection.sendall(b"GET /bucket/shrinks HTTP/1.1\r\nConnection: close\r\n\r\n")
        connection.recv(100)
        os.truncate(served[0] / "shrinks", 1000)
        said = raw(connection, "")
    assert len(said) < 1_000_000
    assert client.read("small").body == b"small"


# Shape


def test_the_shape_holds(client: Client, store: Emulation) -> None:
    store.shape = Shape(ttfb_s=0.05, stream_bytes_per_s=4_000_000)
    started = time.monotonic()
    assert len(client.read("big").body) == 1_000_000
    client.stat("small")
    client.list()
    client.write("up", bytes(400_000))
    read, stat, listed, write = store.requests(started)
    assert (read.kind, stat.kind, listed.kind, write.kind) == ("read", "stat", "list", "write")
    for each in (read, stat, listed):
        assert each.first_byte_s is not None
        assert 0.05 <= each.first_byte_s - each.start_s < 5
    assert 0.3 <= read.end_s - read.start_s < 5
    assert 0.15 <= write.end_s - write.start_s < 5
    assert write.bytes == 400_000


def test_all_streams_share_the_total_rate(client: Client, store: Emulation) -> None:
    store.shape = Shape(total_bytes_per_s=8_000_000)
    started = time.monotonic()
    threads = [threading.Thread(target=client.read, args=("big",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = max(each.end_s for each in store.requests(started)) - started
    assert 0.49 <= took < 10


def test_each_kind_of_fault(client: Client, store: Emulation) -> None:
    for status in ("429", "503"):
        store.shape = Shape(faults=(Fault(status, 1.0),))
        reply = client.stat("small")
        assert (reply.status, reply.headers["retry-after"]) == (int(status), "1")
        assert f"{status} for gs://bucket/small" in reply.json["error"]["message"]
    store.shape = Shape(faults=(Fault("truncate", 1.0),))
    with socket.create_connection(("127.0.0.1", int(store.endpoint.rpartition(":")[2]))) as connection:
        said = raw(connection, "GET /bucket/big HTTP/1.1\n\n")
    assert b"Content-Length: 1000000" in said
    assert len(said.partition(b"\r\n\r\n")[2]) == 500_000
    store.shape = Shape(faults=(Fault("reset", 1.0),))
    begun = {broken_off(store, "GET /bucket/big HTTP/1.1\r\n\r\n") for _ in range(20)}
    assert begun == {True, False}
    assert {each.fault for each in store.requests()} >= {"429", "503", "truncate", "reset"}


def test_a_refused_upload_is_not_asked_for(store: Emulation, served: tuple[Path, Emulation]) -> None:
    store.shape = Shape(faults=(Fault("503", 1.0),))
    ask = "POST /upload/storage/v1/b/bucket/o?uploadType=media&name=never HTTP/1.1\nExpect: 100-continue\n"
    with socket.create_connection(("127.0.0.1", int(store.endpoint.rpartition(":")[2]))) as connection:
        assert raw(connection, f"{ask}Content-Length: 5\n\n").startswith(b"HTTP/1.1 503")
    assert not (served[0] / "never").exists()


# The log


def test_the_log_holds_every_request(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_bytes(b"12345")
    with po.emulate(tmp_path / "data", "gs://bucket", log=tmp_path / "log.jsonl") as store:
        client = Client(store.endpoint, "bucket")
        client.read("x", "bytes=1-3")
        client.stat("no")
        kept = store.requests()
        assert urlsplit(store.endpoint).hostname == "127.0.0.1"
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [each._asdict() for each in kept]
    assert (lines[0]["kind"], lines[0]["range"], lines[0]["bytes"], lines[0]["status"]) == ("read", "bytes=1-3", 3, 206)
    assert (lines[1]["kind"], lines[1]["status"], lines[1]["uri"]) == ("stat", 404, "gs://bucket/no")


def test_requests_are_there_as_soon_as_their_answers(client: Client, store: Emulation) -> None:
    started = time.monotonic()
    for number in range(200):
        client.read("small")
        assert len(store.requests(started)) == number + 1


def test_a_hundred_thousand_objects(tmp_path: Path) -> None:
    for number in range(100_000):
        os.close(os.open(tmp_path / f"{number:06d}", os.O_CREAT | os.O_WRONLY))
    with po.emulate(tmp_path, "gs://bucket", read_only=True) as store:
        client = Client(store.endpoint, "bucket")
        found, token, started = 0, "", time.monotonic()
        while True:
            page = client.list(fields="items/name,nextPageToken", **({"pageToken": token} if token else {})).json
            found += len(page["items"])
            token = page.get("nextPageToken", "")
            if not token:
                break
    assert found == 100_000
    assert time.monotonic() - started < 30
