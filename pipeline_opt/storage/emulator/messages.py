"""HTTP as the emulator speaks it: requests read from a connection, answers as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import BinaryIO, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

from pipeline_opt.storage.emulator.refusals import RefusalError

MOST_HEAD_BYTES: Final = 64 << 10
FORWARDED: Final = "x-forwarded-proto"
"""The header in which an emulator that passes a request on says how the client had sent it."""

_PIECE: Final = 256 << 10


class Paced(Protocol):
    """What holds a body back."""

    def wait(self, count: int) -> None:
        """Return when so many bytes more may have passed."""
        ...


class Media(NamedTuple):
    """A part of a file as the content of an answer."""

    stream: BinaryIO
    offset: int
    length: int


class Answer(NamedTuple):
    """What a request gets: a body, or a part of a file; of a HEAD request only the header is sent."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    media: Media | None = None

    @property
    def length(self) -> int:
        """Bytes of the content."""
        return len(self.body) if self.media is None else self.media.length


class Body:
    """The content of a request, read when it is asked for.

    Args:
        stream: Where it comes from.
        length: In bytes; None where it comes in chunks.
        go_on: Asks a client that waits for it to send the content; None for others.
    """

    def __init__(self, stream: BinaryIO, length: int | None, go_on: Callable[[], None] | None) -> None:
        self._stream = stream
        self._left = length
        self._go_on = go_on
        self.pace: Paced | None = None
        self.received = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is, or is left, none."""
        return self._left == 0

    @property
    def is_held_back(self) -> bool:
        """Whether the client waits to be asked for it."""
        return self._go_on is not None and self._left != 0

    def pieces(self) -> Iterator[bytes]:
        """The content, in the pieces in which it comes.

        Raises:
            ConnectionError: The client went away before its end.
        """
        if self.is_held_back and self._go_on is not None:
            self._go_on()
        self._go_on = None
        if self._left is None:
            yield from self._chunks()
            self._left = 0
            return
        while self._left:
            piece = self._some(self._left)
            self._left -= len(piece)
            yield piece

    def read(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces())

    def _chunks(self) -> Iterator[bytes]:
        while left := _chunk_size(self._stream.readline(MOST_HEAD_BYTES)):
            while left:
                piece = self._some(left)
                left -= len(piece)
                yield piece
            self._stream.readline(MOST_HEAD_BYTES)
        while self._stream.readline(MOST_HEAD_BYTES).strip():
            pass

    def _some(self, most: int) -> bytes:
        piece: bytes = self._stream.read1(min(most, _PIECE))  # type: ignore[attr-defined]
        if not piece:
            raise ConnectionResetError("the client went away within the content of its request")
        self.received += len(piece)
        if self.pace is not None:
            self.pace.wait(len(piece))
        return piece


class Request(NamedTuple):
    """A request whose header has been read.

    Attributes:
        method: In capitals.
        target: Path and query as they were sent.
        path: As it was sent, with its percent escapes: an object's name is one part of it.
        query: Unescaped.
        headers: By names in lower case.
        body: Not read yet.
        base: The address under which the client reached the emulator, such as `https://www.googleapis.com`.
        keeps: Whether the client wants to send another request on this connection.
    """

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Body
    base: str
    keeps: bool


def read_request(stream: BinaryIO, send: Callable[[bytes], None], scheme: str) -> Request | None:
    """The next request on a connection; None at its end.

    Args:
        stream: Buffered.
        send: Sends bytes to the client.
        scheme: `http` or `https`.

    Raises:
        RefusalError: What came is no HTTP.
    """
    line = stream.readline(MOST_HEAD_BYTES)
    if not line.strip():
        return None
    words = line.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise RefusalError(400, "not a request of HTTP/1.1")
    headers = _headers(stream)
    method, target, version = words
    parts = urlsplit(target if target.startswith("/") else target.partition("//")[2].partition("/")[2])
    keeps = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Request(
        method=method.upper(),
        target=f"{parts.path}?{parts.query}" if parts.query else parts.path,
        path=target if method == "CONNECT" else parts.path,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers=headers,
        body=_body(stream, headers, send),
        base=f"{headers.get(FORWARDED, scheme)}://{headers.get('host', 'www.googleapis.com')}",
        keeps=keeps,
    )


def head_of(answer: Answer, *, keeps: bool) -> bytes:
    """The header of an answer, as it is sent."""
    try:
        phrase = HTTPStatus(answer.status).phrase if answer.status != 308 else "Resume Incomplete"
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.status != 204:
        lines.append(f"Content-Length: {answer.length}")
    lines += ["Server: pipeline-opt emulate", f"Connection: {'keep-alive' if keeps else 'close'}", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def _headers(stream: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    size = 0
    while (line := stream.readline(MOST_HEAD_BYTES)).strip():
        size += len(line)
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or size > MOST_HEAD_BYTES:
            raise RefusalError(400, "the header of the request is not valid")
        headers[name.strip().lower()] = value.strip()
    if not line:
        raise ConnectionResetError("the client went away within the header of its request")
    return headers


def _body(stream: BinaryIO, headers: dict[str, str], send: Callable[[bytes], None]) -> Body:
    waits = headers.get("expect", "").lower() == "100-continue"
    go_on = (lambda: send(b"HTTP/1.1 100 Continue\r\n\r\n")) if waits else None
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Body(stream, None, go_on)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise RefusalError(400, f"Content-Length: {length} is not valid")
    return Body(stream, int(length), go_on)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise ConnectionResetError("the content of the request is not in chunks as it says") from None
