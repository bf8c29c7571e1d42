"""Folders and files of any fsspec file system, in the terms of `filesystem.FileSystem`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Final

from pipeline_opt.access import Access
from pipeline_opt.storage.client_errors import client_errors, status_of
from pipeline_opt.storage.kept_clients import system_of

_STATS: Final = 256
"""Above so many files that no listing covers, sizes are not asked for: each is a round trip."""
_CONNECTIONS: Final = 16
_LISTED_FROM: Final = 4
"""So many files of one folder are looked up by listing it."""


def opened_system(path: str, access: Access) -> tuple[Any, str]:
    """The fsspec file system that holds `path`, and the path's name there.

    Raises:
        SourceError: It cannot be made: an option is wrong, or its server does not answer.
    """
    with client_errors(path):
        return system_of(path, dict(access.options))


class FsspecFiles:
    """A file system of fsspec. Paths keep the scheme and the host that they came with.

    Args:
        path: A path on it.
        access: Its options.
        fresh: Forget listings that the client has kept from before.
    """

    def __init__(self, path: str, access: Access, *, fresh: bool = True) -> None:
        self._system, name = opened_system(path, access)
        bare = path.rstrip("/")
        self._prefix = bare.removesuffix(name.rstrip("/")) if name and bare.endswith(name.rstrip("/")) else None
        self._folders: set[str] = set()
        if fresh:
            self._system.invalidate_cache()

    def is_file(self, path: str) -> bool:
        """Whether a file of that name exists."""
        return not path.endswith("/") and self._kind(path) == "file"

    def is_dir(self, path: str) -> bool:
        """Whether a folder of that name exists."""
        return self._kind(path) == "directory" or (path.endswith("/") and bool(self._list(path)))

    def folders(self, paths: Sequence[str]) -> set[str]:
        """The folders among paths that `glob` gave."""
        return self._folders.intersection(paths)

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the sub-folders and names of the files in a folder, both sorted."""
        folders: set[str] = set()
        files: set[str] = set()
        for info in self._list(folder):
            name = os.path.basename(str(info["name"]).rstrip("/"))
            (folders if info["type"] == "directory" else files).add(name)
        return sorted(folders - {""}), sorted(files - {""})

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted."""
        with client_errors(pattern):
            found = self._system.glob(self._name(pattern), detail=True)
        kinds = {self._full(name): str(info.get("type")) for name, info in found.items()}
        self._folders |= {path for path, kind in kinds.items() if kind == "directory"}
        return sorted(kinds)

    def total_bytes(self, files: Sequence[str]) -> int | None:
        """Size of the files together, by listing their folders; None where a client does not tell or it would take too long."""
        sizes: dict[str, Any] = {}
        by_folder: dict[str, list[str]] = defaultdict(list)
        for path in files:
            by_folder[path.rpartition("/")[0]].append(path)
        for folder, inside in by_folder.items():
            if len(inside) >= _LISTED_FROM:
                listed = {os.path.basename(str(info["name"])): info.get("size") for info in self._list(folder)}
                sizes |= {path: listed.get(os.path.basename(path)) for path in inside}
        left = [path for path in dict.fromkeys(files) if path not in sizes]
        if len(left) > _STATS:
            return None
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            sizes |= dict(zip(left, pool.map(self.size, left), strict=True))
        return None if any(sizes[path] is None for path in files) else sum(sizes[path] for path in files)

    def size(self, path: str) -> int | None:
        """Size of one file in bytes; None where the client does not tell."""
        with client_errors(path):
            size = self._system.info(self._name(path)).get("size")
        return None if size is None else int(size)

    def head(self, path: str, count: int) -> bytes:
        """The first bytes of a file, `count` at the most."""
        with client_errors(path):
            if hasattr(self._system, "_cat_file"):
                return bytes(self._system.cat_file(self._name(path), start=0, end=count))
            with self._system.open(self._name(path), "rb") as stream:
                return bytes(stream.read(count))

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, from its beginning."""
        with client_errors(path):
            opened: Any = self._system.open(self._name(path), "rb")
            return opened  # type: ignore[no-any-return]

    def _list(self, folder: str) -> list[dict[str, Any]]:
        with client_errors(folder):
            listed: list[dict[str, Any]] = self._system.ls(self._name(folder), detail=True)
        own = self._name(folder).rstrip("/")
        return [info for info in listed if str(info["name"]).rstrip("/") != own]

    def _kind(self, path: str) -> str:
        """`file`, `directory`, or "" where there is nothing."""
        with client_errors(path):
            try:
                return str(self._system.info(self._name(path))["type"])
            except FileNotFoundError:
                return ""
            except Exception as error:
                if status_of(error) == 404:
                    return ""
                raise

    def _name(self, path: str) -> str:
        return str(self._system._strip_protocol(path))

    def _full(self, name: str) -> str:
        return str(self._system.unstrip_protocol(name)) if self._prefix is None else self._prefix + name
