"""Folders and files of the local disk, without TensorFlow, and of every scheme that TensorFlow or fsspec can open."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.errors import MissingPathError, SourceError
from pipeline_opt.storage import gcs, preflight
from pipeline_opt.storage.fsspec_files import FsspecFiles
from pipeline_opt.storage.gfile_files import RemoteFiles
from pipeline_opt.storage.routes import route
from pipeline_opt.storage.uris import local_path, scheme_of


class FileSystem(Protocol):
    """What listing and probing need of a storage."""

    @property
    def client(self) -> str:
        """By what it is reached: `local`, `tf` or `fsspec`."""

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

    client = "local"

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
    return (FsspecFiles(path, access) if client == "fsspec" else RemoteFiles(access.timeout_s)), path


def total_bytes(paths: Sequence[str], access: Access = DEFAULT) -> int | None:
    """Size of files on any storage together; None where it cannot be known or asking would take too long."""
    by_root: dict[str, list[str]] = {}
    for path in paths:
        by_root.setdefault("" if local_path(path) is not None else root_of(path), []).append(path)
    total = 0
    for root, inside in by_root.items():
        remote = root and route(root, access) == "fsspec"
        storage: FileSystem = FsspecFiles(inside[0], access, fresh=False) if remote else RemoteFiles(access.timeout_s)
        size = (storage if root else LocalFiles()).total_bytes(inside)
        if size is None:
            return None
        total += size
    return total


def root_of(path: str) -> str:
    """Scheme and host of a URI: what one client connects to."""
    scheme, _, rest = path.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


@contextmanager
def _local_errors(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingPathError(f"no such path: {path}") from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
