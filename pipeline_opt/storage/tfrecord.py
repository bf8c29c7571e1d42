"""TFRecord files without TensorFlow: is this one, and where is it damaged.

A record is its length (8 bytes, little-endian), the masked CRC-32C of those 8 bytes, the payload, and the masked
CRC-32C of the payload (4 bytes each); see the TFRecord chapter of TensorFlow's guide.
"""

from __future__ import annotations

import functools
import os
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.errors import CorruptRecordError
from pipeline_opt.storage.compression import open_decompressed

_HEADER: Final = struct.Struct("<QI")
_CRC: Final = struct.Struct("<I")
HEADER_BYTES: Final = _HEADER.size
"""What a record has before its payload."""
OVERHEAD_BYTES: Final = _HEADER.size + _CRC.size
"""What a record takes beside its payload."""
_POLYNOMIAL: Final = 0x82F63B78
_CHUNK: Final = 1 << 20
_TAILS: Final = (1 << 16, 1 << 20)
_ZEROS: Final = re.compile(rb"\0{5,}")
"""The length of a record that fits such a tail ends with five of them."""


class Corruption(NamedTuple):
    """Where a TFRecord file is damaged: the offset of the record in the decompressed bytes, and how it is."""

    offset: int
    reason: str


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of some bytes, about 6 MB/s: for looking at a file after it failed."""
    table = _table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """The CRC-32C as TFRecord files hold it: rotated and shifted, since a CRC of data with CRCs in it is weak."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def begins_with_record(data: bytes) -> bool:
    """Whether some decompressed bytes begin with the header of a record."""
    return len(data) >= _HEADER.size and _length(data[: _HEADER.size]) is not None


def read_records(path: str, compression: str = "", count: int = 1, access: Access = DEFAULT) -> list[bytes]:
    """The first `count` records of a file, or as many as it has; their payloads are not checked.

    Raises:
        CorruptRecordError: one of them is cut short or has a damaged header; names the file and the offset.
    """
    offset = 0
    records: list[bytes] = []
    with open_decompressed(path, compression, access=access) as stream:
        while len(records) < count:
            try:
                payload = _read_record(stream, keep=True, check=False)
            except _DamagedError as damage:
                raise CorruptRecordError(f"{path}: the record at byte {offset} is damaged: {damage}") from damage
            if payload is None:
                break
            records.append(bytes(payload))
            offset += len(payload) + OVERHEAD_BYTES
    return records


def first_corruption(
    path: str, compression: str = "", at: int | None = None, access: Access = DEFAULT, begin: int = 0
) -> Corruption | None:
    """Find the first damaged record of a file.

    Args:
        path: The file.
        compression: `""`, `GZIP` or `ZLIB`.
        at: Look at the record that begins there only, hopping over those before it; None if none begins there.
        access: How the file is reached.
        begin: Where the first record to look at begins.

    Returns:
        The damage, or None if there is none.
    """
    offset = begin
    with open_decompressed(path, compression, access=access) as stream:
        _skip(stream, begin)
        while at is None or offset <= at:
            try:
                wanted = at is None or offset == at
                payload = _read_record(stream, keep=wanted, check=wanted)
            except _DamagedError as damage:
                return Corruption(offset, str(damage)) if at in (None, offset) else None
            if payload is None:
                return None
            offset += len(payload) + OVERHEAD_BYTES
    return None


def _skip(stream: BinaryIO, count: int) -> None:
    if stream.seekable():
        stream.seek(count)
        return
    while count and (chunk := stream.read(min(count, _CHUNK))):
        count -= len(chunk)


def cut_header(path: str, access: Access = DEFAULT) -> Corruption | None:
    """The header that an uncompressed file ends inside, which TensorFlow takes for the end of the data.

    Looks at the end of the file only: None, too, where the last whole record is longer than a megabyte.
    """
    with open_decompressed(path, "", access=access) as stream:
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
        for length in _TAILS:
            start = max(0, size - length)
            stream.seek(start)
            tail = stream.read(length)
            end = _end_of_records(tail)
            if end is not None:
                left = len(tail) - end
                return Corruption(start + end, _ends_in_header(left)) if 0 < left < HEADER_BYTES else None
            if start == 0:
                break
    return None


def _end_of_records(tail: bytes) -> int | None:
    """Where the last whole record ends in the last bytes of a file; None if none begins in them."""
    for first in _likely_headers(tail):
        at = first
        while at + HEADER_BYTES <= len(tail):
            length = _length(tail[at : at + HEADER_BYTES])
            if length is None or at + length + OVERHEAD_BYTES > len(tail):
                break
            at += length + OVERHEAD_BYTES
        if at > first:
            return at
    return None


def _likely_headers(tail: bytes) -> Iterator[int]:
    """Where the zeros allow a header: they begin inside its length, or end inside the checksum after it."""
    for zeros in _ZEROS.finditer(tail):
        start, end = zeros.span()
        places = {*range(start - 3, start + 1), *range(end - HEADER_BYTES + 1, end - 7)}
        yield from sorted(at for at in places if at >= 0)


def _ends_in_header(left: int) -> str:
    return f"the file ends inside a record's header, after {left} of {HEADER_BYTES} bytes"


class _DamagedError(Exception):
    """A record cannot be read; the message says why."""


def _read_record(stream: BinaryIO, *, keep: bool, check: bool) -> bytes | range | None:
    """The payload of the next record, or unless `keep` a stand-in of its length; None at the end of the file."""
    try:
        return _read_framed(stream, keep=keep, check=check)
    except zlib.error as error:
        raise _DamagedError(f"the compressed stream is damaged: {error}") from error


def _read_framed(stream: BinaryIO, *, keep: bool, check: bool) -> bytes | range | None:
    header = stream.read(_HEADER.size)
    if not header:
        return None
    if len(header) < _HEADER.size:
        raise _DamagedError(_ends_in_header(len(header)))
    length = _length(header)
    if length is None:
        raise _DamagedError("the checksum of the record's length does not fit")
    body = _take(stream, length + _CRC.size, keep=keep)
    if len(body) < length + _CRC.size:
        raise _DamagedError(f"the file ends inside the record: {length + _CRC.size} bytes announced, {len(body)} left")
    if check and isinstance(body, bytes) and _CRC.unpack(body[length:])[0] != masked_crc32c(body[:length]):
        raise _DamagedError(f"the checksum of the record's {length} bytes does not fit")
    return body[:length]


def _take(stream: BinaryIO, count: int, *, keep: bool) -> bytes | range:
    """Read `count` bytes or as many as there are; unless `keep`, hop over them and give a range of that length."""
    kept, left = [], count
    if not keep and _hop(stream, count):
        return range(count)
    while left and (chunk := stream.read(min(left, _CHUNK))):
        left -= len(chunk)
        if keep:
            kept.append(chunk)
    return b"".join(kept) if keep else range(count - left)


def _hop(stream: BinaryIO, count: int) -> bool:
    """Seek over `count` bytes, the last of which is read so that a file's end is noticed; False if it cannot."""
    if not stream.seekable():
        return False
    start = stream.tell()
    stream.seek(start + count - 1)
    if stream.read(1):
        return True
    stream.seek(start)
    return False


def _length(header: bytes) -> int | None:
    length, crc = _HEADER.unpack(header)
    return int(length) if crc == masked_crc32c(header[:8]) else None


@functools.cache
def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)
