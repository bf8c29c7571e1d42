"""Where a stream of blocks may be cut so that no record is torn."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from pipeline_opt.errors import FormatError
from pipeline_opt.storage.tfrecord import HEADER_BYTES, OVERHEAD_BYTES, begins_with_record

Part = bytes | memoryview
_LENGTH: Final = struct.Struct("<Q").unpack_from


class Piece(NamedTuple):
    """Whole records: `parts` one after another, which begin at byte `start` of the decompressed file."""

    parts: tuple[Part, ...]
    start: int

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.parts))


Cut = Callable[[str, Iterable[bytes]], Iterator[Piece]]
"""From a file's path, for messages, and its blocks to pieces."""


def cut_records(path: str, blocks: Iterable[bytes]) -> Iterator[Piece]:
    """Pieces of TFRecords. What is damaged is handed over as it is: TensorFlow's reader says what is wrong with it."""
    del path
    held = _Held()
    for block in blocks:
        first = 0
        if held.size:
            header = held.beginning(HEADER_BYTES, block)
            if len(header) == HEADER_BYTES:
                first = _LENGTH(header)[0] + OVERHEAD_BYTES - held.size
                if first > len(block) and not begins_with_record(header):
                    yield held.with_part(block)
                    return
            if len(header) < HEADER_BYTES or first > len(block):
                held.add(block)
                continue
        end = _last_boundary(block, first)
        rest = block[end:]
        if len(rest) >= HEADER_BYTES and not begins_with_record(rest[:HEADER_BYTES]):
            yield held.with_part(block)
            return
        if held.size + end:
            yield held.with_part(memoryview(block)[:end])
        held.keep(rest)
    if held.size:
        yield held.with_part(b"")


def _last_boundary(block: bytes, at: int) -> int:
    """Where the last whole record of a block ends, one beginning at `at`."""
    size = len(block)
    last = size - HEADER_BYTES
    while at <= last:
        end: int = at + _LENGTH(block, at)[0] + OVERHEAD_BYTES
        if end > size:
            break
        at = end
    return at


def cut_lines(path: str, blocks: Iterable[bytes]) -> Iterator[Piece]:
    """Pieces that end in a line feed; the last one may not."""
    return _lines(blocks, 0)


def cut_rows(path: str, blocks: Iterable[bytes]) -> Iterator[Piece]:
    """The same without the file's first line."""
    held = b""
    rest = iter(blocks)
    for block in rest:
        held += block
        end = held.find(b"\n") + 1
        if end:
            return _lines(itertools.chain((held[end:],), rest), end)
    return iter(())


def _lines(blocks: Iterable[bytes], start: int) -> Iterator[Piece]:
    held = _Held(start)
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if not end:
            held.add(block)
            continue
        yield held.with_part(memoryview(block)[:end])
        held.keep(block[end:])
    if held.size:
        yield held.with_part(b"")


def fixed_length(record_bytes: int, header_bytes: int, footer_bytes: int) -> Cut:
    """Pieces of whole records, the file's header and footer left out."""

    def cut(path: str, blocks: Iterable[bytes]) -> Iterator[Piece]:
        skip, held = header_bytes, _Held(header_bytes)
        for block in blocks:
            dropped = min(skip, len(block))
            skip -= dropped
            held.add(block[dropped:])
            whole = (held.size - footer_bytes) // record_bytes * record_bytes
            if whole > 0:
                data = held.joined()
                yield Piece((memoryview(data)[:whole],), held.start)
                held.drop(data, whole)
        if skip or held.size != footer_bytes:
            body = held.start - header_bytes + held.size - footer_bytes - skip
            raise FormatError(
                f"{path}, byte {held.start}: without a header of {header_bytes} and a footer of {footer_bytes} bytes it holds "
                f"{body} bytes, which is not an exact multiple of the record length {record_bytes}"
            )

    return cut


class _Held:
    """What is left of earlier blocks; it begins at byte `start` of the file."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.size = 0
        self._parts: list[Part] = []

    def add(self, part: bytes) -> None:
        """Keep one more part."""
        self._parts.append(part)
        self.size += len(part)

    def beginning(self, count: int, more: bytes) -> bytes:
        """The first bytes, those of `more` behind them."""
        found = b""
        for part in (*self._parts, more):
            found += bytes(part[: count - len(found)])
            if len(found) == count:
                break
        return found

    def with_part(self, part: Part) -> Piece:
        """All that is held and one more part, as a piece; nothing is held then."""
        piece = Piece((*self._parts, *((part,) if part else ())), self.start)
        self.start += piece.size
        self.keep(b"")
        return piece

    def keep(self, part: bytes) -> None:
        """Hold this part alone."""
        self._parts = [part] if part else []
        self.size = len(part)

    def joined(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)

    def drop(self, data: bytes, count: int) -> None:
        """Let go of the first `count` bytes of `data`, which is all of it."""
        self.start += count
        self.keep(data[count:])
