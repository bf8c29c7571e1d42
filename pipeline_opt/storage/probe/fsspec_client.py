"""Any fsspec file system: what the bridge reads with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline_opt.access import Access
from pipeline_opt.errors import MissingPathError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage import preflight
from pipeline_opt.storage.client_errors import client_errors
from pipeline_opt.storage.nearby import GLOB_SIGNS
from pipeline_opt.storage.probe.client import Connection, File

fsspec = lazy_module("fsspec")


@dataclass
class FsspecConnection:
    """One instance of a file system, with the connections that it keeps; several threads may use it."""

    system: Any
    own_s: float = 0.0

    def read(self, path: str, offset: int, count: int) -> int:
        """Read a range of a file in one request."""
        return len(self.system.cat_file(path, start=offset, end=offset + count))


class FsspecClient:
    """A file system of fsspec; `cold` is a new instance, which has to connect, `warm` one that is kept."""

    route = "fsspec"
    tail_only = False
    block_bytes: int | None = None
    cold_reason = ""
    warm_reason = ""
    remembered_s = 0.0

    def __init__(self, uri: str, access: Access) -> None:
        self._uri = uri
        self._options = dict(access.options)
        self._kept = self._new()
        made_by = type(self._kept)
        self.name = f"fsspec {fsspec.__version__}, {made_by.__module__.partition('.')[0]}.{made_by.__name__}"

    def list(self, uri: str) -> list[File]:
        """Files below a folder, a file, or what a glob matches, with their sizes."""
        path = self._kept._strip_protocol(uri)
        if any(sign in path for sign in GLOB_SIGNS):
            found = self._kept.glob(path, detail=True)
        else:
            found = self._kept.find(path, detail=True)
        files = [File(name, info.get("size")) for name, info in found.items() if info.get("type") != "directory"]
        if not files:
            preflight.require(uri, self.route, anew=True)
            raise MissingPathError(f"no such path, or nothing in it: {uri}")
        return sorted(files)

    def stat(self, path: str) -> int | None:
        """The size of a file; None for a folder."""
        # A listing that the client keeps would answer in its place.
        self._kept.invalidate_cache()
        info = self._kept.info(path)
        return None if info.get("type") == "directory" else info.get("size")

    def cold(self) -> Connection:
        """A new instance."""
        return FsspecConnection(self._new())

    def warm(self) -> Connection:
        """The instance that is kept."""
        return FsspecConnection(self._kept)

    def _new(self) -> Any:
        with client_errors(self._uri):
            system, _ = fsspec.core.url_to_fs(self._uri, **{**self._options, "skip_instance_cache": True})
        return system
