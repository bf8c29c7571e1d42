"""Bytes of a file by place, from any fsspec file system, in the way that costs it the fewest requests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final, Protocol

from pipeline_opt.access import Access
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage.client_errors import status_of
from pipeline_opt.storage.fsspec_files import opened_system

fsspec = lazy_module("fsspec")

_BEYOND_END: Final = 416
_PART_BYTES: Final = 256 << 10
"""What a client brings bit by bit is passed on in parts of this size, as each is a call for the reader."""


class Ranges(Protocol):
    """A file, of which any part can be asked for.

    Attributes:
        size: Its bytes, once that is known.
    """

    size: int | None

    def read(self, at: int, count: int) -> Iterator[bytes]:
        """The `count` bytes from `at` on, in parts as they come; fewer only where the file ends."""

    def close(self) -> None:
        """Let go of it."""


def open_ranges(path: str, access: Access) -> Ranges:
    """Open a file; nothing is asked of the storage yet."""
    system, name = opened_system(path, access)
    own = type(system).cat_file is not fsspec.AbstractFileSystem.cat_file
    return _Requests(system, name) if own or getattr(system, "async_impl", False) else _Handle(system, name)


class _Requests:
    """A client whose every request stands alone: object stores, http, memory."""

    def __init__(self, system: Any, name: str) -> None:
        self.size: int | None = None
        self._system = system
        self._name = name

    def read(self, at: int, count: int) -> Iterator[bytes]:
        """The `count` bytes from `at` on; fewer only where the file ends."""
        try:
            data = bytes(self._system.cat_file(self._name, start=at, end=at + count))
        except Exception as error:
            # A file that ends with a request's last byte shows it only in the answer to the next.
            if status_of(error) == _BEYOND_END:
                return
            raise
        if len(data) > count:
            # A server that knows no ranges sends everything.
            self.size = len(data)
            data = data[at:]
        yield data

    def close(self) -> None:
        """Nothing is held."""


class _Handle:
    """A client that keeps a connection, or a place, with an open file: HDFS, FTP, local files."""

    def __init__(self, system: Any, name: str) -> None:
        self.size: int | None = None
        self._system = system
        self._name = name
        self._file: Any = None

    def read(self, at: int, count: int) -> Iterator[bytes]:
        """The `count` bytes from `at` on, in parts as they come; fewer only where the file ends."""
        try:
            if self._file is None:
                self._file = self._system.open(self._name, "rb", cache_type="none")
                self.size = getattr(self._file, "size", None)
            yield from self._streamed(at, count) if hasattr(self._file, "read_range_stream") else self._read(at, count)
        except BaseException:
            self.close()
            raise

    def _streamed(self, at: int, count: int) -> Iterator[bytes]:
        """As hdfs-native passes on what comes from a DataNode; its `read` would keep all of it until the last byte is there."""
        held: list[bytes] = []
        size = 0
        for packet in self._file.read_range_stream(at, max(0, min(count, self._file.size - at))):
            held.append(packet)
            size += len(packet)
            if size >= _PART_BYTES:
                yield b"".join(held)
                held, size = [], 0
        if held:
            yield b"".join(held)

    def _read(self, at: int, count: int) -> Iterator[bytes]:
        if at != self._file.tell():
            self._file.seek(at)
        while count > 0 and at != self.size and (data := bytes(self._file.read(count))):
            at += len(data)
            count -= len(data)
            yield data

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(Exception):
                self._file.close()
            self._file = None
