from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_opt.profiler.cores import core_times, on_core_s


def write_thread(tasks: Path, thread: str, counters: str) -> None:
    (tasks / thread).mkdir()
    (tasks / thread / "schedstat").write_text(counters)


def test_counters_are_read_thread_by_thread(tmp_path: Path) -> None:
    write_thread(tmp_path, "11", "3000000000 1000000000 5\n")
    write_thread(tmp_path, "12", "500000000 0 1\n")
    assert core_times(tmp_path) == {"11": 3_000_000_000, "12": 500_000_000}


def test_kernel_without_counters_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "11").mkdir()
    write_thread(tmp_path, "12", "not numbers\n")
    write_thread(tmp_path, "13", "")
    assert core_times(tmp_path) == {}
    assert core_times(tmp_path / "missing") == {}
    assert on_core_s([({}, {})]) is None


def test_new_threads_count_from_zero_and_ended_ones_not_at_all() -> None:
    begin = {"a": 100_000_000, "gone": 900_000_000}
    end = {"a": 160_000_000, "new": 20_000_000}
    assert on_core_s([(begin, end)]) == pytest.approx(0.08)
