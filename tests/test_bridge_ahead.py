"""What is fetched while no reader waits: told apart from waiting, and kept for the windows that it touches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
from fakes import naive
from hypothesis import given
from hypothesis import strategies as st
from remote_files import remote_store

from pipeline_opt.access import Access
from pipeline_opt.accounting import account
from pipeline_opt.record import StageRecord
from pipeline_opt.storage.bridge.ahead import Ahead, AheadSpan, Watch
from pipeline_opt.storage.bridge.budget import Budget
from pipeline_opt.storage.bridge.fetching import Fetching
from pipeline_opt.storage.bridge.ranges import open_ranges


class Ticks:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@contextmanager
def watching() -> Iterator[Watch]:
    watch = Watch()
    watch.begin()
    watch.opened()
    try:
        yield watch
    finally:
        watch.end()


def times(watch: Watch) -> list[tuple[float, float]]:
    return [(span.start_s, span.end_s) for span in watch.spans]


def test_a_request_is_ahead_while_its_reader_does_not_wait() -> None:
    now = Ticks()
    with watching() as watch:
        ahead = Ahead("read", now)
        for now.at, tell, value in (
            (1.0, ahead.waits, True),
            (2.0, ahead.asks, True),
            (5.0, ahead.waits, False),
            (6.0, ahead.waits, True),
            (7.0, ahead.waits, False),
            (9.0, ahead.asks, False),
            (10.0, ahead.waits, True),
        ):
            tell(value)
    assert times(watch) == [(5.0, 6.0), (7.0, 9.0)]
    assert {span.reader for span in watch.spans} == {"read"}


def test_files_are_told_apart() -> None:
    now = Ticks()
    with watching() as watch:
        for _ in range(2):
            ahead = Ahead("read", now)
            ahead.asks(True)
            now.at += 1
            ahead.asks(False)
    assert times(watch) == [(0.0, 1.0), (1.0, 2.0)]
    assert len({span.file for span in watch.spans}) == 2


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=30))
def test_the_spans_are_the_time_that_is_asked_and_not_waited(changes: list[tuple[int, bool, bool]]) -> None:
    now, expected = Ticks(), 0
    state = {True: False, False: False}
    with watching() as watch:
        ahead = Ahead("read", now)
        for seconds, of_reader, value in changes:
            now.at += seconds
            expected += seconds * (state[False] and not state[True])
            state[of_reader] = value
            (ahead.waits if of_reader else ahead.asks)(value)
        ahead.asks(False)
    assert sum(end - start for start, end in times(watch)) == expected
    assert times(watch) == sorted(times(watch))


def test_only_spans_that_touch_a_window_are_kept() -> None:
    watch = Watch()
    spans = [AheadSpan("read", 1, float(at), at + 1.5) for at in range(5)]
    watch.take(spans[0])
    watch.opened()
    watch.take(spans[1])
    watch.closed(3.0)
    watch.take(spans[2])
    watch.take(spans[3])
    assert watch.spans == spans[1:3], "what ends later may have begun before the window closed"


def test_nothing_is_kept_once_a_watch_has_ended() -> None:
    with watching() as watch:
        pass
    ahead = Ahead("read")
    ahead.asks(True)
    ahead.asks(False)
    assert watch.spans == []
    watch.end()


@pytest.mark.parametrize("read_ahead", [0, 2])
def test_what_a_reader_waits_for_is_not_ahead_and_what_it_does_not_is(read_ahead: int) -> None:
    # GIVEN a file of three blocks, whose requests each take until the test lets them go
    asked, go = threading.Semaphore(0), threading.Semaphore(0)

    def before(_name: str, _at: int, _count: int) -> None:
        asked.release()
        assert go.acquire(timeout=30)

    now, access = Ticks(), Access(block_bytes=10_000, read_ahead=read_ahead)
    with remote_store({"d/a": bytes(30_000)}) as store, watching() as watch:
        opener = partial(open_ranges, "testing://d/a", access)
        blocks = iter(Fetching("testing://d/a", opener, access, Budget(1 << 20), Ahead("read", now)))
        store.before = before
        try:
            # WHEN the reader waits for the first block, then pauses for three seconds
            first = threading.Thread(target=lambda: next(blocks))
            first.start()
            assert asked.acquire(timeout=30)
            now.at = 1.0
            go.release()
            first.join(30)
            if read_ahead:
                assert asked.acquire(timeout=30)
            now.at = 4.0
        finally:
            go.release(9)
        assert len(b"".join(blocks)) == 20_000
    # THEN the second, under way meanwhile, is ahead, if it was asked for before the reader came back
    assert sum(end - start for start, end in times(watch)) == (3.0 if read_ahead else 0.0)


def test_it_is_told_where_it_is_much_of_extract() -> None:
    run = naive()
    extract_s = account(run).phases["extract"].work_s
    assert extract_s is not None

    def notes(share: float) -> tuple[str, ...]:
        reader = StageRecord("interleave", "interleave", "extract", ahead_s=share * extract_s)
        return account(replace(run, stages=(reader, StageRecord("map", "map", "transform")))).notes

    assert notes(0.25) == (
        "Of extract, 25% was fetched ahead (interleave): storage was at work, and no reader waited for it.",
    )
    assert notes(0.009) == ()
