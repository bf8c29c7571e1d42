"""Folders and files of the local disk, without TensorFlow, and of every scheme that TensorFlow can open."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, Protocol

from pipeline_opt.errors import MissingPathError, SourceError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage.uris import local_path, require_scheme

tf = lazy_module("tensorflow")

_REMOTE_STATS: Final = 256
"""Above so many remote files their sizes are not asked for: every one is a round trip."""
_CONNECTIONS: Final = 16


class FileSystem(Protocol):
    """What listing and probing need of a storage."""

    def is_file(self, path: str) -> bool:
        """Whether a file of that name exists."""

    def is_dir(self, path: str) -> bool:
        """Whether a folder of that name exists."""

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

    def is_file(self, path: str) -> bool:
        """Whether a file of that name exists."""
        with _remote_errors(path):
            return bool(tf.io.gfile.exists(path)) and not tf.io.gfile.isdir(path)

    def is_dir(self, path: str) -> bool:
        """Whether a folder of that name exists."""
        with _remote_errors(path):
            return bool(tf.io.gfile.isdir(path))

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the sub-folders and names of the files in a folder, both sorted."""
        with _remote_errors(folder):
            names = sorted({name.rstrip("/") for name in tf.io.gfile.listdir(folder)} - {""})
            with ThreadPoolExecutor(_CONNECTIONS) as pool:
                dirs = list(pool.map(tf.io.gfile.isdir, [join(folder, name) for name in names]))
        folders = [name for name, is_dir in zip(names, dirs, strict=True) if is_dir]
        return folders, [name for name, is_dir in zip(names, dirs, strict=True) if not is_dir]

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted."""
        with _remote_errors(pattern):
            return sorted(tf.io.gfile.glob(pattern))

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


def file_system(path: str) -> tuple[FileSystem, str]:
    """The storage that holds `path`, and the path's name there (local: without `file://`, with `~` expanded).

    Raises:
        SchemeError: the path's scheme cannot be opened on this machine.
    """
    local = local_path(path)
    if local is not None:
        return LocalFiles(), os.path.expanduser(local)
    require_scheme(path)
    return RemoteFiles(), path


def total_bytes(paths: Sequence[str]) -> int | None:
    """Size of files on any storage together; None where it cannot be known or asking would take too long."""
    local = [path for path in paths if local_path(path) is not None]
    remote = [path for path in paths if local_path(path) is None]
    far = RemoteFiles().total_bytes(remote) if remote else 0
    return None if far is None else far + (LocalFiles().total_bytes(local) or 0)


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
        raise SourceError(f"cannot read {path}: {type(error).__name__}: {error.message}") from error
