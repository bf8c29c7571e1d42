"""Requests as TensorFlow's HTTP client makes them: through the same proxy, with the same certificates, but bounded."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

CONNECT_S: Final = 3.0
ANSWER_S: Final = 4.0
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where TensorFlow's curl looks unless CURL_CA_BUNDLE says otherwise (`third_party/curl.BUILD`)."""

Seen = TypeVar("Seen")


class Answer(NamedTuple):
    """What a server said."""

    status: int
    body: bytes


class Unreachable(Exception):
    """Raised where no connection can be made: what failed, and what would help."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


class Undecided(Exception):
    """Raised where a request failed in a way that may pass: only the client, which tries again, can tell."""


class Asked(Generic[Seen]):
    """A question on a thread of its own. It can be left behind, as a client that hangs cannot be ended."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._seen: list[Seen] = []
        self._error: BaseException | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="pipeline_opt_asked", daemon=True).start()

    def ends_within(self, seconds: float) -> bool:
        """Whether it ends in so many seconds from now, with an answer or an error."""
        return self._ended.wait(seconds)

    def answer(self) -> Seen:
        """What came of it, once it has ended: the answer, or its error is raised."""
        if self._error is not None:
            raise self._error
        return self._seen[0]

    def _run(self) -> None:
        try:
            self._seen.append(self._look())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._error = error
        finally:
            self._ended.set()


def proxy_of(host: str, scheme: str) -> SplitResult | None:
    """The proxy that curl takes for a host; None for a direct connection."""
    proxies = urllib.request.getproxies_environment()
    url = proxies.get(scheme) or proxies.get("all")
    if not url or urllib.request.proxy_bypass(host):
        return None
    return urlsplit(url if "://" in url else f"http://{url}")


def certificates() -> str:
    """The file of trusted certificates that TensorFlow's client reads."""
    return os.environ.get("CURL_CA_BUNDLE") or CERTIFICATES


def https_get(host: str, path: str, headers: Mapping[str, str]) -> Answer:
    """One request.

    Raises:
        Unreachable: No connection: name, network, proxy or certificate; trying again would not help within seconds.
        Undecided: A connection that was reset, or no answer in time.
    """
    connection, via = _connection(host)
    try:
        _connect(connection, host, via)
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(1 << 16))
    except (OSError, http.client.HTTPException) as error:
        raise Undecided(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def connect(host: str, port: int, timeout_s: float = CONNECT_S) -> socket.socket:
    """A TCP connection.

    Raises:
        Unreachable: None can be made; says whether the name, the network or the port is why.
    """
    try:
        return socket.create_connection((host, port), timeout=timeout_s)
    except OSError as error:
        raise Unreachable(*_tcp_problem(error, host, port)) from error


def within(seconds: float, look: Callable[[], Seen]) -> Seen:
    """What `look` returns or raises, if that takes no longer; a name server may keep a lookup for half a minute.

    Raises:
        Unreachable: It takes longer.
    """
    asked = Asked(look)
    if not asked.ends_within(seconds):
        raise Unreachable(f"no answer within {seconds:g} s", "check the network, the name server and the proxy")
    return asked.answer()


def _connection(host: str) -> tuple[http.client.HTTPSConnection, SplitResult | None]:
    """A connection yet to be made, and the proxy it goes through."""
    file = certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:
        raise Unreachable(
            f"TensorFlow's client cannot read the trusted certificates {file}: {error.strerror or error}",
            "set CURL_CA_BUNDLE to this system's bundle, or to what `python -m certifi` prints",
        ) from error
    proxy = proxy_of(host, "https")
    if proxy is None:
        return http.client.HTTPSConnection(host, timeout=ANSWER_S, context=context), None
    if proxy.scheme != "http" or not proxy.hostname:
        raise Undecided(f"a proxy of the kind {proxy.scheme}:// is not checked")
    connection = http.client.HTTPSConnection(proxy.hostname, _port(proxy), timeout=ANSWER_S, context=context)
    connection.set_tunnel(host, 443, headers=_authorization(proxy))
    return connection, proxy


def _connect(connection: http.client.HTTPSConnection, host: str, proxy: SplitResult | None) -> None:
    """Make the connection, in three steps that fail in different ways: TCP, the proxy's tunnel, TLS."""
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"the certificate of {host} is not trusted: {error.verify_message}",
            f"set CURL_CA_BUNDLE to a file with the authority that signed it (now {certificates()})",
        ) from error
    except OSError as error:
        name, port = (host, 443) if proxy is None else (str(proxy.hostname), _port(proxy))
        if "Tunnel connection failed" in str(error):
            raise Unreachable(
                f"the proxy {name}:{port} does not connect to {host}: {error}",
                "correct https_proxy, or add the host to no_proxy if it can be reached directly",
            ) from error
        if connection.sock is not None:
            raise
        detail, remedy = _tcp_problem(error, name, port)
        if proxy is not None:
            detail, remedy = f"the proxy of https_proxy or all_proxy: {detail}", "start it, or correct the variable"
        elif isinstance(error, socket.gaierror | TimeoutError):
            remedy = f"check the network and the name server; where only a proxy leads to {host}, set https_proxy"
        raise Unreachable(detail, remedy) from error


def _tcp_problem(error: OSError, host: str, port: int) -> tuple[str, str]:
    if isinstance(error, socket.gaierror):
        return f"the name {host} is not known here ({error.strerror})", "check its spelling and the name server"
    if isinstance(error, ConnectionRefusedError):
        return f"{host} refuses connections to port {port}", "check that the server runs, and on that port"
    if isinstance(error, TimeoutError):
        return f"{host}:{port} does not answer", "check the address, the network and its firewall"
    return f"no connection to {host}:{port}: {error.strerror or error}", "check the network"


def _port(proxy: SplitResult) -> int:
    # curl's default for proxies.
    return proxy.port or 1080


def _authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
