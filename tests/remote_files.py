"""An fsspec file system of a test's own: files in memory, with requests that can be slow or fail."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.spec import AbstractFileSystem

SCHEME = "testing"


class RemoteStore(AbstractFileSystem):
    """`testing://name`; `before` is called with path, first byte and count of every request for bytes."""

    protocol = SCHEME
    cachable = True
    files: ClassVar[dict[str, bytes]] = {}
    before: Callable[[str, int, int], None] | None = None
    requests: ClassVar[list[tuple[str, int, int]]] = []
    listings: ClassVar[list[str]] = []
    lock = threading.Lock()

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        name = self._strip_protocol(path)
        at, to = start or 0, end if end is not None else len(self.files.get(name, b""))
        with self.lock:
            self.requests.append((name, at, to - at))
        if RemoteStore.before is not None:
            RemoteStore.before(name, at, to - at)
        if name not in self.files:
            raise FileNotFoundError(name)
        return self.files[name][at:to]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path).rstrip("/")
        if name in self.files:
            return {"name": name, "size": len(self.files[name]), "type": "file"}
        if any(key.startswith(name + "/") for key in self.files):
            return {"name": name, "size": 0, "type": "directory"}
        raise FileNotFoundError(name)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        folder = self._strip_protocol(path).rstrip("/")
        self.listings.append(folder)
        below = {key[len(folder) + 1 :] for key in self.files if key.startswith(folder + "/")}
        if not below:
            return [self.info(path)]
        names = sorted({name.partition("/")[0] for name in below})
        found = [self.info(f"{folder}/{name}") for name in names]
        return found if detail else [each["name"] for each in found]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        return io.BytesIO(self.cat_file(path))


class StreamingFile:
    """A file as hdfs-native has it: what is asked for comes in packets of 64 KiB, each when `before` returns."""

    def __init__(self, name: str) -> None:
        self.data = RemoteStore.files[name]
        self.size = len(self.data)
        self.name = name

    def read_range_stream(self, offset: int, length: int) -> Iterator[bytes]:
        assert 0 <= offset <= offset + length <= self.size
        for at in range(offset, offset + length, 64 << 10):
            if RemoteStore.before is not None:
                RemoteStore.before(self.name, at, length)
            yield self.data[at : min(at + (64 << 10), offset + length)]

    def close(self) -> None:
        """Nothing is held."""


class StreamingStore(AbstractFileSystem):
    """`streaming://name`, the same files."""

    protocol = "streaming"

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        return StreamingFile(self._strip_protocol(path))


@contextmanager
def remote_store(files: dict[str, bytes]) -> Iterator[type[RemoteStore]]:
    """These files as `testing://` and `streaming://`, until the block ends."""
    fsspec.register_implementation(SCHEME, RemoteStore, clobber=True)
    fsspec.register_implementation("streaming", StreamingStore, clobber=True)
    RemoteStore.files, RemoteStore.before, RemoteStore.requests, RemoteStore.listings = dict(files), None, [], []
    try:
        yield RemoteStore
    finally:
        RemoteStore.files, RemoteStore.before = {}, None
