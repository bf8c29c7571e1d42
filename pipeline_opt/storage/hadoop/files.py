"""Files copied into an HDFS, several at once, and deleted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pipeline_opt.errors import MissingPathError, SourceError
from pipeline_opt.lazy import lazy_module

hdfs_native = lazy_module("hdfs_native")

_AT_ONCE: Final = 32
"""Ending a file takes the client half a second of waiting, where its block is not yet known: many at once share it."""
_PIECE: Final = 4 << 20


def upload(source: Path, uri: str, target: str) -> int:
    """Copy a file to the path `target`, or the contents of a folder into it; returns the bytes copied.

    Raises:
        MissingPathError: There is no such file or folder.
        SourceError: It cannot be read, or HDFS does not take it.
    """
    if not source.exists():
        raise MissingPathError(f"no such path: {source}")
    client = hdfs_native.Client(uri)
    names = [path for path in sorted(source.rglob("*")) if path.is_file()] if source.is_dir() else [source]
    pairs = [(name, str(PurePosixPath(target, name.relative_to(source)))) for name in names]
    try:
        client.mkdirs(target if source.is_dir() else str(PurePosixPath(target).parent), 0o755, True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return sum(pool.map(lambda pair: _copy(client, *pair), pairs))
    except Exception as error:
        raise SourceError(f"{source} cannot be copied to {uri}{target}: {error}") from error


def remove(uri: str, path: str) -> None:
    """Delete a file, or a folder with all that is in it.

    Raises:
        SourceError: HDFS does not do it.
    """
    try:
        gone = hdfs_native.Client(uri).delete(path, True)
    except Exception as error:
        raise SourceError(f"{uri}{path} cannot be deleted: {error}") from error
    if not gone:
        raise MissingPathError(f"no such path: {uri}{path}")


def _copy(client: Any, source: Path, target: str) -> int:
    options = hdfs_native.WriteOptions()
    options.overwrite = True
    copied = 0
    with source.open("rb") as read, client.create(target, options) as written:
        while piece := read.read(_PIECE):
            copied += written.write(piece)
    return copied
