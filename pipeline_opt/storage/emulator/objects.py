"""A folder as a bucket: objects are its files."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pipeline_opt.storage.emulator.refusals import RefusalError
from pipeline_opt.storage.emulator.tree import HIDDEN, Tree


class Blob(NamedTuple):
    """An object's metadata: `generation` is the time of its last change in microseconds, as Google's is."""

    name: str
    size: int
    generation: int

    @property
    def updated(self) -> str:
        """The time of the last change, in RFC 3339."""
        moment = datetime.fromtimestamp(self.generation / 1e6, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Bucket:
    """Reads and changes a folder by objects' names.

    Args:
        name: Without `gs://`.
        folder: Where its objects are.
        read_only: Whether changes are refused.
    """

    def __init__(self, name: str, folder: Path, *, read_only: bool) -> None:
        self.name = name
        self._folder = folder
        self._read_only = read_only
        self._tree = Tree(folder)

    def names(self, *, fresh: bool = True) -> list[str]:
        """The objects' names, sorted."""
        return self._tree.names(fresh=fresh)

    def find(self, name: str) -> Blob | None:
        """An object's metadata; None if there is none."""
        if not _is_file_name(name):
            return None
        path = self._path(name)
        try:
            status = path.stat()
        except OSError:
            return None
        if path.is_dir():
            marks = name.endswith("/") and (self._tree.is_marked(name) or not any(path.iterdir()))
            return _blob(name, status, size=0) if marks else None
        return None if name.endswith("/") else _blob(name, status)

    def stat(self, name: str) -> Blob:
        """An object's metadata.

        Raises:
            RefusalError: There is none.
        """
        blob = self.find(name)
        if blob is None:
            raise RefusalError(404, f"No such object: {self.name}/{name}")
        return blob

    def open(self, name: str) -> tuple[BinaryIO, Blob]:
        """An object's contents, to be closed, and metadata.

        Raises:
            RefusalError: There is none.
        """
        blob = self.stat(name)
        try:
            stream = open(os.devnull if name.endswith("/") else self._path(name), "rb", buffering=0)  # noqa: SIM115
        except FileNotFoundError as error:
            raise RefusalError(404, f"No such object: {self.name}/{name}") from error
        except OSError as error:
            # What is no lasting refusal, such as too many open files, may be asked for again.
            status = 403 if isinstance(error, PermissionError) else 503
            raise RefusalError(status, f"{self.name}/{name} cannot be read: {error.strerror}") from error
        return stream, blob if name.endswith("/") else _blob(name, os.fstat(stream.fileno()))

    def put(self, name: str, content: Path) -> Blob:
        """Make an object of a finished file, which is moved there: nobody sees a part of it.

        Raises:
            RefusalError: The bucket is read-only, or a file cannot have that name here.
        """
        path = self._changeable(name)
        try:
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                self._tree.mark(name)
                return self.stat(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            _move(content, path)
        except OSError as error:
            raise RefusalError(400, f"{self.name}/{name} cannot be a file here: {error.strerror}") from error
        return self.stat(name)

    def delete(self, name: str) -> None:
        """Remove an object.

        Raises:
            RefusalError: There is none, or the bucket is read-only.
        """
        self.stat(name)
        path = self._changeable(name)
        try:
            if name.endswith("/"):
                self._tree.unmark(name)
            else:
                path.unlink()
        except FileNotFoundError as error:
            raise RefusalError(404, f"No such object: {self.name}/{name}") from error
        self._prune(path if name.endswith("/") else path.parent)

    def require_writable(self) -> None:
        """Check that the bucket may be changed.

        Raises:
            RefusalError: It is read-only.
        """
        if self._read_only:
            raise RefusalError(403, f"The emulated bucket {self.name} is read-only")

    def _prune(self, folder: Path) -> None:
        """Remove folders that nothing is left in: a bucket has none."""
        while folder != self._folder:
            if self._tree.is_marked(f"{folder.relative_to(self._folder).as_posix()}/"):
                return
            with contextlib.suppress(OSError):
                folder.rmdir()
            if folder.exists():
                return
            folder = folder.parent

    def _path(self, name: str) -> Path:
        return self._folder.joinpath(*name.removesuffix("/").split("/"))

    def _changeable(self, name: str) -> Path:
        """The path of an object that is to be made or removed."""
        self.require_writable()
        if not _is_file_name(name):
            raise RefusalError(400, f"{name!r}: objects are files here, and no file can have that name")
        path = self._path(name)
        if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(self._folder)):
            raise RefusalError(403, f"{self.name}/{name}: a link leads out of the folder, and nothing is changed there")
        return path


def _is_file_name(name: str) -> bool:
    """Whether a file below the folder can have the name of an object."""
    parts = name.removesuffix("/").split("/")
    return "\0" not in name and not any(part in ("", ".", "..") or part.startswith(HIDDEN) for part in parts)


def _move(content: Path, path: Path) -> None:
    """Put a file, which may be on another disk, in the place of another at once."""
    near = path.with_name(f"{HIDDEN}{uuid.uuid4().hex}")
    try:
        shutil.move(content, near)
        near.replace(path)
    finally:
        near.unlink(missing_ok=True)


def _blob(name: str, status: os.stat_result, size: int | None = None) -> Blob:
    return Blob(name, status.st_size if size is None else size, status.st_mtime_ns // 1000)
