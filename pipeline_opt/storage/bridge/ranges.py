"""Bytes of a file by place, from any fsspec file system, in the way that costs it the fewest requests."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

from pipeline_opt.access import Access
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage.client_errors import status_of
from pipeline_opt.storage.fsspec_files import opened_system

fsspec = lazy_module("fsspec")

_BEYOND_END = 416


class Ranges(Protocol):
    """A file, of which any part can be asked for."""

    def read(self, at: int, count: int) -> tuple[bytes, bool]:
        """Up to `count` bytes from `at` on, and whether the file ends with them."""

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
        self._system = system
        self._name = name

    def read(self, at: int, count: int) -> tuple[bytes, bool]:
        """Up to `count` bytes from `at` on, and whether the file ends with them."""
        try:
            data = bytes(self._system.cat_file(self._name, start=at, end=at + count))
        except Exception as error:
            # A file that ends with a request's last byte shows it only in the answer to the next.
            if status_of(error) == _BEYOND_END:
                return b"", True
            raise
        if len(data) > count:
            # A server that knows no ranges sends everything.
            return data[at:], True
        return data, len(data) < count

    def close(self) -> None:
        """Nothing is held."""


class _Handle:
    """A client that keeps a connection, or a place, with an open file: HDFS, FTP, local files."""

    def __init__(self, system: Any, name: str) -> None:
        self._system = system
        self._name = name
        self._file: Any = None
        self._size: Any = None
        self._at = 0

    def read(self, at: int, count: int) -> tuple[bytes, bool]:
        """Up to `count` bytes from `at` on, and whether the file ends with them."""
        try:
            data = self._read(at, count)
        except BaseException:
            self.close()
            raise
        self._at = at + len(data)
        return data, not data or self._at == self._size

    def _read(self, at: int, count: int) -> bytes:
        if self._file is None:
            self._file, self._at = self._system.open(self._name, "rb", cache_type="none"), 0
            # Where it is known, nothing need be asked to see the end.
            self._size = getattr(self._file, "size", None)
        if at != self._at:
            self._file.seek(at)
        return bytes(self._file.read(count))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(Exception):
                self._file.close()
            self._file = None
