"""The bridge without TensorFlow: fetching, bounding, and letting go."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from remote_files import RemoteStore, remote_store

import pipeline_opt as po
from pipeline_opt.access import Access
from pipeline_opt.storage.bridge import Bridge, handed_over
from pipeline_opt.storage.bridge.ahead import Ahead
from pipeline_opt.storage.bridge.budget import Budget
from pipeline_opt.storage.bridge.cutting import cut_lines
from pipeline_opt.storage.bridge.fetching import Fetching
from pipeline_opt.storage.bridge.ranges import open_ranges

MOST_WAITING_S = 30.0


@pytest.fixture
def store() -> Iterator[type[RemoteStore]]:
    with remote_store({"d/a": bytes(range(256)) * 400}) as opened:
        yield opened


def fetching(access: Access, budget: Budget | None = None, path: str = "testing://d/a") -> Fetching:
    return Fetching(
        path, lambda: open_ranges(path, access), access, budget or Budget(access.scratch_bytes), Ahead("reader")
    )


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    end = time.monotonic() + MOST_WAITING_S
    while not holds():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.001)


def fetchers() -> int:
    return sum(thread.name == "pipeline_opt_fetch" for thread in threading.enumerate())


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


def test_a_client_that_streams_lets_read_what_is_there_of_a_block(store: type[RemoteStore]) -> None:
    data = store.files["d/long"] = os.urandom(1_000_000)
    free = threading.Event()
    RemoteStore.before = staticmethod(lambda _path, at, _count: at >= 512 << 10 and free.wait(MOST_WAITING_S) and None)
    budget = Budget(1 << 24)
    got = iter(fetching(Access(), budget, path="streaming://d/long"))
    first = next(got)
    assert data.startswith(first)
    assert len(first) in (256 << 10, 512 << 10)
    if len(first) < 512 << 10:
        first += next(got)
    free.set()
    assert first + b"".join(got) == data
    assert budget.used == 0
    until(lambda: fetchers() == 0)


def test_a_reader_that_is_behind_gets_whole_blocks(store: type[RemoteStore]) -> None:
    data = store.files["d/long"] = os.urandom(1_200_000)
    got = fetching(Access(block_bytes=600_000, read_ahead=2), path="streaming://d/long")
    until(lambda: fetchers() == 0)
    blocks = list(got)
    assert b"".join(blocks) == data
    assert list(map(len, blocks)) == [600_000, 600_000]


def test_what_a_stream_brought_before_it_broke_is_not_asked_for_again(store: type[RemoteStore]) -> None:
    data = store.files["d/long"] = os.urandom(1_000_000)
    asked: list[int] = []

    def break_once(path: str, at: int, count: int) -> None:
        asked.append(at)
        if len(asked) == 7:
            raise ConnectionResetError("reset")

    RemoteStore.before = staticmethod(break_once)
    budget = Budget(1 << 24)
    assert b"".join(fetching(Access(), budget, path="streaming://d/long")) == data
    assert asked[7] == 256 << 10
    assert budget.used == 0


@pytest.mark.parametrize("size", [0, 1, 256 << 10, 512 << 10])
@pytest.mark.parametrize("block", [4096, 256 << 10, 1 << 20])
def test_streams_end_where_the_file_does(store: type[RemoteStore], size: int, block: int) -> None:
    store.files["d/s"] = os.urandom(size)
    assert b"".join(fetching(Access(block_bytes=block), path="streaming://d/s")) == store.files["d/s"]
    until(lambda: fetchers() == 0)


# ---- all together ------------------------------------------------------------------------------------------------------


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def read(pieces: Iterable[str]) -> bytes:
    return b"".join(Path(piece).read_bytes() for piece in pieces)


def test_pieces_are_files_that_vanish(store: type[RemoteStore]) -> None:
    store.files["d/r"] = b"".join(os.urandom(n).hex().encode() + b"\n" for n in range(0, 10_000, 250))
    bridge = Bridge(Access(block_bytes=4096), cut_lines)
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
