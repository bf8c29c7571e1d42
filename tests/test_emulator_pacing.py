"""When the emulator answers, and what requests meet: rates, lateness, draws."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fake_clock import FakeClock

from pipeline_opt.storage.emulator.conditions import Conditions
from pipeline_opt.storage.emulator.lateness import MOST_S, lateness
from pipeline_opt.storage.emulator.pacing import FREE_BYTES, LEAST_BYTES, MOST_BYTES, Meter, Pace, PatientClock
from pipeline_opt.storage.shape import Fault, Shape

# Rates, by a clock of our own


@pytest.mark.parametrize("rate", [1.0, 1e3, 5e5, 25e6, 1e8, 3e9])
def test_an_answer_takes_its_bytes_over_the_rate(rate: float) -> None:
    clock = FakeClock()
    count = int(rate * 2.5)
    pace = Pace(Shape(stream_bytes_per_s=rate), Meter(clock), clock)
    passed = 0
    for size in pace.pieces(count):
        passed += size
        assert size <= MOST_BYTES
        assert clock.now() == pytest.approx(passed / rate)
    assert passed == count


def test_lateness_does_not_add_up() -> None:
    clock = FakeClock()
    pace = Pace(Shape(stream_bytes_per_s=1e6), Meter(clock), clock)
    for _ in pace.pieces(1_000_000):
        clock.sleep(0.004)
    assert clock.now() == pytest.approx(1.004)


def test_what_leaves_at_once_is_counted() -> None:
    clock = FakeClock()
    pace = Pace(Shape(stream_bytes_per_s=1e6), Meter(clock), clock)
    pace.count(500_000)
    list(pace.pieces(500_000))
    assert clock.now() == pytest.approx(1.0)


def test_the_total_rate_is_shared() -> None:
    clock = FakeClock()
    meter = Meter(clock)
    shape = Shape(total_bytes_per_s=1e6)
    streams = [Pace(shape, meter, clock).pieces(250_000) for _ in range(4)]
    while streams:
        streams = [stream for stream in streams if next(stream, None) is not None]
    assert clock.now() == pytest.approx(1.0)


def test_an_idle_storage_saves_nothing_up() -> None:
    clock = FakeClock()
    meter = Meter(clock)
    clock.sleep(100)
    list(Pace(Shape(total_bytes_per_s=1e6), meter, clock).pieces(1_000_000))
    assert clock.now() == pytest.approx(101.0)


def test_a_late_stream_makes_up_for_a_shared_rate() -> None:
    clock = FakeClock()
    for _ in Pace(Shape(total_bytes_per_s=1e6), Meter(clock), clock).pieces(1_000_000):
        clock.sleep(0.003)
    assert clock.now() == pytest.approx(1.0, abs=0.007)


def test_the_slower_of_both_rates_counts() -> None:
    clock = FakeClock()
    shape = Shape(stream_bytes_per_s=2e6, total_bytes_per_s=1e6)
    list(Pace(shape, Meter(clock), clock).pieces(1_000_000))
    assert clock.now() == pytest.approx(1.0)


def test_no_rate_is_no_wait() -> None:
    clock = FakeClock()
    assert list(Pace(Shape(), Meter(clock), clock).pieces(FREE_BYTES + 1)) == [FREE_BYTES, 1]
    assert clock.now() == 0


def test_pieces_are_neither_dust_nor_lumps() -> None:
    clock = FakeClock()
    for rate in (1.0, 1e6, 1e9):
        assert LEAST_BYTES <= Pace(Shape(stream_bytes_per_s=rate), Meter(clock), clock).piece_bytes <= MOST_BYTES


# Lateness


class LateClock(PatientClock):
    """Wakes later than it is asked to."""

    def __init__(self, late_s: float) -> None:
        super().__init__()
        self._late_s = late_s

    def sleep_until(self, moment: float) -> None:
        super().sleep_until(moment + self._late_s)


@pytest.mark.parametrize("late_s", [0.0, 0.0003])
def test_lateness_holds_what_the_clock_is_late(late_s: float) -> None:
    assert late_s <= lateness(LateClock(late_s)) <= MOST_S


def test_a_machine_that_is_busy_is_not_taken_for_slow() -> None:
    assert lateness(LateClock(0.01)) == MOST_S


def test_answers_are_early_by_what_clients_see_late() -> None:
    conditions = Conditions(Shape(ttfb_s=0.005), 0, late_s=0.0002)
    assert conditions.draw().ttfb_s == pytest.approx(0.0048)
    conditions.change(Shape(ttfb_s=0.0001))
    assert conditions.draw().ttfb_s == 0


@pytest.mark.skipif(sys.platform != "linux", reason="timer slack is of Linux")
def test_threads_wake_when_they_are_due() -> None:
    script = """
import ctypes, threading
from pipeline_opt.storage.emulator.pacing import be_punctual

be_punctual()
thread = threading.Thread(target=lambda: print(ctypes.CDLL(None).prctl(30, 0, 0, 0, 0)))
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


# Draws


def test_the_same_seed_meets_the_same() -> None:
    shape = Shape(ttfb_s=0.06, spread_s=0.02, faults=(Fault("503", 0.2), Fault("reset", 0.1)))
    one, other, third = (Conditions(shape, seed) for seed in (1, 1, 2))
    drawn = [one.draw() for _ in range(300)]
    assert drawn == [other.draw() for _ in range(300)]
    assert drawn != [third.draw() for _ in range(300)]
    assert all(0.04 <= each.ttfb_s <= 0.08 for each in drawn)
    assert 30 < sum(each.fault == "503" for each in drawn) < 90
    assert {each.early for each in drawn if each.fault == "reset"} == {True, False}


def test_a_new_shape_holds_from_the_next_request_on() -> None:
    conditions = Conditions(Shape(ttfb_s=1), 0)
    assert conditions.draw().ttfb_s == 1
    conditions.change(Shape(ttfb_s=2))
    assert conditions.draw().ttfb_s == 2
