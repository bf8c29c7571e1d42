"""The probe against storage of known behaviour, under a fake clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock
from fake_storage import FakeStorage, right_knee
from hypothesis import given
from hypothesis import strategies as st

from pipeline_opt.clock import SystemClock
from pipeline_opt.errors import EmptySourceError, SourceError, UsageError
from pipeline_opt.storage.measured import Latency, RequestRate, StorageProfile, StreamRate
from pipeline_opt.storage.probe import knee, phases, scaling
from pipeline_opt.storage.probe.client import File
from pipeline_opt.storage.probe.gfile_client import GFileClient
from pipeline_opt.storage.probe.measure import probe
from pipeline_opt.storage.probe.targets import SPARE, Targets, within
from pipeline_opt.storage.probe.workers import run_together


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def storages(clock: FakeClock) -> Iterator[list[FakeStorage]]:
    """Those of a test: whatever hangs in them ends with it."""
    made: list[FakeStorage] = []
    yield made
    for storage in made:
        storage.released = True
    clock.sleep(10.0)


def probed(clock: FakeClock, storage: FakeStorage, **arguments: Any) -> StorageProfile:
    return probe("fake://data", client=storage, clock=clock, **{"seconds": 20.0, "streams": 16, **arguments})


@pytest.mark.parametrize("ttfb_s", [0.005, 0.05, 0.2])
@pytest.mark.parametrize("stream", [5e6, 50e6])
def test_it_finds_the_times_and_rates_of_a_storage(clock: FakeClock, ttfb_s: float, stream: float) -> None:
    storage = FakeStorage(clock, cold_s=2 * ttfb_s, warm_s=ttfb_s, stream=stream, total=4 * stream)
    found = probed(clock, storage, streams=64)
    assert found.cold.median_s == pytest.approx(2 * ttfb_s, rel=0.1)
    assert found.warm.median_s == pytest.approx(ttfb_s, rel=0.1)
    assert found.stream_bytes_per_s == pytest.approx(stream, rel=0.1)
    assert found.total_bytes_per_s == pytest.approx(4 * stream, rel=0.1)
    right = right_knee(found.streams[0].bytes_per_s, 4 * stream)
    assert found.knee in (right / 2, right, 2 * right)
    assert found.stat.median_s == pytest.approx(storage.stat_s)
    assert found.listing_s == pytest.approx(storage.list_s, abs=0.02)
    assert (found.files, found.bytes) == (storage.count, storage.count * storage.size)


def test_larger_requests_move_more_on_one_stream(clock: FakeClock) -> None:
    found = probed(clock, FakeStorage(clock))
    rates = [request.bytes_per_s for request in found.requests]
    assert [request.request_bytes for request in found.requests] == list(phases.SIZES)
    assert rates == sorted(rates)


@pytest.mark.parametrize(("stream", "largest"), [(50e6, 4 << 20), (5e6, 1 << 20), (0.2e6, 1 << 18)])
def test_requests_grow_as_long_as_there_is_room(clock: FakeClock, stream: float, largest: int) -> None:
    # GIVEN 1.8 s for the sizes of requests, each with 0.2 s to its first byte, and no request to take more than 0.5 s
    storage = FakeStorage(clock, cold_s=0.2, warm_s=0.2, stream=stream, total=4 * stream)
    found = probed(clock, storage, seconds=8)
    # THEN those are made that have room, however long the first byte takes, and two always: the rate is from their difference
    assert found.requests[-1].request_bytes == largest
    assert found.stream_bytes_per_s == pytest.approx(stream, rel=0.02)


def test_small_files_are_measured_in_parts_and_told(clock: FakeClock) -> None:
    found = probed(clock, FakeStorage(clock, size=100_000, count=512, stream=10e6))
    assert found.stream_bytes_per_s == pytest.approx(10e6, rel=0.1)
    assert any("no file is larger" in note for note in found.notes)


def test_it_keeps_to_its_seconds_and_bytes(clock: FakeClock) -> None:
    storage = FakeStorage(clock)
    began = clock.now()
    found = probed(clock, storage, seconds=5.0, max_bytes=200_000_000)
    assert storage.bytes_read <= found.spent_bytes <= 200_000_000
    assert clock.now() - began < 8.0
    few = FakeStorage(clock)
    found = probed(clock, few, max_bytes=100_000)
    assert few.bytes_read <= 100_000
    assert any("limit in" in note for note in found.notes)


def test_what_a_client_remembers_is_no_stat_of_the_storage(clock: FakeClock) -> None:
    storage = FakeStorage(clock, stat_s=0.0001)
    storage.remembered_s = 0.0002
    found = probed(clock, storage)
    assert found.stat.median_s is None
    assert "remembers" in found.stat.reason
    assert found.bytes == storage.count * storage.size


def test_failed_requests_are_counted_and_the_rest_measured(clock: FakeClock) -> None:
    found = probed(clock, FakeStorage(clock, fails=10))
    assert found.cold.median_s == pytest.approx(0.05, rel=0.1)
    assert sum(rate.errors for rate in found.streams) > 0
    assert any("503: try again" in note for note in found.notes)


def test_where_every_request_fails_it_says_so_and_ends(clock: FakeClock) -> None:
    found = probed(clock, FakeStorage(clock, fails=1))
    assert not found.cold.samples
    assert found.streams == ()
    assert any("every request failed" in note for note in found.notes)


@pytest.mark.parametrize("after", [0, 3, 200])
def test_a_request_that_hangs_ends_the_probe(clock: FakeClock, storages: list[FakeStorage], after: int) -> None:
    storages.append(FakeStorage(clock, hangs_after=after))
    began = clock.now()
    found = probed(clock, storages[0])
    assert clock.now() - began <= 20.0 + 10.0 + 1.0
    assert any("had no answer" in note for note in found.notes)
    assert found.files == 16


def test_ctrl_c_returns_what_was_measured(clock: FakeClock) -> None:
    clock.interrupt_at(4.0)
    found = probed(clock, FakeStorage(clock))
    assert found.interrupted
    assert found.cold.samples
    assert found.streams == ()
    clock.sleep(5.0)


def test_more_streams_that_make_it_slower_are_seen(clock: FakeClock) -> None:
    found = probed(clock, FakeStorage(clock, total=100e6, slower_above=9))
    assert knee.slower_from(found.streams) == 16
    assert found.knee in (4, 8)


def test_progress_goes_up_to_the_end(clock: FakeClock) -> None:
    told: list[tuple[float, str]] = []
    probed(clock, FakeStorage(clock), on_progress=lambda share, said: told.append((share, said)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] <= 1
    assert {"listing", "request sizes", "streams: 4"} <= {said for _, said in told}


def test_nothing_to_read_is_an_error(clock: FakeClock) -> None:
    with pytest.raises(EmptySourceError, match="there is no file"):
        probed(clock, FakeStorage(clock, count=0))
    with pytest.raises(EmptySourceError, match="every file is empty"):
        probed(clock, FakeStorage(clock, size=0))


def test_a_listing_that_hangs_is_an_error(clock: FakeClock) -> None:
    with pytest.raises(SourceError, match="listing it took more than"):
        probed(clock, FakeStorage(clock, list_s=100.0))
    clock.sleep(100.0)


@pytest.mark.parametrize(("name", "value"), [("seconds", 0), ("max_bytes", 0), ("streams", 0), ("streams", 5000)])
def test_arguments_are_checked(clock: FakeClock, name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{name}={value}"):
        probed(clock, FakeStorage(clock), **{name: value})


# ---- the parts ---------------------------------------------------------------------------------------------------------


def rates(*pairs: tuple[int, float], seconds: float = 1.0) -> tuple[StreamRate, ...]:
    return tuple(StreamRate(streams, rate, seconds, int(rate * seconds)) for streams, rate in pairs)


def test_the_knee_is_where_more_streams_add_nothing() -> None:
    assert knee.knee_of(rates((1, 10), (2, 20), (4, 40), (8, 41), (16, 42))) == 4
    assert knee.knee_of(rates((1, 10), (2, 20), (4, 40))) is None, "it still grows"
    assert knee.knee_of(rates((1, 10))) is None
    assert knee.knee_of(()) is None
    assert knee.knee_of(rates((1, 10), (2, 20), (4, 40), (8, 30), (16, 20))) == 4, "a decline is no reason to go on"


@given(
    st.integers(0, 5),
    st.lists(st.floats(-0.04, 0.04), min_size=8, max_size=8),
    st.floats(1e3, 1e9),
)
def test_the_knee_is_found_within_a_step_in_noise(place: int, noise: list[float], one: float) -> None:
    counts = [1 << power for power in range(8)]
    measured = [(count, one * min(count, 1 << place) * (1 + each)) for count, each in zip(counts, noise, strict=True)]
    found = knee.knee_of(rates(*measured))
    assert found is not None
    assert (1 << place) / 2 <= found <= (1 << place) * 2


def test_slower_needs_a_clear_and_lasting_decline() -> None:
    assert knee.slower_from(rates((1, 10), (2, 20), (4, 40), (8, 30), (16, 20))) == 8
    assert knee.slower_from(rates((1, 10), (2, 20), (4, 20), (8, 19))) is None
    assert knee.slower_from(rates((1, 10), (2, 8), (4, 10))) is None, "it came back"
    assert knee.slower_from(rates((1, 10), (2, 5), seconds=0.01)) is None, "windows too short to tell"
    assert knee.slower_from(()) is None


def test_a_window_is_while_all_are_at_work() -> None:
    steady = [[scaling.Done(t, t + 1.0, 100) for t in (0.0, 1.0, 2.0, 3.0)] for _ in range(2)]
    assert scaling.window_rate(steady) == StreamRate(2, 200.0, 3.0, 600, 0, 6), "the first request of each is before it"
    late = [steady[0], [*steady[1], scaling.Done(4.0, 44.0, 100)]]
    assert scaling.window_rate(late) == scaling.window_rate(steady), "a straggler does not stretch it"
    begun = [steady[0], [scaling.Done(t, t + 1.0, 100) for t in (0.5, 1.5, 2.5, 3.5)]]
    assert scaling.window_rate(begun) == StreamRate(2, 200.0, 2.5, 500, 0, 6), "at both its edges by their share"
    alone = [begun[0], [*begun[1][:3], scaling.Done(3.5, 4.1, 100)]]
    assert scaling.window_rate(alone) == scaling.window_rate(begun), (
        "what gets faster as others have ended is no faster within"
    )


def test_a_window_with_too_few_whole_requests_tells_nothing() -> None:
    one = [scaling.Done(0.0, 2.0, 100)]
    two = [*one, scaling.Done(2.0, 4.0, 100)]
    assert scaling.window_rate([]) is scaling.window_rate([[], []]) is scaling.window_rate([one]) is None
    assert scaling.window_rate([two, [scaling.Done(0.0, 3.9, 100)]]) is None, "one stream does not speak for two"
    assert scaling.whole_rate([one]) == StreamRate(1, 50.0, 2.0, 100, 0, 1)
    assert scaling.whole_rate([two, one]) == StreamRate(2, 75.0, 4.0, 300, 0, 3)
    assert scaling.whole_rate([[], []], errors=1) is None


@given(st.integers(1, 20_000_000), st.integers(1, 64))
def test_streams_begin_with_requests_of_other_sizes(size: int, streams: int) -> None:
    sizes = scaling.first_sizes(size, streams)
    assert len(sizes) == streams
    assert sizes[-1] == max(sizes) == size
    assert min(sizes) >= 1
    assert len(set(sizes)) == min(size, streams) or size < streams


def test_numbers_of_streams_that_tell_nothing_are_named(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    window = scaling.Scaling._window

    def lossy(self: scaling.Scaling, count: int, asking_s: float) -> tuple[list[list[scaling.Done]], int]:
        done, errors = window(self, count, asking_s)
        return ([each[:1] for each in done] if count in (2, 8) else done), errors

    monkeypatch.setattr(scaling.Scaling, "_window", lossy)
    found = probed(clock, FakeStorage(clock))
    assert [rate.streams for rate in found.streams] == [1, 4, 16]
    assert [note for note in found.notes if "streams" in note] == [
        "streams 2, 8: too few of their requests came through"
    ]


def test_no_stream_begins_before_all_can() -> None:
    running: list[int] = []

    def job(_stopped: Callable[[], bool]) -> None:
        running.append(sum(thread.name == "probe" for thread in threading.enumerate()))

    clock = SystemClock()
    run_together([job] * 8, clock, clock.now() + 10.0, 10.0)
    assert running[0] == max(running) >= 8


def test_windows_add_up() -> None:
    first, second = StreamRate(2, 10.0, 1.0, 10, 1, 3), StreamRate(2, 20.0, 3.0, 60, 0, 4)
    assert scaling.together(None, first) == first
    assert scaling.together(first, second) == StreamRate(2, 17.5, 4.0, 70, 1, 7)


def test_targets_are_other_bytes_every_time() -> None:
    targets = Targets([File("a", 1000), File("b", 50), File("c", 0)], tail_only=False)
    drawn = [targets.draw(100) for _ in range(20)]
    assert {part.path for part in drawn} == {"a"}, "only one is long enough"
    assert len(set(drawn)) > 10
    assert all(0 <= part.offset <= 900 and part.length == 100 for part in drawn)
    assert {targets.draw(100, whole=False).length for _ in range(4)} == {100, 50}


def test_tails_end_where_the_file_does() -> None:
    targets = Targets([File("a", 1000), File("b", 1000)], tail_only=True)
    drawn = [targets.draw(10) for _ in range(6)]
    assert all(part.offset + part.length == 1000 for part in drawn)
    assert len(set(drawn)) == 6


def test_request_sizes_fit_files_and_blocks() -> None:
    assert phases.ladder(1 << 30) == phases.SIZES
    assert phases.ladder(100_000) == (6250, 25_000, 100_000)
    assert phases.ladder(3) == (3,)
    block = 4 << 20
    assert phases.ladder(within(block), block) == (*phases.SIZES[:3], block - SPARE)


def test_a_rate_that_is_lost_in_noise_is_none() -> None:
    assert phases.stream_rate({1000: [0.1, 0.1], 101_000: [0.2, 0.2]}) == pytest.approx(1e6)
    assert phases.stream_rate({1000: [0.05, 0.1, 0.2], 2000: [0.06, 0.11, 0.19]}) is None
    assert phases.stream_rate({1000: [0.1]}) is None
    once = {1000: [0.1], 101_000: [0.2]}
    assert phases.stream_rate(once, [0.099, 0.1, 0.101]) == pytest.approx(1e6)
    assert phases.stream_rate(once, [0.05, 0.1, 0.15]) is None, "two requests say nothing where times spread that much"


# ---- the file ----------------------------------------------------------------------------------------------------------


def test_a_profile_survives_its_file(clock: FakeClock, tmp_path: Any) -> None:
    import json

    found = probed(clock, FakeStorage(clock))
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(found.to_json()))
    assert StorageProfile.load(file) == found


def test_what_a_profile_holds_is_checked() -> None:
    profile = StorageProfile("u", "tf", "c", "now", cold=Latency((0.1,)), requests=(RequestRate(1, 1.0, 1.0),))
    none = {"streams": 0, "bytes_per_s": 1, "seconds": 1, "bytes": 1}
    for name, value in (("knee", "many"), ("bytes", 10**400), ("spent_s", float("nan")), ("streams", [none])):
        with pytest.raises(SourceError, match=name):
            StorageProfile.from_json({**profile.to_json(), name: value})
    with pytest.raises(SourceError, match="not a storage profile"):
        StorageProfile.from_json({"kind": "run"})


@pytest.mark.tf
@pytest.mark.parametrize("pattern", ["", "/class-*", "/*", "/class-*/*"])
def test_files_in_folders_are_found_by_their_folder_and_by_globs(tmp_path: Path, pattern: str) -> None:
    for name in ("class-a/1.jpg", "class-b/2.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"data")
    uri = f"{tmp_path}{pattern}"
    assert [file.path for file in GFileClient(uri).list(uri)] == [
        f"{tmp_path}/class-a/1.jpg",
        f"{tmp_path}/class-b/2.jpg",
    ]


def test_what_a_pipeline_leaves_out_is_not_counted(tmp_path: Path) -> None:
    for name in ("_SUCCESS", "a.tfrecord", "b.tfrecord"):
        (tmp_path / name).write_bytes(b"data" * 1000)
    assert probe(str(tmp_path), seconds=0.2, streams=1).files == 2
    (tmp_path / "a.tfrecord").unlink()
    (tmp_path / "b.tfrecord").unlink()
    assert probe(str(tmp_path), seconds=0.2, streams=1).files == 1
