"""Whether a bucket can be read, told within seconds: proxies, certificates, credentials and answers, all on this machine."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from loopback import closed_port, reply, server, tls_proxy, until_blank_line

from pipeline_opt.errors import MissingPathError, SourceError
from pipeline_opt.storage import preflight
from pipeline_opt.storage.preflight import bucket, credentials, failed, network
from pipeline_opt.storage.preflight.credentials import Credentials
from pipeline_opt.storage.preflight.network import Answer, Undecided, Unreachable


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No proxy, no credentials and no metadata server of this machine."""
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in (credentials.TOKEN, credentials.FILE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv(credentials.NO_GCE, "true")
    monkeypatch.setattr(bucket, "PAUSE_S", 0.0)
    preflight.forget()
    yield
    preflight.forget()


# The network


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    port = closed_port()
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    began = time.monotonic()
    with pytest.raises(SourceError, match=f"proxy .*127.0.0.1 refuses connections to port {port}; start it"):
        preflight.require("gs://bucket/x")
    assert time.monotonic() - began < 20


def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(connection: socket.socket) -> None:
        asked.append(until_blank_line(connection))
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    with server(refuse) as port:
        monkeypatch.setenv("https_proxy", f"http://me:se%20cret@127.0.0.1:{port}")
        with pytest.raises(SourceError, match=r"does not connect to www.googleapis.com: .*403") as caught:
            preflight.require("gs://bucket/x")
    assert "cret" not in str(caught.value)
    assert asked[0].startswith(b"CONNECT www.googleapis.com:443")
    assert b"Proxy-Authorization: Basic bWU6c2UgY3JldA==" in asked[0]


def test_a_certificate_that_is_not_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "other.pem"))
    with server(tls_proxy(trustme.CA(), lambda _: reply(200, "{}"))) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        with pytest.raises(SourceError, match=r"certificate of www.googleapis.com is not trusted: .*CURL_CA_BUNDLE"):
            preflight.require("gs://bucket/x")


def test_certificates_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with pytest.raises(SourceError, match=r"cannot read the trusted certificates .*missing.pem: .*CURL_CA_BUNDLE"):
        preflight.require("gs://bucket/x")


def test_the_way_that_the_client_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The proxy, its certificate, the token, and the request of a listing."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv(credentials.TOKEN, "secret")
    asked: list[bytes] = []

    def answer(request: bytes) -> bytes:
        asked.append(request)
        return reply(200, "{}")

    with server(tls_proxy(authority, answer)) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        preflight.require("gs://bucket/train/part-*.tfrecord")
        preflight.require("gs://bucket/other")
    assert len(asked) == 1, "a bucket is asked once"
    assert asked[0].startswith(b"GET /storage/v1/b/bucket/o?maxResults=1&prefix=train%2Fpart- ")
    assert b"Authorization: Bearer secret" in asked[0]


def test_a_lookup_that_hangs_is_left_behind() -> None:
    release = threading.Event()
    with pytest.raises(Unreachable, match=r"no answer within 0.05 s"):
        network.within(0.05, release.wait)
    release.set()
    assert network.within(5, lambda: 7) == 7
    with pytest.raises(KeyError):
        network.within(5, {}.popitem)


def test_proxies_are_curls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "proxy:3128")
    found = network.proxy_of("www.googleapis.com", "https")
    assert found is not None
    assert (found.hostname, found.port) == ("proxy", 3128)
    monkeypatch.setenv("no_proxy", ".googleapis.com")
    assert network.proxy_of("www.googleapis.com", "https") is None


# The bucket


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Answer | Exception) -> list[str]:
    """Let the server give these answers in turn, the last again and again; what it was asked."""
    asked: list[str] = []
    left = list(answers)

    def get(_: str, path: str, headers: object) -> Answer:
        asked.append(path)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(bucket, "https_get", get)
    return asked


def error(status: int, message: str = "no") -> Answer:
    return Answer(status, json.dumps({"error": {"message": message}}).encode())


def test_a_bucket_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, error(404, "The specified bucket does not exist."))
    with pytest.raises(MissingPathError, match=r"gs://bucket does not exist .*check its spelling"):
        preflight.require("gs://bucket/x")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, error(401, "Anonymous caller does not have storage.objects.list access"))
    with pytest.raises(
        SourceError, match=r"permission denied \(401: Anonymous.*no credentials were found; run `gcloud"
    ):
        preflight.require("gs://bucket/x*")


def test_a_token_that_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(credentials.TOKEN, "x")
    answering(monkeypatch, error(403))
    with pytest.raises(SourceError, match=r"permission denied \(403: no\); the token of GOOGLE_AUTH"):
        preflight.require("gs://bucket/x")


def test_an_object_that_may_be_read_where_listing_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, error(401), error(401), Answer(200, b"{}"))
    preflight.require("gs://bucket/a/b")
    assert asked[-1].startswith("/storage/v1/b/bucket/o/a%2Fb?fields=")


@pytest.mark.parametrize("answer", [error(503), error(429), error(500), error(400), Undecided("reset")])
def test_what_may_pass_is_left_to_the_client(monkeypatch: pytest.MonkeyPatch, answer: Answer | Exception) -> None:
    answering(monkeypatch, answer)
    preflight.require("gs://bucket/x")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_no_has_to_be_said_twice(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    answering(monkeypatch, error(status), Answer(200, b"{}"))
    preflight.require("gs://bucket/x")


def test_a_refused_connection_gets_another_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, Unreachable("refused", "start it"), Answer(200, b"{}"))
    preflight.require("gs://bucket/x")


def test_files_of_credentials_are_left_to_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "credentials", lambda: Credentials("key.json"))
    answering(monkeypatch, error(401))
    preflight.require("gs://bucket/x")


def test_a_failure_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, error(404))
    with pytest.raises(MissingPathError):
        preflight.require("gs://bucket/x")
    answering(monkeypatch, Answer(200, b"{}"))
    preflight.require("gs://bucket/x")


def test_no_bucket() -> None:
    found = failed(preflight.findings("gs:///x"))
    assert found is not None
    assert "names no bucket" in found.detail


def test_other_stores_and_clients_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, error(404))
    preflight.require("gs://bucket/x", "fsspec")
    preflight.require("s3://bucket/x", "fsspec")
    assert asked == []


# Credentials


def test_the_order_of_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    well_known = tmp_path / "gcloud" / "application_default_credentials.json"
    well_known.parent.mkdir()
    well_known.write_text('{"refresh_token": "r"}')
    assert credentials.credentials() == Credentials(str(well_known))
    key = tmp_path / "key.json"
    key.write_text('{"private_key": "k"}')
    monkeypatch.setenv(credentials.FILE, str(key))
    assert credentials.credentials().source == str(key)
    monkeypatch.setenv(credentials.TOKEN, "t")
    assert credentials.credentials() == Credentials(credentials.TOKEN, "t")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "which does not exist"),
        ("{", "is not JSON"),
        ('{"type": "external_account"}', "of the type 'external_account', which TensorFlow's client does not know"),
        ("[]", "of the type 'unknown'"),
    ],
)
def test_a_file_that_the_client_passes_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, said: str
) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(credentials.FILE, str(path))
    found = credentials.credentials()
    assert not found.source
    assert said in found.problems[0]


def test_the_metadata_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(credentials.NO_GCE)

    def answer(connection: socket.socket) -> None:
        until_blank_line(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Length: 0\r\n\r\n")

    with server(answer) as port:
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{port}")
        assert credentials.credentials().source.startswith("the metadata server")


def test_without_a_metadata_server_the_client_is_told_not_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(credentials.NO_GCE, "false")
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{closed_port()}")
    assert credentials.credentials() == Credentials("")
    assert credentials.os.environ[credentials.NO_GCE] == "true"
