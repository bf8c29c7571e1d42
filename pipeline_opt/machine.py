"""What this machine lets this process have: cores and memory as affinity and control groups allow, disk, load."""

from __future__ import annotations

import math
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_CGROUPS: Final = Path("sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """What a run has to work with.

    Args:
        cores: Cores that this process may use at once; a fraction where a quota says so.
        cores_total: Cores of the machine.
        cores_limit: What sets `cores`: `machine`, `affinity` or `cgroup quota`.
        ram_bytes: Memory that this process may use.
        ram_total_bytes: Memory of the machine.
        ram_available_bytes: Memory that is free or can be freed now, within `ram_bytes`.
        cpu: Model name of the processor.
        load: Processes that ran or waited to run, mean of the last minute; None where the system does not tell.
        disk_free_bytes: Free space for the folder asked about.
        accelerators: Names of accelerators, as the caller found them.
    """

    cores: float
    cores_total: int
    cores_limit: str
    ram_bytes: int
    ram_total_bytes: int
    ram_available_bytes: int
    cpu: str
    load: float | None
    disk_free_bytes: int
    accelerators: tuple[str, ...] = ()


def machine(folder: Path = Path(), accelerators: Sequence[str] = (), root: Path = Path("/")) -> Machine:
    """Look at this machine.

    Args:
        folder: Where output would go, existing or not.
        accelerators: Names of accelerators: finding them takes TensorFlow, so that a caller who has it says them.
        root: What stands for `/` when system files are read, for tests.
    """
    total = _machine_cores(root)
    limits = {"machine": float(total), "affinity": _affinity(root, total), "cgroup quota": _cgroup_cores(root)}
    limit = min(limits, key=lambda name: limits[name])
    ram, available = _memory(root)
    allowed, used = _cgroup_memory(root)
    return Machine(
        cores=limits[limit],
        cores_total=total,
        cores_limit=limit,
        ram_bytes=min(ram, allowed),
        ram_total_bytes=ram,
        ram_available_bytes=max(0, min(available, allowed - used)),
        cpu=_cpu_model(root),
        load=_load(root),
        disk_free_bytes=disk_free(folder),
        accelerators=tuple(accelerators),
    )


def disk_free(folder: Path) -> int:
    """Bytes free for a folder that need not exist yet."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _machine_cores(root: Path) -> int:
    listed = _read(root / "sys/devices/system/cpu/online")
    return _count_of(listed) if listed else os.cpu_count() or 1


def _affinity(root: Path, total: int) -> float:
    """Cores that the scheduler may put this process on."""
    for line in _read(root / "proc/self/status").splitlines():
        key, _, value = line.partition(":")
        if key == "Cpus_allowed_list":
            return float(_count_of(value.strip()))
    return float(total)


def _count_of(ranges: str) -> int:
    """How many numbers a list such as `0-3,8` holds."""
    ends = [part.split("-") for part in ranges.split(",") if part]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def _cgroup_cores(root: Path) -> float:
    """The tightest CPU quota of the control groups that hold this process; infinity without one."""
    quotas = [math.inf]
    for group in _groups(root, "cpu"):
        unified = _read(group / "cpu.max").split()
        quota, period = unified or (_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
    return min(quotas)


def _cgroup_memory(root: Path) -> tuple[int, int]:
    """The tightest memory limit of the control groups that hold this process, and what is used of it.

    What the group's file cache could give back counts as free.
    """
    tightest, used = 1 << 63, 0
    for group in _groups(root, "memory"):
        limit = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
        if limit is not None and limit < tightest:
            now = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes") or 0
            tightest, used = int(limit), max(0, int(now) - _inactive_file(group))
    return tightest, used


def _inactive_file(group: Path) -> int:
    stat = dict(line.split(" ", 1) for line in _read(group / "memory.stat").splitlines() if " " in line)
    return int(stat.get("total_inactive_file", stat.get("inactive_file", "0")))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups, version 2 and version 1, from the process's own up to the root of the tree."""
    base = root / _CGROUPS
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        # A container sees the path of its host here, while its own group is mounted at the top.
        trees = [base] if not names else [base / controller, base / names]
        group = Path(path.lstrip("/"))
        for tree in trees:
            yield from (tree / above for above in (group, *group.parents))


def _memory(root: Path) -> tuple[int, int]:
    """Bytes of memory of the machine, and how many are available."""
    lines = dict(line.partition(":")[::2] for line in _read(root / "proc/meminfo").splitlines())
    if "MemTotal" not in lines:
        memory = psutil.virtual_memory()
        return int(memory.total), int(memory.available)
    total, available = (int(lines.get(key, "0").split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    return total, available


def _cpu_model(root: Path) -> str:
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Processor"):
            return value.strip()
    return platform.processor() or platform.machine()


def _load(root: Path) -> float | None:
    first = _read(root / "proc/loadavg").split(" ")[0]
    if first:
        return float(first)
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _number(path: Path) -> float | None:
    """A positive number that a file holds; None for `max`, -1, or no such file."""
    text = _read(path)
    return float(text) if text.isdigit() and int(text) > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
