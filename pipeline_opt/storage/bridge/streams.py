"""A file as a stream of pieces that TensorFlow's own readers open one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

from pipeline_opt.access import BLOCK_BYTES, Access
from pipeline_opt.storage.bridge.ahead import Ahead
from pipeline_opt.storage.bridge.budget import Budget
from pipeline_opt.storage.bridge.cutting import Cut
from pipeline_opt.storage.bridge.fetching import Fetching
from pipeline_opt.storage.bridge.inflating import inflated
from pipeline_opt.storage.bridge.ranges import open_ranges
from pipeline_opt.storage.bridge.scratch import Scratch


class HandedOver(NamedTuple):
    """A piece that a reader was given: bytes `start` to `end` of the decompressed file `path`."""

    path: str
    start: int
    end: int


_HANDED_OVER: Final[deque[HandedOver]] = deque(maxlen=4096)


def handed_over() -> tuple[HandedOver, ...]:
    """The pieces that were handed over last, the newest first: where damage that a reader reports may be.

    It need not be in the newest of a file: a prefetch reads on after an error.
    """
    return tuple(dict.fromkeys(reversed(tuple(_HANDED_OVER))))


class Bridge:
    """The files of one source, fetched by fsspec.

    Args:
        access: How they are reached.
        cut: Cuts the format between records.
        compression: `""`, `GZIP` or `ZLIB`.
    """

    def __init__(self, access: Access, cut: Cut, compression: str = "") -> None:
        self._access = access
        self._cut = cut
        self._compression = compression
        self.budget = Budget(access.scratch_bytes)

    def pieces(self, path: bytes | str, reader: str = "") -> Iterator[str]:
        """Paths of files with whole records, each to be read before the next is asked for.

        Args:
            path: The file.
            reader: The name of the stage that reads it, for `Watch`.

        Raises:
            MissingPathError: The file is not there.
            SourceError: It cannot be read; names file and byte, what happened, and what would help.
            CorruptRecordError: Its compressed stream is damaged.
            FormatError: It is no whole number of fixed-length records.
        """
        name = _text(path)
        fetching = self._fetching(name, reader)
        scratch = Scratch()
        try:
            for piece in self._cut(name, self._decompressed(name, fetching)):
                scratch.hold(piece.parts)
                _HANDED_OVER.append(HandedOver(name, piece.start, piece.start + piece.size))
                del piece
                yield scratch.path
        finally:
            fetching.close()
            scratch.close()

    def whole(self, path: bytes | str, reader: str = "") -> bytes:
        """All bytes of a file.

        Args:
            path: The file.
            reader: As in `pieces`.

        Raises:
            MissingPathError, SourceError: As `pieces`.
        """
        fetching = self._fetching(_text(path), reader)
        try:
            return b"".join(fetching)
        finally:
            fetching.close()

    def _fetching(self, path: str, reader: str) -> Fetching:
        opener = partial(open_ranges, path, self._access)
        return Fetching(path, opener, self._access, self.budget, Ahead(reader))

    def _decompressed(self, path: str, blocks: Iterable[bytes]) -> Iterable[bytes]:
        if not self._compression:
            return blocks
        return inflated(path, blocks, self._compression, self._access.block_bytes or BLOCK_BYTES)


def _text(path: bytes | str) -> str:
    return path.decode() if isinstance(path, bytes) else path
