"""TFRecord files without TensorFlow: is this one, and where is it damaged.

A record is its length (8 bytes, little-endian), the masked CRC-32C of those 8 bytes, the payload, and the masked
CRC-32C of the payload (4 bytes each); see the TFRecord chapter of TensorFlow's guide.
"""

from __future__ import annotations

import functools
import struct
import zlib
from typing import BinaryIO, Final, NamedTuple

from pipeline_opt.storage.compression import open_decompressed

_HEADER: Final = struct.Struct("<QI")
_CRC: Final = struct.Struct("<I")
_POLYNOMIAL: Final = 0x82F63B78
_CHUNK: Final = 1 << 20


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


def first_corruption(path: str, compression: str = "", at: int | None = None) -> Corruption | None:
    """Find the first damaged record of a file.

    Args:
        path: The file.
        compression: `""`, `GZIP` or `ZLIB`.
        at: Look at the record that begins there only, hopping over those before it; None if none begins there.

    Returns:
        The damage, or None if there is none.
    """
    offset = 0
    with open_decompressed(path, compression) as stream:
        while at is None or offset <= at:
            try:
                reason, length = _read_record(stream, payload=at is None or offset == at)
            except zlib.error as error:
                return Corruption(offset, f"the {compression} stream is damaged: {error}")
            if reason:
                return Corruption(offset, reason) if at in (None, offset) else None
            if length is None:
                return None
            offset += _HEADER.size + length + _CRC.size
    return None


def _read_record(stream: BinaryIO, *, payload: bool) -> tuple[str, int | None]:
    """Read one record: what is wrong with it (or ""), and its length (None at the end of the file)."""
    header = stream.read(_HEADER.size)
    if not header:
        return "", None
    if len(header) < _HEADER.size:
        return f"the file ends inside a record's header, after {len(header)} of {_HEADER.size} bytes", None
    length = _length(header)
    if length is None:
        return "the checksum of the record's length does not fit", None
    body = _take(stream, length + _CRC.size, keep=payload)
    if isinstance(body, int):
        return f"the file ends inside the record: {length + _CRC.size} bytes announced, {body} left", None
    if payload and _CRC.unpack(body[length:])[0] != masked_crc32c(body[:length]):
        return f"the checksum of the record's {length} bytes does not fit", None
    return "", length


def _take(stream: BinaryIO, count: int, *, keep: bool) -> bytes | int:
    """Read `count` bytes (hop over them unless `keep`); where there are fewer, return how many there are."""
    kept, left = [], count
    if not keep and _hop(stream, count):
        return b""
    while left:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            return count - left
        left -= len(chunk)
        if keep:
            kept.append(chunk)
    return b"".join(kept)


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
