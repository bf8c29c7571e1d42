"""The local file system, with the page cache dropped for what is to be read cold."""

from __future__ import annotations

import glob
import os
import platform
from dataclasses import dataclass
from typing import Final

from pipeline_opt.errors import MissingPathError
from pipeline_opt.storage.nearby import GLOB_SIGNS
from pipeline_opt.storage.probe.client import Connection, File
from pipeline_opt.storage.uris import local_path

DROPS: Final = hasattr(os, "posix_fadvise")
"""Whether the system lets a process drop the cached pages of a file, which takes no rights."""


@dataclass
class LocalConnection:
    """Reads with `pread`, after dropping the file's pages from the cache where `drop` says so."""

    drop: bool
    own_s: float = 0.0

    def read(self, path: str, offset: int, count: int) -> int:
        """Read a range of a file."""
        handle = os.open(path, os.O_RDONLY)
        try:
            if self.drop:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            got = 0
            while got < count and (data := os.pread(handle, count - got, offset + got)):
                got += len(data)
            return got
        finally:
            os.close(handle)


class LocalClient:
    """Local disks; `cold` is without the page cache, `warm` with it."""

    route = "local"
    tail_only = False
    block_bytes: int | None = None
    warm_reason = ""
    remembered_s = 0.0

    def __init__(self) -> None:
        self.name = f"local files, {platform.system()} {platform.release()}"
        self.cold_reason = "" if DROPS else "this system does not let a process drop its file cache"

    def list(self, uri: str) -> list[File]:
        """Files below a folder, a file, or what a glob matches."""
        path = os.path.expanduser(local_path(uri) or uri)
        if os.path.isfile(path):
            return [File(path, os.path.getsize(path))]
        if os.path.isdir(path):
            return sorted(_below(path))
        matches = sorted(glob.glob(path, recursive=True)) if any(sign in path for sign in GLOB_SIGNS) else []
        if not matches:
            raise MissingPathError(f"no such path: {uri}")
        files = [File(match, os.path.getsize(match)) for match in matches if os.path.isfile(match)]
        return files or [file for match in matches for file in sorted(_below(match))]

    def stat(self, path: str) -> int | None:
        """The size of a file."""
        return os.stat(path).st_size

    def cold(self) -> Connection:
        """Without the page cache."""
        return LocalConnection(drop=True)

    def warm(self) -> Connection:
        """With the page cache."""
        return LocalConnection(drop=False)


def _below(folder: str) -> list[File]:
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(root, name)
            if not name.startswith(".") and os.path.isfile(path):
                found.append(File(path, os.path.getsize(path)))
    return found
