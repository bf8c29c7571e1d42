"""A plain HTTP client for storage servers: no retries, no cleverness, and what came as it came."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Talks to one bucket of a server at `http://HOST:PORT`, on a new connection for each request."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        self.address = urlsplit(endpoint)
        self.bucket = bucket

    def __call__(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, **query: Any
    ) -> Reply:
        connection = http.client.HTTPConnection(str(self.address.hostname), self.address.port, timeout=20)
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def object_path(self, name: str) -> str:
        return f"/storage/v1/b/{self.bucket}/o/{quote(name, safe='')}"

    def list(self, **query: Any) -> Reply:
        return self("GET", f"/storage/v1/b/{self.bucket}/o", **query)

    def stat(self, name: str, **query: Any) -> Reply:
        return self("GET", self.object_path(name), **query)

    def read(self, name: str, asked: str | None = None) -> Reply:
        return self("GET", f"/{self.bucket}/{quote(name)}", headers={"Range": asked} if asked else {})

    def write(self, name: str, content: bytes, **query: Any) -> Reply:
        where = f"/upload/storage/v1/b/{self.bucket}/o"
        return self("POST", where, content, uploadType="media", name=name, **query)

    def begin(self, name: str) -> str:
        """Begin a resumable upload; the path and query of its session."""
        reply = self("POST", f"/upload/storage/v1/b/{self.bucket}/o", b"", uploadType="resumable", name=name)
        assert reply.status == 200
        place = urlsplit(reply.headers["location"])
        return f"{place.path}?{place.query}"

    def part(self, session: str, content: bytes, where: str | None) -> Reply:
        return self("PUT", session, content, {"Content-Range": where} if where else {})


def through_proxy(endpoint: str, bundle: str | None, host: str = "storage.googleapis.com") -> socket.socket:
    """A connection to one of Google's hosts as TensorFlow makes it: CONNECT, then TLS if there is a bundle."""
    address = urlsplit(endpoint)
    plain = socket.create_connection((str(address.hostname), address.port), timeout=20)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    if bundle is None:
        return plain
    reply = plain.recv(4096)
    assert reply.startswith(b"HTTP/1.1 200"), reply
    return ssl.create_default_context(cafile=bundle).wrap_socket(plain, server_hostname=host)
