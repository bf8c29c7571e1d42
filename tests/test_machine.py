"""What the machine allows, from fake system files."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from pipeline_opt.machine import disk_free, machine

GIB = 1 << 30


def system(root: Path, files: dict[str, str] | None = None) -> Path:
    """A machine of 8 cores and 16 GiB with more files over it."""
    plain = {
        "sys/devices/system/cpu/online": "0-7\n",
        "proc/self/status": "Name:\tpython\nCpus_allowed_list:\t0-7\n",
        "proc/meminfo": "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n",
        "proc/loadavg": "1.25 0.50 0.25 1/100 42\n",
        "proc/self/cgroup": "0::/\n",
    }
    for name, text in (plain | (files or {})).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_machine_without_limits(tmp_path: Path) -> None:
    found = machine(tmp_path, accelerators=["GPU:0"], root=system(tmp_path))
    assert (found.cores, found.cores_total, found.cores_limit) == (8.0, 8, "machine")
    assert (found.ram_bytes, found.ram_total_bytes, found.ram_available_bytes) == (16 * GIB, 16 * GIB, 8 * GIB)
    assert (found.cpu, found.load, found.accelerators) == ("Fast CPU @ 3 GHz", 1.25, ("GPU:0",))
    assert found.disk_free_bytes > 0


def test_affinity_limits_cores(tmp_path: Path) -> None:
    found = machine(root=system(tmp_path, {"proc/self/status": "Cpus_allowed_list:\t0-1,5\n"}))
    assert (found.cores, found.cores_limit) == (3.0, "affinity")


VERSION_2 = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}
VERSION_1 = {
    "proc/self/cgroup": "3:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n1:name=systemd:/\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
}


@pytest.mark.parametrize(
    "files",
    [
        VERSION_2,
        VERSION_2 | {"sys/fs/cgroup/a/b/cpu.max": "max 100000\n"},
        VERSION_2 | {"sys/fs/cgroup/cpu.max": "400000 100000\n"},
        VERSION_1,
    ],
)
def test_cpu_quota_of_the_group_or_one_above_limits_cores(tmp_path: Path, files: dict[str, str]) -> None:
    found = machine(root=system(tmp_path, files))
    assert (found.cores, found.cores_total, found.cores_limit) == (1.5, 8, "cgroup quota")


@pytest.mark.parametrize(
    "files",
    [
        {"sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"},
        VERSION_1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "-1"},
        {"sys/fs/cgroup/cpu.max": "", "proc/self/cgroup": ""},
    ],
)
def test_groups_without_a_limit_change_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    found = machine(root=system(tmp_path, files))
    assert (found.cores, found.ram_bytes) == (8.0, 16 * GIB)


def test_memory_limit_counts_file_cache_as_free(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/memory.current": f"{3 * GIB}\n",
        "sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {GIB}\n",
    }
    found = machine(root=system(tmp_path, files))
    assert (found.ram_bytes, found.ram_total_bytes, found.ram_available_bytes) == (4 * GIB, 16 * GIB, 2 * GIB)


def test_memory_limit_of_version_1_above_the_machine_is_no_limit(tmp_path: Path) -> None:
    limit = "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes"
    assert machine(root=system(tmp_path, VERSION_1 | {limit: "9223372036854771712\n"})).ram_bytes == 16 * GIB
    assert machine(root=system(tmp_path, VERSION_1 | {limit: f"{GIB}\n"})).ram_bytes == GIB


def test_system_without_such_files_is_asked_otherwise(tmp_path: Path) -> None:
    found = machine(root=tmp_path / "nothing")
    assert found.cores >= 1
    assert found.ram_bytes == psutil.virtual_memory().total
    assert found.cpu


def test_disk_free_of_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert abs(disk_free(tmp_path / "a" / "b") - shutil.disk_usage(tmp_path).free) < GIB
