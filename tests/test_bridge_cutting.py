"""The bridge's cutting between records, and its inflating, without any storage."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline_opt as po
from pipeline_opt.storage.bridge.cutting import Cut, cut_lines, cut_records, cut_rows, fixed_length
from pipeline_opt.storage.bridge.inflating import inflated
from pipeline_opt.storage.tfrecord import masked_crc32c


def record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    crcs = (struct.pack("<I", masked_crc32c(part)) for part in (length, payload))
    return length + next(crcs) + payload + next(crcs)


def blocks_of(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def pieces_of(cut: Cut, data: bytes, size: int) -> list[bytes]:
    pieces = list(cut("a", blocks_of(data, size)))
    assert all(piece.size for piece in pieces)
    return [b"".join(map(bytes, piece.parts)) for piece in pieces]


# ---- cutting -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=60), max_size=40), st.integers(1, 200))
def test_records_are_never_torn(payloads: list[bytes], size: int) -> None:
    data = b"".join(map(record, payloads))
    starts = {0}
    for payload in payloads:
        starts.add(max(starts) + len(payload) + 16)
    pieces = list(cut_records("a", blocks_of(data, size)))
    assert b"".join(bytes(part) for piece in pieces for part in piece.parts) == data
    assert {piece.start for piece in pieces} <= starts
    assert all(piece.start + piece.size in starts for piece in pieces)


@given(st.binary(max_size=300), st.integers(1, 100))
def test_lines_are_never_torn(data: bytes, size: int) -> None:
    pieces = pieces_of(cut_lines, data, size)
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])


@given(st.lists(st.text("ab", max_size=5), max_size=8), st.booleans(), st.integers(1, 9))
def test_rows_leave_out_the_first_line(lines: list[str], ends: bool, size: int) -> None:
    data = ("\n".join(lines) + "\n" * ends).encode()
    assert b"".join(pieces_of(cut_rows, data, size)) == data.partition(b"\n")[2]


@given(st.integers(0, 40), st.integers(1, 7), st.integers(0, 5), st.integers(0, 5), st.integers(1, 20))
def test_fixed_lengths(count: int, record_bytes: int, header: int, footer: int, size: int) -> None:
    body = os.urandom(count * record_bytes)
    pieces = pieces_of(fixed_length(record_bytes, header, footer), b"h" * header + body + b"f" * footer, size)
    assert b"".join(pieces) == body
    assert all(len(piece) % record_bytes == 0 for piece in pieces)


def test_a_body_that_is_no_whole_number_of_records_is_refused() -> None:
    with pytest.raises(
        po.FormatError, match=r"a, byte 11: .* holds 11 bytes, which is not an exact multiple of the record"
    ):
        pieces_of(fixed_length(5, 1, 0), bytes(12), 6)


@given(st.integers(0, 3), st.integers(1, 100), st.integers(0, 200))
def test_damaged_records_are_handed_over_as_they_are(place: int, size: int, cut_at: int) -> None:
    """All that is read reaches TensorFlow, which says what is wrong: a length that lies, or a file that ends early."""
    whole = b"".join(record(bytes([n]) * 40) for n in range(4))
    lying = bytearray(whole)
    lying[place * 56 + 3] ^= 0xFF
    got = b"".join(pieces_of(cut_records, bytes(lying), size))
    assert bytes(lying).startswith(got)
    assert len(got) >= place * 56 + 12 or len(got) == len(whole)
    assert b"".join(pieces_of(cut_records, whole[:cut_at], size)) == whole[:cut_at]


def test_a_length_that_lies_ends_the_reading_at_once() -> None:
    def blocks() -> Iterator[bytes]:
        yield record(b"fine")
        yield struct.pack("<QI", 1 << 40, 1) + bytes(50)
        raise AssertionError("the rest of the file is fetched for it")

    assert len(list(cut_records("a", blocks()))) == 2


# ---- inflating ---------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=2000), st.integers(1, 300), st.sampled_from(["GZIP", "ZLIB"]))
def test_inflating(data: bytes, size: int, compression: str) -> None:
    packed = gzip.compress(data) + gzip.compress(data) if compression == "GZIP" else zlib.compress(data)
    blocks = list(inflated("a", blocks_of(packed, size), compression, 64))
    assert b"".join(blocks) == data * (2 if compression == "GZIP" else 1)
    assert all(0 < len(block) <= 64 for block in blocks)
    assert data.startswith(b"".join(inflated("a", blocks_of(packed[: len(packed) // 3], size), compression, 64)))


def test_a_damaged_stream_names_file_and_byte() -> None:
    packed = bytearray(zlib.compress(os.urandom(600_000)))
    packed[400_000] ^= 0xFF
    packed[400_001:400_060] = bytes(59)
    with pytest.raises(po.CorruptRecordError, match=r"a, byte \d+: the ZLIB stream is damaged"):
        list(inflated("a", [bytes(packed)], "ZLIB", 1 << 20))
