"""The bridge without TensorFlow: fetching, bounding, inflating, cutting, and letting go."""

from __future__ import annotations

import gzip
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote_files import RemoteStore, remote_store

import pipeline_opt as po
from pipeline_opt.access import Access
from pipeline_opt.storage.bridge import Bridge, handed_over
from pipeline_opt.storage.bridge.budget import Budget
from pipeline_opt.storage.bridge.cutting import Cut, cut_lines, cut_records, cut_rows, fixed_length
from pipeline_opt.storage.bridge.fetching import Fetching
from pipeline_opt.storage.bridge.inflating import inflated
from pipeline_opt.storage.bridge.ranges import open_ranges
from pipeline_opt.storage.tfrecord import masked_crc32c

MOST_WAITING_S = 30.0


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


@pytest.fixture
def store() -> Iterator[type[RemoteStore]]:
    with remote_store({"d/a": bytes(range(256)) * 400}) as opened:
        yield opened


def fetching(access: Access, budget: Budget | None = None, path: str = "testing://d/a") -> Fetching:
    return Fetching(path, lambda: open_ranges(path, access), access, budget or Budget(access.scratch_bytes))


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    end = time.monotonic() + MOST_WAITING_S
    while not holds():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.001)


def fetchers() -> int:
    return sum(thread.name == "pipeline_opt_fetch" for thread in threading.enumerate())


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


# ---- fetching ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read_ahead", [0, 1, 3])
@pytest.mark.parametrize("size", [4096, 51_200, 102_400, 1 << 20])
def test_blocks_in_order(store: type[RemoteStore], size: int, read_ahead: int) -> None:
    budget = Budget(1 << 20)
    got = fetching(Access(block_bytes=size, read_ahead=read_ahead), budget)
    assert b"".join(got) == store.files["d/a"]
    assert budget.used == 0
    until(lambda: fetchers() == 0)


def test_so_many_blocks_are_fetched_ahead_and_no_more(store: type[RemoteStore]) -> None:
    for ahead in (0, 1, 2):
        store.requests.clear()
        got = fetching(Access(block_bytes=4096, read_ahead=ahead))
        blocks = iter(got)
        next(blocks)
        until(lambda: len(store.requests) == 1 + ahead)  # noqa: B023
        time.sleep(0.02)
        assert len(store.requests) == 1 + ahead
        got.close()
    until(lambda: fetchers() == 0)


def test_the_budget_holds_back_what_is_ahead_and_not_what_is_wanted(store: type[RemoteStore]) -> None:
    budget = Budget(4096)
    streams = [fetching(Access(block_bytes=4096, read_ahead=4), budget) for _ in range(3)]
    most = 0
    readers = [iter(stream) for stream in streams]
    for _ in range(25):
        for reader in readers:
            assert len(next(reader)) == 4096
            most = max(most, budget.used)
    assert most <= 4096 * (1 + len(streams))
    for stream in streams:
        stream.close()
    until(lambda: fetchers() == 0)
    assert budget.used == 0


def test_what_is_over_takes_nothing_and_holds_nobody_up() -> None:
    budget = Budget(10)
    first, late, next_ = budget.claim(), budget.claim(), budget.claim()
    assert first.take(10)
    late.close()
    assert not late.take(10)
    first.give_back(10)
    assert budget.used == 0
    assert next_.take(10)


def test_who_waits_is_told_that_it_is_over_or_given_what_was_given_back() -> None:
    budget = Budget(10)
    first, ended, waiting, urgent = (budget.claim() for _ in range(4))
    told: dict[str, bool] = {}
    assert first.take(10)
    threads = []
    for name, claim in (("ended", ended), ("waiting", waiting), ("urgent", urgent)):
        threads.append(threading.Thread(target=lambda name=name, claim=claim: told.update({name: claim.take(6)})))
        threads[-1].start()
        until(lambda claim=claim: claim.asked == 6)
    urgent.hurry(True)
    ended.close()
    ended.hurry(True)
    until(lambda: told == {"urgent": True, "ended": False})
    assert budget.used == 16
    urgent.give_back(6)
    first.give_back(10)
    for thread in threads:
        thread.join(MOST_WAITING_S)
    assert (told["waiting"], budget.used) == (True, 6)


def test_passing_errors_are_tried_again_from_the_byte_where_it_stopped(store: type[RemoteStore]) -> None:
    failed: set[int] = set()

    def fail_once(path: str, at: int, count: int) -> None:
        if at % 8192 == 0 and at not in failed:
            failed.add(at)
            raise ConnectionResetError("reset")

    RemoteStore.before = staticmethod(fail_once)
    got = fetching(Access(block_bytes=51_200, retries=2))
    assert b"".join(got) == store.files["d/a"]
    assert failed


@pytest.mark.parametrize(
    ("error", "said", "requests"),
    [
        (
            ConnectionResetError("reset by peer"),
            "byte 4096: ConnectionResetError: reset by peer, 3 times; check that host",
            4,
        ),
        (PermissionError("403"), "byte 4096: PermissionError: 403; check the credentials", 2),
        (FileNotFoundError("gone"), "the file is gone", 2),
    ],
)
def test_what_lasts_is_said_with_file_byte_and_remedy(
    store: type[RemoteStore], error: Exception, said: str, requests: int
) -> None:
    def fail(path: str, at: int, count: int) -> None:
        if at:
            raise error

    RemoteStore.before = staticmethod(fail)
    got = iter(fetching(Access(block_bytes=4096, retries=2)))
    assert len(next(got)) == 4096
    with pytest.raises(po.SourceError, match=rf"testing://d/a.*{said}"):
        next(got)
    assert len(store.requests) == requests
    until(lambda: fetchers() == 0)


def test_a_request_that_hangs_is_left_to_itself(store: type[RemoteStore]) -> None:
    free = threading.Event()
    hung: list[int] = []

    def hang(path: str, at: int, count: int) -> None:
        if count > 70_000:
            hung.append(count)
            free.wait(MOST_WAITING_S)

    RemoteStore.before = staticmethod(hang)
    budget = Budget(1 << 20)
    got = fetching(Access(block_bytes=100_000, timeout_s=0.05), budget)
    assert b"".join(got) == store.files["d/a"]
    assert hung == [100_000]
    RemoteStore.before = staticmethod(lambda *_: free.wait(MOST_WAITING_S) and None)
    stuck = iter(fetching(Access(timeout_s=0.05), budget))
    with pytest.raises(po.SourceError, match=r"byte 0: TimeoutError: nothing came within 0.05 s, 3 times"):
        next(stuck)
    free.set()
    until(lambda: fetchers() == 0 and budget.used == 0)


def test_a_slow_link_is_no_hang(store: type[RemoteStore]) -> None:
    """Only a request that is small enough comes within the timeout, and it is asked for before the bridge gives up."""
    free = threading.Event()
    store.files["d/a"] = bytes(200_000)
    RemoteStore.before = staticmethod(lambda _path, _at, count: count > 65_536 and free.wait(MOST_WAITING_S) and None)
    got = fetching(Access(block_bytes=1 << 24, timeout_s=0.05), Budget(1 << 26))
    assert b"".join(got) == store.files["d/a"]
    free.set()
    until(lambda: fetchers() == 0)


def test_closing_while_a_request_hangs_does_not_wait(store: type[RemoteStore]) -> None:
    free, inside = threading.Event(), threading.Event()
    RemoteStore.before = staticmethod(lambda *_: inside.set() or (free.wait(MOST_WAITING_S) and None))
    budget = Budget(1 << 20)
    got = fetching(Access(block_bytes=4096), budget)
    assert inside.wait(MOST_WAITING_S)
    got.close()
    assert list(got) == []
    free.set()
    until(lambda: fetchers() == 0 and budget.used == 0)


@pytest.mark.parametrize("size", [4096, 1 << 20])
def test_a_client_with_handles_reads_on_with_the_same_one(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(os.urandom(100_000))
    got = fetching(Access(block_bytes=size), path=f"file://{tmp_path}/a")
    assert b"".join(got) == (tmp_path / "a").read_bytes()


# ---- all together ------------------------------------------------------------------------------------------------------


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def read(pieces: Iterable[str]) -> bytes:
    return b"".join(Path(piece).read_bytes() for piece in pieces)


def test_pieces_are_files_that_vanish(store: type[RemoteStore]) -> None:
    store.files["d/r"] = b"".join(record(os.urandom(n)) for n in range(0, 20_000, 500))
    bridge = Bridge(Access(block_bytes=4096), cut_records)
    before = descriptors()
    pieces = bridge.pieces(b"testing://d/r")
    first = Path(next(pieces)).read_bytes()
    assert store.files["d/r"].startswith(first)
    assert handed_over()[0] == ("testing://d/r", 0, len(first))
    assert descriptors() == before + 1
    assert first + read(pieces) == store.files["d/r"]
    assert (descriptors(), bridge.budget.used) == (before, 0)
    half = bridge.pieces("testing://d/r")
    next(half)
    half.close()  # type: ignore[attr-defined]
    until(lambda: fetchers() == 0)
    assert (descriptors(), bridge.budget.used) == (before, 0)
    assert bridge.whole("testing://d/r") == store.files["d/r"]


def test_a_piece_of_very_many_parts(store: type[RemoteStore]) -> None:
    store.files["d/line"] = os.urandom(1 << 20).replace(b"\n", b"x") * 8
    assert read(Bridge(Access(block_bytes=4096), cut_lines).pieces("testing://d/line")) == store.files["d/line"]
