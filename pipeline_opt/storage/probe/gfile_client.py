"""TensorFlow's own client of a storage, or tensorflow-io's: what `tf.data` reads with."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from pipeline_opt.errors import MissingPathError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage import gcs, preflight
from pipeline_opt.storage.nearby import GLOB_SIGNS
from pipeline_opt.storage.probe.client import Connection, File
from pipeline_opt.storage.uris import require_scheme, rooted, scheme_of

tf = lazy_module("tensorflow")
file_io = lazy_module("tensorflow.python.lib.io._pywrap_file_io")

FEW: Final = 16
"""Entries that are looked at to tell files from folders."""

REMEMBERED_S: Final = 2e-4
"""TensorFlow's GCS client remembers a file's size for seconds; to ask for it takes a connection, and a millisecond at least."""

PART_BYTES: Final = 256 << 10
"""What is taken of an answer at a time, as tf.data's readers do: as one object, 4 MB cost Python 6 to 8 ms for new memory."""


@dataclass
class GFileConnection:
    """Opens a file for every request: TensorFlow's clients have no connection that a caller could keep.

    Args:
        head_only: Whether the beginning of the file is read in place of the range.
        usual_s: CPU time that a request without a block takes: what a read takes above that is `own_s`.
    """

    usual_s: float
    head_only: bool = False
    own_s: float = 0.0

    def read(self, path: str, offset: int, count: int) -> int:
        """Read a range of a file; several threads can at a time."""
        begun = time.thread_time()
        with tf.io.gfile.GFile(path, "rb") as file:
            if self.head_only:
                # Its own buffer asks for 512 KiB whatever is read, and to seek is a request of its own.
                file._read_buf = file_io.BufferedInputStream(path, count)
            elif offset:
                file.seek(offset)
            got = 0
            while got < count and (part := file.read(min(PART_BYTES, count - got))):
                got += len(part)
        self.own_s = max(0.0, time.thread_time() - begun - self.usual_s)
        return got


class GFileClient:
    """What `tf.io.gfile` opens.

    TensorFlow's GCS client makes a connection for every request, and asks for a whole block from wherever reading begins:
    only at the end of a file is a request as small as what is read. Of other storages the beginning of a file is asked for, in
    a request of the size wanted. Before it asks, it clears memory for the block, which
    takes the processor tens of milliseconds for 64 MiB: that is told apart by the thread's CPU time, against that of a
    request for a file's size.
    """

    route = "tf"
    cold_reason = ""
    remembered_s = 0.0

    def __init__(self, uri: str) -> None:
        require_scheme(uri)
        scheme = scheme_of(uri)
        is_gcs = scheme == "gs"
        self.name = f"TensorFlow {tf.__version__}, {scheme}://"
        self.tail_only = is_gcs
        self.block_bytes = gcs.block_bytes() if is_gcs else None
        self.warm_reason = "TensorFlow's GCS client makes a connection for every request" if is_gcs else ""
        self._usual_s: list[float] = []
        if is_gcs:
            self.remembered_s = REMEMBERED_S
        else:
            self.cold_reason = "TensorFlow keeps its connections, and does not let a caller end them"

    def list(self, uri: str) -> list[File]:
        """Files in a folder, or in its folders where it has none itself; a file; what a glob matches."""
        inside = uri.rstrip("/")
        if any(sign in uri for sign in GLOB_SIGNS):
            found = _glob(uri)
        elif tf.io.gfile.isdir(rooted(uri)):
            inside = f"{inside}/*"
            found = _glob(inside)
        else:
            found = [uri] if tf.io.gfile.exists(uri) else []
        if not found:
            preflight.require(uri, self.route, anew=True)
            raise MissingPathError(f"no such path, or nothing in it: {uri}")
        if len(found) > 1 and all(tf.io.gfile.isdir(path) for path in found[:: max(1, len(found) // FEW)][:FEW]):
            found = _glob(f"{inside}/*")
        return [File(path, None) for path in found if not path.endswith("/")]

    def stat(self, path: str) -> int | None:
        """The size of a file; None for a folder."""
        begun_s, begun = time.perf_counter(), time.thread_time()
        found = tf.io.gfile.stat(path)
        if time.perf_counter() - begun_s >= self.remembered_s:
            self._usual_s.append(time.thread_time() - begun)
        return None if found.is_directory else int(found.length)

    def cold(self) -> Connection:
        """A connection like any other."""
        return GFileConnection(self._usual(), head_only=self.block_bytes is None)

    def warm(self) -> Connection:
        """A connection like any other."""
        return GFileConnection(self._usual(), head_only=self.block_bytes is None)

    def _usual(self) -> float:
        """Unlimited where the client sets no block aside, so that nothing is taken for its own time.

        Where it remembered all sizes nothing counts as usual: better a millisecond too much taken than a block left in.
        """
        if self.block_bytes is None:
            return math.inf
        return median(self._usual_s) if self._usual_s else 0.0


def _glob(pattern: str) -> list[Any]:
    return sorted(tf.io.gfile.glob(pattern))
