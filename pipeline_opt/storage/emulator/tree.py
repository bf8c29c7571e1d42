"""The names of a folder's files as a bucket has them: one sorted list, read again only where a folder has changed."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

HIDDEN: Final = ".emulated-upload-"
"""Files whose names begin so are on their way and no objects yet."""

_RACY_NS: Final = 100_000_000
"""A folder that changed so shortly before it was read may have changed again within the same tick of its time."""


class _Listed(NamedTuple):
    """What one folder holds, and whether that can be believed as long as its time stays the same."""

    mtime_ns: int
    settled: bool
    files: tuple[str, ...]
    folders: tuple[str, ...]


class Tree:
    """The files below a folder. An empty folder is the object `NAME/`, as clients mark folders.

    Names that are no UTF-8 are left out: a bucket cannot hold them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._lock = threading.Lock()
        self._listed: dict[str, _Listed] = {}
        self._names: list[str] = []
        self._markers: set[str] = set()
        self._marked = False

    def names(self, *, fresh: bool = True) -> list[str]:
        """All names, sorted as a bucket sorts them, by code point; not to be changed. Unless `fresh`, as of the last time."""
        with self._lock:
            if fresh and self._refresh():
                self._names = sorted(self._collect())
            return self._names

    def mark(self, name: str) -> None:
        """Keep `NAME/` as an object also when its folder holds files."""
        with self._lock:
            self._markers.add(name)
            self._marked = True

    def unmark(self, name: str) -> None:
        """No longer keep `NAME/`."""
        with self._lock:
            self._markers.discard(name)
            self._marked = True

    def is_marked(self, name: str) -> bool:
        """Whether `NAME/` was made as an object."""
        with self._lock:
            return name in self._markers

    def _refresh(self) -> bool:
        """Read folders that have changed; whether any had."""
        before, self._listed, changed = self._listed, {}, self._marked
        self._marked = False
        waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
        while waiting:
            relative, above = waiting.pop()
            try:
                status = os.stat(os.path.join(self._folder, relative))
            except OSError:
                continue
            me = (status.st_dev, status.st_ino)
            if me in above:
                continue
            known = before.get(relative)
            if known is None or not known.settled or known.mtime_ns != status.st_mtime_ns:
                fresh = self._read(relative, status.st_mtime_ns)
                changed |= known is None or fresh[2:] != known[2:]
                known = fresh
            self._listed[relative] = known
            waiting += [(f"{relative}{name}/", above | {me}) for name in known.folders]
        return changed or len(before) != len(self._listed)

    def _read(self, relative: str, mtime_ns: int) -> _Listed:
        files: list[str] = []
        folders: list[str] = []
        settled = time.time_ns() - mtime_ns > _RACY_NS
        try:
            with os.scandir(os.path.join(self._folder, relative)) as entries:
                for entry in entries:
                    if entry.name.startswith(HIDDEN) or not _is_text(entry.name):
                        continue
                    (folders if entry.is_dir() else files).append(entry.name)
        except OSError:
            return _Listed(mtime_ns, False, (), ())
        return _Listed(mtime_ns, settled, tuple(sorted(files)), tuple(sorted(folders)))

    def _collect(self) -> list[str]:
        names = []
        for relative, listed in self._listed.items():
            names += [relative + name for name in listed.files]
            if relative and (relative in self._markers or not (listed.files or listed.folders)):
                names.append(relative)
        return names


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
