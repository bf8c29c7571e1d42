"""The probe through TensorFlow's own GCS client against emulated storage: what it says is what the emulator does."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from command_line import run_python
from fake_storage import right_knee
from hdfs import needed, routes

from pipeline_opt.storage.hadoop import HdfsEmulation
from pipeline_opt.storage.hadoop.libhdfs import libhdfs_home
from pipeline_opt.storage.shape import Shape

CASES = tuple((ttfb, rate) for ttfb in (0.005, 0.05, 0.2) for rate in (5e6, 50e6))
"""Times to first byte and rates of a stream; all together move four times that."""

ATTEMPTS = 3
"""A machine that does something else meanwhile is given another chance."""

SCRIPT = """
import json, sys
from pathlib import Path
from pipeline_opt.storage.emulator import Emulation
from pipeline_opt.storage.probe.measure import probe
from pipeline_opt.storage.shape import Shape

folder, out, cases = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = []
with Emulation({"probed": Path(folder)}, Shape()) as store:
    for ttfb, rate in cases:
        store.shape = Shape(ttfb_s=ttfb, stream_bytes_per_s=rate, total_bytes_per_s=4 * rate)
        found.append(probe("gs://probed", via="tf").to_json())
Path(out).write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight files that are larger than a request."""
    made = tmp_path_factory.mktemp("probed")
    for number in range(8):
        (made / f"part-{number}").write_bytes(bytes([number]) * 8_000_000)
    return made


@pytest.mark.tf
@pytest.mark.slow
def test_emulated_storage_is_found_out(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A process of its own: TensorFlow's client takes the size of its block, 64 MiB otherwise, once.
    monkeypatch.setenv("GCS_READAHEAD_BUFFER_SIZE_BYTES", str(4 << 20))
    open_cases = list(CASES)
    seen = []
    for _ in range(ATTEMPTS):
        found = measured(folder, tmp_path / "found.json", open_cases)
        seen += [summary(case, profile) for case, profile in zip(open_cases, found, strict=True)]
        open_cases = [case for case, profile in zip(open_cases, found, strict=True) if not holds(case, profile)]
        if not open_cases:
            break
    print(*seen, sep="\n")
    assert not open_cases, seen


TWICE = """
import json, sys
from pathlib import Path
from pipeline_opt.storage.emulator import Emulation
from pipeline_opt.storage.probe.measure import probe
from pipeline_opt.storage.shape import Shape

with Emulation({"probed": Path(sys.argv[1])}, Shape(ttfb_s=0.005)):
    found = [probe("gs://probed", via="tf", seconds=1, streams=1).to_json() for _ in range(2)]
Path(sys.argv[2]).write_text(json.dumps(found))
"""


@pytest.mark.tf
def test_sizes_that_tensorflow_remembers_say_nothing(folder: Path, tmp_path: Path) -> None:
    done = run_python("-c", TWICE, str(folder), str(tmp_path / "found.json"), folder=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = json.loads((tmp_path / "found.json").read_text())
    assert min(first["stat"]["samples"]) >= 0.004
    assert second["stat"]["samples"] == []
    assert "remembers" in second["stat"]["reason"]


HDFS_SCRIPT = """
import json, sys
from pathlib import Path
from pipeline_opt.storage.probe.measure import probe

found = probe("hdfs://probed/data", via=sys.argv[1], seconds=12, streams=32)
Path(sys.argv[2]).write_text(json.dumps(found.to_json()))
"""


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize("via", routes())
def test_emulated_hdfs_is_found_out(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, via: str) -> None:
    if via == "tf":
        needed(libhdfs_home)
    case, seen = (0.05, 5e6), []
    shape = Shape(ttfb_s=case[0], stream_bytes_per_s=case[1], total_bytes_per_s=4 * case[1])
    with ExitStack() as stack:
        store = needed(lambda: stack.enter_context(HdfsEmulation(folder, "hdfs://probed/data", shape)))
        for name, value in store.variables.items():
            monkeypatch.setenv(name, value)
        for _ in range(ATTEMPTS):
            done = run_python("-c", HDFS_SCRIPT, via, str(tmp_path / "found.json"), folder=tmp_path, timeout=60)
            assert done.returncode == 0, done.stderr[-2000:]
            found = json.loads((tmp_path / "found.json").read_text())
            # A file is opened at the NameNode first: that belongs to the time to the first byte, and is not emulated.
            found["cold"] = found["warm"]
            seen.append(summary(case, found))
            if holds(case, found, also_s=0.01 if via == "tf" else 0.003):
                break
        else:
            pytest.fail(str(seen))
    print(*seen, sep="\n")


def measured(folder: Path, out: Path, cases: list[tuple[float, float]]) -> list[dict[str, Any]]:
    done = run_python("-c", SCRIPT, str(folder), str(out), json.dumps(cases), folder=out.parent, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded: list[dict[str, Any]] = json.loads(out.read_text())
    return loaded


def holds(case: tuple[float, float], profile: dict[str, Any], also_s: float = 0.0) -> bool:
    """Within 10 %, and the knee within one step, a doubling; `also_s` is what opening a file costs and is not emulated."""
    ttfb, rate = case
    samples = profile["cold"]["samples"]
    rates = [each["bytes_per_s"] for each in profile["streams"]]
    right = right_knee(rates[0], 4 * rate)
    return (
        abs(samples[len(samples) // 2] - ttfb) <= 0.1 * ttfb + also_s
        and abs(profile["stream_bytes_per_s"] - rate) <= 0.1 * rate
        and abs(max(rates) - 4 * rate) <= 0.1 * 4 * rate
        and profile["knee"] in (right / 2, right, 2 * right)
    )


def summary(case: tuple[float, float], profile: dict[str, Any]) -> str:
    samples = profile["cold"]["samples"]
    rates = [(rate["streams"], round(rate["bytes_per_s"] / 1e6, 1)) for rate in profile["streams"]]
    return (
        f"{1e3 * case[0]:g} ms, {case[1] / 1e6:g} MB/s: {1e3 * samples[len(samples) // 2]:.2f} ms, "
        f"{(profile['stream_bytes_per_s'] or 0) / 1e6:.2f} MB/s, knee {profile['knee']}, {rates}"
    )
