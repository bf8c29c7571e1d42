"""Folders and files of any fsspec file system, in the terms of `filesystem.FileSystem`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, BinaryIO, Final, TypeVar

from pipeline_opt.access import Access
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage.bounded import answered, each_answer, guarded
from pipeline_opt.storage.client_errors import client_errors, status_of
from pipeline_opt.storage.kept_clients import system_of
from pipeline_opt.storage.uris import folder_of_pattern

fsspec = lazy_module("fsspec")

Seen = TypeVar("Seen")

_STATS: Final = 256
"""Above so many files that no listing covers, sizes are not asked for: each is a round trip."""
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
    """A file system of fsspec. Paths keep the scheme and the host that they came with; no question waits for ever.

    Args:
        path: A path on it.
        access: Its options, and the seconds that a request may take.
        fresh: Forget listings that the client has kept from before.
    """

    client = "fsspec"

    def __init__(self, path: str, access: Access, *, fresh: bool = True) -> None:
        self._system, name = opened_system(path, access)
        bare = path.rstrip("/")
        self._prefix = bare.removesuffix(name.rstrip("/")) if name and bare.endswith(name.rstrip("/")) else None
        self._folders: set[str] = set()
        self._timeout_s = access.timeout_s
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
        look = partial(self._system.glob, self._name(pattern), detail=True)
        found: dict[str, dict[str, Any]] = self._ask(pattern, look, listing=folder_of_pattern(pattern))
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
        sizes |= dict(zip(left, each_answer(self.size, left), strict=True))
        return None if any(sizes[path] is None for path in files) else sum(sizes[path] for path in files)

    def size(self, path: str) -> int | None:
        """Size of one file in bytes; None where the client does not tell."""
        size = self._ask(path, lambda: self._system.info(self._name(path)).get("size"))
        return None if size is None else int(size)

    def head(self, path: str, count: int) -> bytes:
        """The first bytes of a file, `count` at the most."""
        name = self._name(path)
        if hasattr(self._system, "_cat_file"):
            return bytes(self._ask(path, lambda: self._system.cat_file(name, start=0, end=count)))

        def opened_and_read() -> bytes:
            with self._system.open(name, "rb") as stream:
                return bytes(stream.read(count))

        return self._ask(path, opened_and_read)

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, from its beginning."""
        return guarded(self._ask(path, lambda: self._system.open(self._name(path), "rb")), partial(self._ask, path))

    def _list(self, folder: str) -> list[dict[str, Any]]:
        look = partial(self._system.ls, self._name(folder), detail=True)
        listed: list[dict[str, Any]] = self._ask(folder, look, listing=folder)
        own = self._name(folder).rstrip("/")
        return [info for info in listed if str(info["name"]).rstrip("/") != own]

    def _kind(self, path: str) -> str:
        """`file`, `directory`, or "" where there is nothing."""

        def kind() -> str:
            try:
                return str(self._system.info(self._name(path))["type"])
            except FileNotFoundError:
                return ""
            except Exception as error:
                if status_of(error) == 404:
                    return ""
                raise

        return self._ask(path, kind)

    def _ask(self, path: str, look: Callable[[], Seen], listing: str | None = None) -> Seen:
        """What `look` returns; within seconds, or for a listing, as long as the folder that is listed shows life."""
        life = None if listing is None or not self._tells_quickly() else partial(self._glance, listing)
        with client_errors(path):
            return answered(path, self.client, look, self._timeout_s, life)

    def _tells_quickly(self) -> bool:
        """Whether the client asks for one path in a small request: fsspec's own way is to list the folder above it."""
        own = type(self._system).info is not fsspec.AbstractFileSystem.info
        return own or bool(getattr(self._system, "async_impl", False))

    def _glance(self, folder: str) -> None:
        # What the client remembers of the folder is no sign of life.
        self._system.invalidate_cache()
        self._system.info(self._name(folder))

    def _name(self, path: str) -> str:
        return str(self._system._strip_protocol(path))

    def _full(self, name: str) -> str:
        return str(self._system.unstrip_protocol(name)) if self._prefix is None else self._prefix + name
