"""Which file is damaged: searched after a pipeline failed, since TensorFlow names no file."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.errors import SourceError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage.bridge import handed_over
from pipeline_opt.storage.compression import decompressed_head, head, open_decompressed
from pipeline_opt.storage.csv_form import rows_of
from pipeline_opt.storage.formats import describe
from pipeline_opt.storage.tfrecord import HEADER_BYTES, begins_with_record, cut_header, first_corruption
from pipeline_opt.storage.uris import local_path

tf = lazy_module("tensorflow")

_REMOTE_FILES: Final = 16
"""Above so many remote files none is read through: each has to be fetched as a whole."""
_CONNECTIONS: Final = 16
_SEARCH_S: Final = 10.0
"""So long remote files are searched for a damage at a known place."""
_GLANCE_S: Final = 3.0
"""The same where nothing has failed."""
_HANDED_OVER: Final = 256
"""The bridge's pieces that are looked at: more than are read and prefetched at a time, mostly."""
_SEARCHED_BYTES: Final = 1 << 30
"""Where contents must be read through, the search ends after so many bytes."""
_GLANCED_BYTES: Final = 64 << 20
"""The same where nothing has failed."""
_TAILS: Final = 256
"""Where the ends of files are looked at, those of so many."""
_UNREADABLE: Final = (SourceError, OSError)
"""Files that cannot be read now are left out: that is not what was wrong with what was read before."""
_CHUNK: Final = 1 << 12
"""How exactly the place of damage in a stream is told, in bytes."""


class Damage(NamedTuple):
    """A file that is not as it should be: `offset` in its decompressed bytes, None where that means nothing."""

    path: str
    offset: int | None
    reason: str


def damaged_record(files: Sequence[str], compression: str, offset: int, access: Access = DEFAULT) -> Damage | None:
    """The first TFRecord file with a damaged record at `offset`, hopping over records before it.

    Of a damaged payload TensorFlow says where the payload begins, of other damage where the record does.
    """

    def look(path: str) -> Damage | None:
        for start in (offset, offset - HEADER_BYTES):
            try:
                found = first_corruption(path, compression, start, access)
            except SourceError:
                continue
            if found is not None:
                return Damage(path, *found)
        return None

    return _first(files, look)


def damaged_piece(files: Sequence[str], compression: str, offset: int, access: Access = DEFAULT) -> Damage | None:
    """The damaged record at `offset` of a piece that the bridge handed over last, told by its place in the file."""
    known = set(files)
    candidates = [piece for piece in handed_over() if piece.path in known and offset < piece.end - piece.start]
    for piece in candidates[:_HANDED_OVER]:
        for start in (piece.start + offset, piece.start + offset - HEADER_BYTES):
            if start < piece.start:
                continue
            try:
                found = first_corruption(piece.path, compression, start, access, piece.start)
            except (SourceError, OSError, zlib.error):
                continue
            if found is not None:
                return Damage(piece.path, *found)
    return None


def foreign_file(files: Sequence[str], compression: str, *, records: bool, access: Access = DEFAULT) -> Damage | None:
    """The first file that is not of the compression said, or with `records`, no TFRecord file."""

    def look(path: str) -> Damage | None:
        reason = mismatch(path, compression, records=records, access=access)
        return Damage(path, None, reason) if reason else None

    return _first(files, look)


def mismatch(path: str, compression: str, *, records: bool, access: Access = DEFAULT) -> str:
    """How a file's beginning contradicts its compression and format; nothing if it does not, or is empty."""
    raw = head(path, access)
    actual, content = decompressed_head(raw)
    if raw and actual != compression:
        return f"is {actual or 'not'} compressed, where {compression or 'no compression'} is expected"
    if content and records and not begins_with_record(content):
        return f"is not a TFRecord file, or damaged from its first record on; it begins with {describe(content)}"
    return ""


def silent_damage(files: Sequence[str], compression: str, *, records: bool, access: Access = DEFAULT) -> Damage | None:
    """The first file in which TensorFlow leaves out what follows a damage without a word; a cheap look, not a search."""
    if compression:
        return damaged_stream(files, compression, _GLANCED_BYTES, access)

    def look(path: str) -> Damage | None:
        found = cut_header(path, access)
        return Damage(path, *found) if found is not None else None

    return _first(files[-_TAILS:], look, _GLANCE_S) if records else None


def damaged_stream(
    files: Sequence[str], compression: str, limit: int = _SEARCHED_BYTES, access: Access = DEFAULT
) -> Damage | None:
    """The first compressed file that does not decompress, within a limit of bytes."""
    left = limit
    for path in _searchable(files) if compression else ():
        offset = 0
        with (
            contextlib.suppress(*_UNREADABLE),
            open_decompressed(path, compression, _CHUNK, access) as stream,
        ):
            try:
                while left > 0 and (chunk := stream.read(_CHUNK)):
                    offset += len(chunk)
                    left -= len(chunk)
            except zlib.error as error:
                return Damage(path, offset, f"the {compression} stream is damaged: {error}")
    return None


def misfit_row(
    files: Sequence[str],
    compression: str,
    delimiter: str,
    header: bool,
    misfit: Callable[[list[str]], bool],
    access: Access = DEFAULT,
) -> tuple[str, int] | None:
    """The first CSV file with a row whose values are a misfit, and the line that the row is on, within a limit of bytes."""
    left = _SEARCHED_BYTES
    for path in _searchable(files):
        with (
            contextlib.suppress(zlib.error, *_UNREADABLE),
            open_decompressed(path, compression, _CHUNK, access) as stream,
        ):
            for number, line in enumerate(stream, 1):
                left -= len(line)
                if left < 0:
                    return None
                values = next(iter(rows_of([line.decode(errors="replace").rstrip("\r\n")], delimiter)), [])
                if number > header and misfit(values):
                    return path, number
    return None


def undecodable_image(files: Sequence[str], access: Access = DEFAULT) -> Damage | None:
    """The first image file that TensorFlow cannot decode, within a limit of bytes."""
    left = _SEARCHED_BYTES
    for path in _searchable(files):
        if left <= 0:
            break
        encoded = None
        with contextlib.suppress(*_UNREADABLE), open_decompressed(path, "", access=access) as stream:
            encoded = stream.read()
        if encoded is None:
            continue
        left -= len(encoded)
        try:
            tf.io.decode_image(encoded, channels=3, expand_animations=False)
        except tf.errors.InvalidArgumentError:
            return Damage(path, None, "is empty" if not encoded else f"begins with {describe(encoded[:64])}")
    return None


def _first(files: Sequence[str], look: Callable[[str], Damage | None], seconds: float = _SEARCH_S) -> Damage | None:
    """The first file that `look` finds damaged; where one is far away, several are looked at together, within seconds."""

    def look_now(path: str) -> Damage | None:
        with contextlib.suppress(*_UNREADABLE):
            return look(path)
        return None

    if all(local_path(path) is not None for path in files):
        return next((damage for path in files if (damage := look_now(path)) is not None), None)
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for start in range(0, len(files), _CONNECTIONS):
            found = list(pool.map(look_now, files[start : start + _CONNECTIONS]))
            damage = next((each for each in found if each is not None), None)
            if damage is not None or time.monotonic() > until:
                return damage
    return None


def _searchable(files: Sequence[str]) -> Iterator[str]:
    """The files, unless they are many and far away."""
    if len(files) <= _REMOTE_FILES or all(local_path(path) is not None for path in files):
        yield from files
