"""HDFS's data transfer protocol, as far as is needed to tell where one read begins and ends.

A request is a version (2 bytes), an operation (1 byte) and a message with its length before it. The answer to a read is
such a message and then packets: a length (4 bytes), the header's length (2 bytes), a header, checksums and data; the last
one is empty. After it the client says that it is content, and may ask again on the same connection.
Source: `datatransfer.proto`, `PacketReceiver.java` and `Receiver.java` of Hadoop 2.7.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

READ: Final = 81
WRITE: Final = 80

_LENGTHS: Final = struct.Struct(">ih")
_VARINT_BYTES: Final = 10
_MOST_MESSAGE: Final = 1 << 20


class Request(NamedTuple):
    """An operation, the bytes that ask for it, and of a read, what it is about."""

    operation: int
    raw: bytes
    block: int = 0
    offset: int = 0
    length: int = 0


def read_request(stream: BinaryIO) -> Request | None:
    """The next request; None where the client has no more."""
    start = stream.read(3)
    if len(start) < 3:
        return None
    message = read_message(stream)
    if message is None:
        return None
    raw = start + message
    if start[2] != READ:
        return Request(start[2], raw)
    asked = _fields(_body(message))
    block = _fields(_message(_fields(_message(_fields(_message(asked.get(1))).get(1))).get(1)))
    return Request(READ, raw, _number(block.get(2)), _number(asked.get(2)), _number(asked.get(3)))


def read_message(stream: BinaryIO) -> bytes | None:
    """The bytes of a message with its length before it; None where the stream ends first, or this is none."""
    length, shift, head = 0, 0, b""
    while len(head) < _VARINT_BYTES:
        byte = stream.read(1)
        if not byte:
            return None
        head += byte
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            body = stream.read(length) if length <= _MOST_MESSAGE else b""
            return head + body if len(body) == length else None
    return None


def refusal(reason: str) -> bytes:
    """The answer of a DataNode that cannot read the block: status ERROR, and why."""
    text = reason.encode()[:100]
    body = bytes([0x08, 1, 0x2A, len(text)]) + text
    return bytes([len(body)]) + body


class Answer:
    """Follows the answer to one read as it passes, without keeping it.

    Attributes:
        content: Bytes of file content so far, those between header and checksums aside.
        done: Whether all of it has passed.
        refused: Whether the DataNode will not read the block.
    """

    def __init__(self) -> None:
        self.content = 0
        self.done = False
        self.refused = False
        self._head = bytearray()
        self._began = False
        self._checksums = 0
        self._data = 0
        self._last = False

    def follow(self, data: memoryview) -> None:
        """Look at the next bytes."""
        at = 0
        while at < len(data) and not self.done:
            left = len(data) - at
            if self._checksums:
                step = min(self._checksums, left)
                self._checksums -= step
            elif self._data:
                step = min(self._data, left)
                self._data -= step
                self.content += step
            else:
                step = self._take(data[at:])
            at += step
            self.done = self.done or (self._last and not self._checksums and not self._data)

    def _take(self, data: memoryview) -> int:
        """Complete the message or the packet's header that begins here, byte ranges apart or not."""
        needed = self._needed()
        step = min(needed - len(self._head), len(data))
        self._head += data[:step]
        if len(self._head) == self._needed():
            if self._began:
                self._packet()
            else:
                self._response()
        return step

    def _needed(self) -> int:
        """How long the head is, as far as that can be told from what is here of it."""
        head = self._head
        if not self._began:
            length, count = _varint(head)
            return count + length if count else len(head) + 1
        if len(head) < _LENGTHS.size:
            return _LENGTHS.size
        header: int = _LENGTHS.unpack_from(head)[1]
        return _LENGTHS.size + header

    def _response(self) -> None:
        self.refused = self.done = _number(_fields(_body(bytes(self._head))).get(1)) != 0
        self._began = True
        self._head.clear()

    def _packet(self) -> None:
        length, _ = _LENGTHS.unpack_from(self._head)
        header = _fields(bytes(self._head[_LENGTHS.size :]))
        self._data = _number(header.get(4))
        self._checksums = length - 4 - self._data
        self._last = bool(_number(header.get(3)))
        self._head.clear()


def _varint(data: bytes | bytearray) -> tuple[int, int]:
    """A number and how many bytes it takes; 0 bytes where it is not whole."""
    value = 0
    for index, byte in enumerate(data[:_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, index + 1
    return 0, 0


def _body(message: bytes) -> bytes:
    return message[_varint(message)[1] :]


Value = int | bytes


def _fields(message: bytes) -> dict[int, Value]:
    """The fields of a protocol buffers message by their numbers."""
    return dict(_each_field(message))


def _each_field(message: bytes) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(message):
        key, count = _varint(message[at : at + _VARINT_BYTES])
        at += count
        kind = key & 7
        if kind == 0:
            value, count = _varint(message[at : at + _VARINT_BYTES])
            yield key >> 3, value
        elif kind == 2:
            length, lead = _varint(message[at : at + _VARINT_BYTES])
            count = lead + length
            yield key >> 3, message[at + lead : at + count]
        else:
            count = 8 if kind == 1 else 4
            yield key >> 3, int.from_bytes(message[at : at + count], "little")
        if count == 0:
            return
        at += count


def _message(value: Value | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _number(value: Value | None) -> int:
    return value if isinstance(value, int) else 0
