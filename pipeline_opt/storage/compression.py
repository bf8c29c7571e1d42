"""Compressed files: telling the kind from the first bytes, and reading them as a stream."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import BinaryIO, Final

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.storage.filesystem import file_system

HEAD_BYTES: Final = 64 * 1024
"""What is read of a file to tell its format."""
_WINDOW_BITS: Final = {"GZIP": 31, "ZLIB": 15}
_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_PIECE: Final = 512


class Inflated(io.RawIOBase):
    """The decompressed bytes of a GZIP or ZLIB stream; reading raises `zlib.error` where it is damaged.

    Several compressed members one after another are one stream, as `cat a.gz b.gz` gives.
    """

    def __init__(self, stream: BinaryIO, compression: str) -> None:
        self._stream = stream
        self._bits = _WINDOW_BITS[compression]
        self._inflater = zlib.decompressobj(self._bits)
        self._started = False

    def readable(self) -> bool:
        """True: a stream to read from."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` with decompressed bytes; 0 at the end."""
        data = b""
        while not data:
            raw = self._inflater.unconsumed_tail or self._inflater.unused_data or self._stream.read(HEAD_BYTES)
            if not raw:
                if self._started and not self._inflater.eof:
                    raise zlib.error("the compressed stream ends early")
                return 0
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(self._bits)
            self._started = True
            data = self._inflater.decompress(raw, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file below."""
        self._stream.close()
        super().close()


def open_decompressed(
    path: str, compression: str, buffer_bytes: int = HEAD_BYTES, access: Access = DEFAULT
) -> BinaryIO:
    """Open a file for reading its decompressed bytes; `compression` is `""`, `GZIP` or `ZLIB`.

    Where the stream is damaged, up to `buffer_bytes` before that are lost.
    """
    storage, name = file_system(path, access)
    stream = storage.open(name)
    return io.BufferedReader(Inflated(stream, compression), buffer_bytes) if compression else stream


def head(path: str, access: Access = DEFAULT) -> bytes:
    """The first bytes of a file, as they are stored."""
    storage, name = file_system(path, access)
    return storage.head(name, HEAD_BYTES)


def decompressed_head(raw: bytes) -> tuple[str, bytes]:
    """The compression of a file that begins with `raw`, and its first decompressed bytes.

    A magic number alone proves little (a text can begin with `x^`), so the bytes must decompress as well, unless the whole
    header is that of a GZIP file: then it is a damaged one, and what comes before the damage is given.
    """
    for compression, fits in (("GZIP", raw[:3] == _GZIP_MAGIC), ("ZLIB", _is_zlib_header(raw))):
        if fits:
            content, whole = _inflated(raw, compression)
            if whole or (compression == "GZIP" and _is_gzip_header(raw)):
                return compression, content
    return "", raw


def detect_compression(files: Sequence[str], access: Access = DEFAULT) -> str:
    """`""`, `GZIP` or `ZLIB`, by the first file that is not empty; `""` if all are."""
    for path in files:
        raw = head(path, access)
        if raw:
            return decompressed_head(raw)[0]
    return ""


def _inflated(raw: bytes, compression: str) -> tuple[bytes, bool]:
    """The beginning of what some bytes decompress to, up to a damage, and whether there is none."""
    inflater = zlib.decompressobj(_WINDOW_BITS[compression])
    content = b""
    try:
        for at in range(0, len(raw), _PIECE):
            content += inflater.decompress(raw[at : at + _PIECE], HEAD_BYTES - len(content))
            if inflater.eof or len(content) == HEAD_BYTES:
                break
    except zlib.error:
        return content, False
    return content, True


def _is_gzip_header(raw: bytes) -> bool:
    """Whether flags, level and system are some that RFC 1952 has."""
    return len(raw) >= 10 and raw[3] < 32 and raw[8] in (0, 2, 4) and (raw[9] < 14 or raw[9] == 255)


def _is_zlib_header(raw: bytes) -> bool:
    return len(raw) > 2 and raw[0] == 0x78 and int.from_bytes(raw[:2], "big") % 31 == 0
