from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_opt.profiler.cores import CoreTime, core_times, share_on_core


def write_thread(tasks: Path, thread: str, counters: str) -> None:
    (tasks / thread).mkdir()
    (tasks / thread / "schedstat").write_text(counters)


def test_counters_are_read_thread_by_thread(tmp_path: Path) -> None:
    write_thread(tmp_path, "11", "3000000000 1000000000 5\n")
    write_thread(tmp_path, "12", "500000000 0 1\n")
    assert core_times(tmp_path) == {"11": CoreTime(3_000_000_000, 1_000_000_000), "12": CoreTime(500_000_000, 0)}


def test_kernel_without_counters_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "11").mkdir()
    write_thread(tmp_path, "12", "not numbers\n")
    assert core_times(tmp_path) == {}
    assert core_times(tmp_path / "missing") == {}
    assert share_on_core([({}, {})]) is None


def test_share_counts_new_threads_from_zero_and_forgets_ended_ones() -> None:
    begin = {"a": CoreTime(100, 100), "gone": CoreTime(900, 900)}
    end = {"a": CoreTime(160, 110), "new": CoreTime(20, 10)}
    assert share_on_core([(begin, end)]) == pytest.approx(80 / 100)
