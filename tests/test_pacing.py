"""When trace windows open and close, on hand-computed numbers."""

from __future__ import annotations

import pytest

from pipeline_opt.profiler import pacing
from pipeline_opt.profiler.pacing import Pacing


def close_time(pace: Pacing, opened_s: float, step_s: float, elements: int) -> float:
    """Run time at which the window that opened closes, for even steps."""
    pace.opened(opened_s)
    now_s = opened_s
    for _ in range(10_000):
        now_s += step_s
        if pace.should_close(now_s, elements):
            pace.closed()
            return now_s
    return float("inf")


def test_first_window_of_cheap_elements_closes_by_their_number() -> None:
    pace = Pacing("auto", cores=2)
    # 15,000 events at 40 an element are 375 elements, of 64 a step: 6 steps.
    assert close_time(pace, 0.0, 0.01, 64) == pytest.approx(0.06)


def test_first_window_of_dear_elements_closes_by_time() -> None:
    pace = Pacing("auto", cores=2)
    assert close_time(pace, 0.0, 0.3, 1) == pytest.approx(1.8)


def test_a_run_known_to_be_short_is_traced_whole() -> None:
    pace = Pacing("auto", cores=2, expected_s=1.2)
    pace.opened(0.0)
    assert not any(pace.should_close(step * 0.3, 1) for step in range(100))


def test_later_windows_are_sized_by_the_event_rate() -> None:
    pace = Pacing("auto", cores=2)
    close_time(pace, 0.0, 0.01, 64)
    pace.counted(12_000, 0.06)
    # 10,000 events at 200,000 a second are 0.05 s.
    assert close_time(pace, 40.0, 0.01, 64) == pytest.approx(40.05, abs=0.011)


def test_windows_are_smaller_early_in_a_run() -> None:
    pace = Pacing("auto", cores=2)
    close_time(pace, 0.0, 0.01, 64)
    pace.counted(10_240, 0.512)
    # A sixth of what 6 s pay for are 4,000 events, of 20,000 a second.
    assert close_time(pace, 6.0, 0.01, 1) == pytest.approx(6.2, abs=0.011)
    assert close_time(pace, 12.0, 0.01, 1) == pytest.approx(12.4, abs=0.011)
    assert close_time(pace, 60.0, 0.01, 1) == pytest.approx(60.5, abs=0.011)


@pytest.mark.parametrize(("seconds", "fewest"), [(8.0, 3), (12.0, 5), (20.0, 7)])
def test_a_run_of_pictures_has_windows_all_over(seconds: float, fewest: int) -> None:
    """Some 500 pictures a second of 40 events each, in steps of 32."""
    pace = Pacing("auto", cores=2)
    begun, now_s = [0.0], 0.0
    now_s = close_time(pace, 0.0, 0.064, 32)
    pace.counted(round(20_000 * now_s), now_s)
    while now_s < seconds:
        now_s += 0.064
        if pace.should_open(now_s):
            begun.append(now_s)
            closed_s = close_time(pace, now_s, 0.064, 32)
            pace.counted(round(20_000 * (closed_s - now_s)), closed_s - now_s)
            now_s = closed_s
    assert len(begun) >= fewest
    assert max(b - a for a, b in zip(begun, [*begun[1:], seconds], strict=True)) < 0.6 * seconds


def test_a_window_opens_once_the_run_can_pay_for_it() -> None:
    pace = Pacing("auto", cores=2)
    close_time(pace, 0.0, 0.01, 64)
    assert not pace.should_open(100.0), "nothing is known of the event rate yet"
    pace.counted(50_000, 0.25)
    # 0.5 s spent and 0.1 s to come, against 2 % of two cores: from 15 s on.
    assert not pace.should_open(14.9)
    assert pace.should_open(15.1)


def test_tracing_stays_within_its_share_for_ever() -> None:
    pace = Pacing("auto", cores=2)
    close_time(pace, 0.0, 0.01, 64)
    pace.counted(50_000, 0.25)
    now_s = 0.3
    while now_s < 600:
        now_s += 0.05
        if pace.should_open(now_s):
            now_s = close_time(pace, now_s, 0.01, 64)
            pace.counted(12_000, 0.06)
        assert pace.spent_s <= 0.5 + pacing.SHARE * now_s * 2 * 1.3


def test_full_closes_only_at_its_ceiling_and_never_opens_again() -> None:
    pace = Pacing("full", cores=2)
    pace.opened(0.0)
    assert not any(pace.should_close(step * 0.1, 64) for step in range(1000))
    assert not pace.should_open(1e6)
    assert any(pace.should_close(100 + step * 0.1, 64) for step in range(1000)), "three million events"


def test_a_window_holds_two_steps_at_least() -> None:
    pace = Pacing("auto", cores=2)
    pace.opened(0.0)
    assert not pace.should_close(0.5, 100_000)
    assert pace.should_close(0.6, 100_000)


def test_a_window_in_which_no_step_ends_is_closed_by_time() -> None:
    pace = Pacing("auto", cores=2)
    pace.opened(0.0)
    assert not pace.overdue(0.9, 0)
    assert pace.overdue(1.0, 0)
    pace.closed()
    pace.counted(400_000, 1.0)
    assert pace.should_open(5.0), "the run was not seen at work yet"
    close_time(pace, 5.0, 0.01, 64)
    pace.counted(10_000, 0.05)
    assert not pace.should_open(6.0)


def test_windows_in_which_no_step_ends_stay_within_the_share_too() -> None:
    pace = Pacing("auto", cores=2)
    pace.opened(0.0)
    pace.closed()
    pace.counted(50_000, 1.0)
    for step in range(1, 200):
        if pace.should_open(3.0 * step):
            pace.opened(3.0 * step)
            pace.closed()
            pace.counted(50_000, 1.0)
        # Two windows at once, of 0.5 s each: the first, and the one that sees the run at work; then what the run pays for.
        assert pace.spent_s <= 1.0 + 0.5 + pacing.SHARE * 3.0 * step * 2


def test_a_later_window_outlasts_a_long_step_only_so_far() -> None:
    pace = Pacing("auto", cores=2)
    close_time(pace, 0.0, 0.01, 64)
    pace.counted(20_000, 0.1)
    pace.opened(30.0)
    assert not pace.overdue(31.9, 0)
    assert pace.overdue(32.0, 0)


def test_a_full_trace_of_a_run_without_steps_ends_at_the_ceiling_too() -> None:
    pace = Pacing("full", cores=2)
    pace.opened(0.0)
    assert not pace.overdue(1e6, 74_000)
    assert pace.overdue(1.0, 76_000)


def test_a_window_closes_by_elements_where_events_come_faster_than_before() -> None:
    pace = Pacing("auto", cores=2)
    close_time(pace, 0.0, 0.01, 64)
    # 20 events a second by the slow window before, 30 for each element.
    pace.counted(384 * 30, 1000.0)
    assert close_time(pace, 2000.0, 0.001, 64) == pytest.approx(2000.0 + 0.011, abs=0.0015), "20,000 events"


def test_a_run_of_any_length_keeps_a_limited_number_of_events() -> None:
    pace = Pacing("auto", cores=64)
    close_time(pace, 0.0, 0.01, 64)
    pace.counted(10_000, 0.05)
    now_s, total = 1.0, 10_000
    while now_s < 100_000:
        now_s += 1.0
        if pace.should_open(now_s):
            now_s = close_time(pace, now_s, 0.01, 64)
            pace.counted(10_000, 0.05)
            total += 10_000
    assert pacing.MOST_EVENTS <= total <= pacing.MOST_EVENTS + 20_000
