"""Folders and files of every scheme that TensorFlow, or tensorflow-io, opens, in the terms of `filesystem.FileSystem`."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, Final, TypeVar

from pipeline_opt.errors import MissingPathError, SourceError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage import preflight
from pipeline_opt.storage.bounded import answered, each_answer, guarded
from pipeline_opt.storage.remote_failures import explain_remote
from pipeline_opt.storage.uris import folder_of_pattern, join, rooted, scheme_of

tf = lazy_module("tensorflow")

Seen = TypeVar("Seen")

_REMOTE_STATS: Final = 256
"""Above so many remote files their sizes are not asked for: every one is a round trip."""
_MARKING: Final = ("gs",)
"""Schemes whose listings end the names of folders with a slash."""
_BOUNDED: Final = ("gs",)
"""Schemes whose client has time limits of its own (`storage.gcs`)."""


class RemoteFiles:
    """Any scheme that TensorFlow, or tensorflow-io, opens.

    Args:
        timeout_s: Seconds that a request may take of a client that knows no limit; `bounded.ANSWER_S` unless given.
    """

    client = "tf"

    def __init__(self, timeout_s: float | None = None) -> None:
        self._timeout_s = timeout_s
        self._listed: dict[str, bool] = {}

    def is_file(self, path: str) -> bool:
        """Whether a file of that name exists."""
        return self._ask(path, lambda: bool(tf.io.gfile.exists(rooted(path))) and not tf.io.gfile.isdir(rooted(path)))

    def is_dir(self, path: str) -> bool:
        """Whether a folder of that name exists."""
        return self._ask(path, lambda: bool(tf.io.gfile.isdir(rooted(path))))

    def folders(self, paths: Sequence[str]) -> set[str]:
        """The folders among paths that `glob` gave."""
        listed = {path for path in paths if path in self._listed}
        unknown = [path for path in paths if path not in listed]
        dirs = each_answer(self.is_dir, unknown)
        found = {path for path, is_dir in zip(unknown, dirs, strict=True) if is_dir}
        return found | {path for path in listed if self._listed[path]}

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the sub-folders and names of the files in a folder, both sorted.

        Where the storage does not mark folders in a listing, each entry is a round trip.
        """
        names = self._ask(folder, lambda: tf.io.gfile.listdir(rooted(folder)), listing=folder)
        listed = sorted(set(names) - {"", "/"})
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
            found = self._ask(pattern, lambda: tf.io.gfile.glob(pattern), listing=folder_of_pattern(pattern))
            return sorted(found)
        # Asked for a pattern, TensorFlow lists everything below the folder, however deep.
        folders, files = self.entries(parent)
        self._listed |= {join(parent, name): name in folders for name in (*folders, *files)}
        return sorted(join(parent, name) for name in fnmatch.filter((*folders, *files), last))

    def total_bytes(self, files: Sequence[str]) -> int | None:
        """Size of the files together; None above a few hundred files."""
        if len(files) > _REMOTE_STATS:
            return None
        return sum(each_answer(self._size, files))

    def head(self, path: str, count: int) -> bytes:
        """The first bytes of a file, `count` at the most."""
        with self.open(path) as stream:
            return stream.read(count)

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, from its beginning."""
        return guarded(self._ask(path, lambda: tf.io.gfile.GFile(path, "rb")), partial(self._ask, path))

    def _size(self, path: str) -> int:
        return self._ask(path, lambda: int(tf.io.gfile.stat(path).length))

    def _ask(self, path: str, look: Callable[[], Seen], listing: str | None = None) -> Seen:
        """What `look` returns; within seconds, or for a listing, as long as the folder that is listed shows life."""
        with _remote_errors(path):
            if scheme_of(path) in _BOUNDED:
                return look()
            life = None if listing is None else partial(tf.io.gfile.isdir, rooted(listing))
            return answered(path, self.client, look, self._timeout_s, life)


@contextmanager
def _remote_errors(path: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.NotFoundError as error:
        preflight.require(path, "tf", anew=True)
        raise MissingPathError(f"no such path: {path}") from error
    except tf.errors.OpError as error:
        explained = explain_remote(type(error).__name__, error.message, ())
        kind = type(explained) if isinstance(explained, SourceError) else SourceError
        raise kind(f"cannot read {path}: {explained or f'{type(error).__name__}: {error.message}'}") from error
