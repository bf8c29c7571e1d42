"""TensorFlow's own client of a storage, or tensorflow-io's: what `tf.data` reads with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from pipeline_opt.errors import MissingPathError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage.nearby import GLOB_SIGNS
from pipeline_opt.storage.probe.client import Connection, File
from pipeline_opt.storage.uris import require_scheme, scheme_of

tf = lazy_module("tensorflow")

GCS_BLOCK: Final = 64 << 20
"""What TensorFlow's GCS client asks for in one request unless told."""

FEW: Final = 16
"""Entries that are looked at to tell files from folders."""


@dataclass(frozen=True)
class GFileConnection:
    """Opens a file for every request: TensorFlow's clients have no connection that a caller could keep."""

    def read(self, path: str, offset: int, count: int) -> int:
        """Read a range of a file; several threads can at a time."""
        with tf.io.gfile.GFile(path, "rb") as file:
            if offset:
                file.seek(offset)
            return len(file.read(count))


class GFileClient:
    """What `tf.io.gfile` opens.

    TensorFlow's GCS client makes a connection for every request, and asks for a whole block from wherever reading begins:
    only at the end of a file is a request as small as what is read.
    """

    route = "tf"
    cold_reason = ""

    def __init__(self, uri: str) -> None:
        require_scheme(uri)
        scheme = scheme_of(uri)
        is_gcs = scheme == "gs"
        self.name = f"TensorFlow {tf.__version__}, {scheme}://"
        self.tail_only = is_gcs
        self.block_bytes = gcs_block_bytes() if is_gcs else None
        self.warm_reason = "TensorFlow's GCS client makes a connection for every request" if is_gcs else ""
        if not is_gcs:
            self.cold_reason = "TensorFlow keeps its connections, and does not let a caller end them"

    def list(self, uri: str) -> list[File]:
        """Files in a folder, or in its folders where it has none itself; a file; what a glob matches."""
        if any(sign in uri for sign in GLOB_SIGNS):
            found = _glob(uri)
        elif tf.io.gfile.isdir(uri):
            found = _glob(f"{uri.rstrip('/')}/*")
        else:
            found = [uri] if tf.io.gfile.exists(uri) else []
        if not found:
            raise MissingPathError(f"no such path, or nothing in it: {uri}")
        if len(found) > 1 and all(tf.io.gfile.isdir(path) for path in found[:: max(1, len(found) // FEW)][:FEW]):
            found = _glob(f"{uri.rstrip('/')}/*/*")
        return [File(path, None) for path in found if not path.endswith("/")]

    def stat(self, path: str) -> int | None:
        """The size of a file; None for a folder."""
        found = tf.io.gfile.stat(path)
        return None if found.is_directory else int(found.length)

    def cold(self) -> Connection:
        """A connection like any other."""
        return GFileConnection()

    def warm(self) -> Connection:
        """A connection like any other."""
        return GFileConnection()


def gcs_block_bytes() -> int:
    """What TensorFlow's GCS client asks for in one request, as the environment was when TensorFlow was loaded."""
    for name, unit in (("GCS_READ_CACHE_BLOCK_SIZE_MB", 1 << 20), ("GCS_READAHEAD_BUFFER_SIZE_BYTES", 1)):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value) * unit
    return GCS_BLOCK


def _glob(pattern: str) -> list[Any]:
    return sorted(tf.io.gfile.glob(pattern))
