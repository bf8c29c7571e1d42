"""Folders and files of the local disk, without TensorFlow, and of every scheme that TensorFlow or fsspec can open."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, Protocol

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.errors import MissingPathError, SourceError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage import gcs, preflight
from pipeline_opt.storage.fsspec_files import FsspecFiles
from pipeline_opt.storage.remote_failures import explain_remote
from pipeline_opt.storage.routes import route
from pipeline_opt.storage.uris import local_path, scheme_of

tf = lazy_module("tensorflow")

_REMOTE_STATS: Final = 256
"""Above so many remote files their sizes are not asked for: every one is a round trip."""
_CONNECTIONS: Final = 16
_MARKING: Final = ("gs",)
"""Schemes whose listings end the names of folders with a slash."""


class FileSystem(Protocol):
    """What listing and probing need of a storage."""

    def is_file(self, path: str) -> bool:
        """Whether a file of that name exists."""

    def is_dir(self, path: str) -> bool:
        """Whether a folder of that name exists."""

    def folders(self, paths: Sequence[str]) -> set[str]:
        """The folders among paths that `glob` gave."""

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the sub-folders and names of the files in a folder, both sorted."""

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted."""

    def total_bytes(self, files: Sequence[str]) -> int | None:
        """Size of the files together; None where asking would take too long."""

    def head(self, path: str, count: int) -> bytes:
        """The first bytes of a file, `count` at the most."""

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, from its beginning."""


class LocalFiles:
    """The local file system."""

    def is_file(self, path: str) -> bool:
        """Whether a file of that name exists."""
        return os.path.isfile(path)

    def is_dir(self, path: str) -> bool:
        """Whether a folder of that name exists."""
        return os.path.isdir(path)

    def folders(self, paths: Sequence[str]) -> set[str]:
        """The folders among some paths."""
        return {path for path in paths if os.path.isdir(path)}

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the sub-folders and names of the files in a folder, both sorted."""
        folders: list[str] = []
        files: list[str] = []
        with _local_errors(folder), os.scandir(folder) as found:
            for entry in found:
                (folders if entry.is_dir() else files).append(entry.name)
        return sorted(folders), sorted(files)

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted; `**` matches any depth."""
        return sorted(glob.glob(pattern, recursive=True))

    def total_bytes(self, files: Sequence[str]) -> int | None:
        """Size of the files together."""
        total = 0
        for path in files:
            with _local_errors(path):
                total += os.path.getsize(path)
        return total

    def head(self, path: str, count: int) -> bytes:
        """The first bytes of a file, `count` at the most."""
        with _local_errors(path), self.open(path) as stream:
            return stream.read(count)

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, from its beginning."""
        with _local_errors(path):
            return open(path, "rb")


class RemoteFiles:
    """Any scheme that TensorFlow, or tensorflow-io, opens."""

    def __init__(self) -> None:
        self._listed: dict[str, bool] = {}

    def is_file(self, path: str) -> bool:
        """Whether a file of that name exists."""
        with _remote_errors(path):
            return bool(tf.io.gfile.exists(path)) and not tf.io.gfile.isdir(path)

    def is_dir(self, path: str) -> bool:
        """Whether a folder of that name exists."""
        with _remote_errors(path):
            return bool(tf.io.gfile.isdir(path))

    def folders(self, paths: Sequence[str]) -> set[str]:
        """The folders among paths that `glob` gave."""
        listed = {path for path in paths if path in self._listed}
        unknown = [path for path in paths if path not in listed]
        with _remote_errors(unknown[0] if unknown else ""), ThreadPoolExecutor(_CONNECTIONS) as pool:
            dirs = list(pool.map(tf.io.gfile.isdir, unknown))
        found = {path for path, is_dir in zip(unknown, dirs, strict=True) if is_dir}
        return found | {path for path in listed if self._listed[path]}

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the sub-folders and names of the files in a folder, both sorted.

        Where the storage does not mark folders in a listing, each entry is a round trip.
        """
        with _remote_errors(folder):
            listed = sorted(set(tf.io.gfile.listdir(folder)) - {"", "/"})
        if scheme_of(folder) in _MARKING:
            folders = {name.rstrip("/") for name in listed if name.endswith("/")}
        else:
            paths = {join(folder, name.rstrip("/")): name.rstrip("/") for name in listed}
            folders = {paths[path] for path in self.folders(list(paths))}
        return sorted(folders), sorted({name for name in listed if not name.endswith("/")} - folders)

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted."""
        parent, _, last = pattern.rpartition("/")
        if scheme_of(pattern) not in _MARKING or any(sign in parent for sign in "*?[") or "**" in last:
            with _remote_errors(pattern):
                return sorted(tf.io.gfile.glob(pattern))
        # Asked for a pattern, TensorFlow lists everything below the folder, however deep.
        folders, files = self.entries(parent)
        self._listed |= {join(parent, name): name in folders for name in (*folders, *files)}
        return sorted(join(parent, name) for name in fnmatch.filter((*folders, *files), last))

    def total_bytes(self, files: Sequence[str]) -> int | None:
        """Size of the files together; None above a few hundred files."""
        if len(files) > _REMOTE_STATS:
            return None
        with _remote_errors(files[0] if files else ""), ThreadPoolExecutor(_CONNECTIONS) as pool:
            return int(sum(stat.length for stat in pool.map(tf.io.gfile.stat, files)))

    def head(self, path: str, count: int) -> bytes:
        """The first bytes of a file, `count` at the most."""
        with _remote_errors(path), self.open(path) as stream:
            return stream.read(count)

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, from its beginning."""
        with _remote_errors(path):
            opened: Any = tf.io.gfile.GFile(path, "rb")
            return opened  # type: ignore[no-any-return]


def file_system(path: str, access: Access = DEFAULT) -> tuple[FileSystem, str]:
    """The storage that holds `path`, and the path's name there (local: without `file://`, with `~` expanded).

    Raises:
        SchemeError: the path's scheme cannot be opened on this machine, or not by the client that `access` asks for.
        SourceError: its storage cannot be reached, does not exist, or may not be read; within seconds.
    """
    local = local_path(path)
    if local is not None:
        return LocalFiles(), os.path.expanduser(local)
    if scheme_of(path) == "gs":
        # Asking for the route loads TensorFlow, whose client takes its settings then.
        gcs.apply(access)
    client = route(path, access)
    preflight.require(path, client)
    return (FsspecFiles(path, access) if client == "fsspec" else RemoteFiles()), path


def total_bytes(paths: Sequence[str], access: Access = DEFAULT) -> int | None:
    """Size of files on any storage together; None where it cannot be known or asking would take too long."""
    by_root: dict[str, list[str]] = {}
    for path in paths:
        by_root.setdefault("" if local_path(path) is not None else root_of(path), []).append(path)
    total = 0
    for root, inside in by_root.items():
        remote = root and route(root, access) == "fsspec"
        storage: FileSystem = FsspecFiles(inside[0], access, fresh=False) if remote else RemoteFiles()
        size = (storage if root else LocalFiles()).total_bytes(inside)
        if size is None:
            return None
        total += size
    return total


def root_of(path: str) -> str:
    """Scheme and host of a URI: what one client connects to."""
    scheme, _, rest = path.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def join(folder: str, name: str) -> str:
    """The path of an entry of a folder."""
    return f"{folder.rstrip('/')}/{name}"


@contextmanager
def _local_errors(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingPathError(f"no such path: {path}") from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error


@contextmanager
def _remote_errors(path: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.NotFoundError as error:
        raise MissingPathError(f"no such path: {path}") from error
    except tf.errors.OpError as error:
        explained = explain_remote(type(error).__name__, error.message, ())
        kind = type(explained) if isinstance(explained, SourceError) else SourceError
        raise kind(f"cannot read {path}: {explained or f'{type(error).__name__}: {error.message}'}") from error
