"""`pipeline-opt probe`, on local files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Shell

import pipeline_opt as po
from pipeline_opt.cli import probe as verb
from pipeline_opt.errors import UsageError
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.shape import Shape

QUICK = ("--seconds", "0.5", "--streams", "4")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"part-{number}").write_bytes(bytes(200_000))
    return Shell(tmp_path, monkeypatch)


def test_it_leaves_a_profile_that_the_emulator_takes(shell: Shell) -> None:
    said = shell("probe", "one", *QUICK, "--save", "one.json", "--out", "out").stdout
    assert shell.files("out") == {"one.profile.json", "summary.json", "probe.png"}
    profile = StorageProfile.load(shell.folder / "one.json")
    assert (profile.route, profile.files, profile.bytes) == ("local", 4, 800_000)
    assert Shape.of(profile).samples == profile.ttfb.samples
    assert "first byte, warm: median" in said
    assert "cycle_length=" in said


def test_storages_are_compared(shell: Shell) -> None:
    numbers = shell.json("probe", "one", "two/part-*", *QUICK, "--demand", "50MB/s", "--out", "out")
    assert [each["uri"] for each in numbers["storages"]] == ["one", "two/part-*"]
    assert all(each["advice"]["cycle_length"] >= 1 for each in numbers["storages"])
    assert all(each["advice"]["sentences"] for each in numbers["storages"])
    assert {"1-one.profile.json", "2-two.profile.json"} < shell.files("out")


def test_nothing_is_written_to_the_storage(shell: Shell) -> None:
    before = {path: path.stat().st_mtime_ns for path in (shell.folder / "one").iterdir()}
    shell("probe", "one", *QUICK, "--out", "out")
    assert {path: path.stat().st_mtime_ns for path in (shell.folder / "one").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nowhere",), 2, "no such path: nowhere"),
        (("one", "two", "--save", "x.json"), 2, "--save takes the profile of one URI"),
        (("one", "--demand", "fast"), 2, "--demand='fast'"),
        (("one", "--demand", "0MB/s"), 2, "--demand='0MB/s'"),
        (("one", "--accelerator", "20ms"), 2, "--batch-bytes"),
        (("one", "--accelerator", "20ms", "--demand", "1MB/s"), 2, "give one of them"),
        (("one", "--max-bytes", "2GB/s"), 2, "--max-bytes='2GB/s'"),
        (("one", "--seconds", "0"), 2, "seconds=0"),
        (("one", "one"), 2, "named twice"),
        (("one", "--save", "one/part-0"), 4, "exists already"),
        (("one", "--via", "carrier-pigeon"), 2, "carrier-pigeon"),
    ],
)
def test_bad_input_is_refused(shell: Shell, arguments: tuple[str, ...], code: int, said: str) -> None:
    assert said in shell("probe", *arguments, code=code).stderr
    assert not (shell.folder / "runs").exists()


def test_one_storage_that_fails_leaves_the_others(shell: Shell) -> None:
    result = shell("probe", "one", "nowhere", *QUICK, "--out", "out", code=2)
    assert "no such path: nowhere" in result.stderr
    assert "what was measured before that is in out" in result.stderr
    assert "1-one.profile.json" in shell.files("out")


def test_ctrl_c_leaves_what_was_measured(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(uri: str, **_: Any) -> StorageProfile:
        return StorageProfile(uri, "local", "files", "now", interrupted=True, notes=("interrupted",))

    monkeypatch.setattr(verb, "probe", interrupted)
    result = shell("probe", "one", "two", "--out", "out", code=130)
    assert "interrupted; what was measured until then is in out/" in result.stderr
    assert shell.files("out") >= {"1-one.profile.json", "summary.json", "probe.png"}
    summary = json.loads((shell.folder / "out" / "summary.json").read_text())
    assert "no advice" in summary["storages"][0]["advice"]["sentences"][0]


def test_quantities() -> None:
    assert verb.quantity("--demand", "500MB/s") == 500e6
    assert verb.quantity("--max-bytes", "2 GB") == 2e9
    assert verb.demand_of(None, "20ms", 25e6) == pytest.approx(1.25e9)
    assert verb.demand_of(None, None, None) is None
    with pytest.raises(UsageError):
        verb.quantity("--max-bytes", "-1")


def test_from_python(shell: Shell) -> None:
    found = po.probe(shell.folder / "one", seconds=0.5, streams=2)
    assert found.route == "local"
    assert found.cold.samples or found.cold.reason
    assert found.advice().cycle_length >= 1


def test_any_fsspec_file_system_can_be_probed() -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    for number in range(3):
        system.pipe(f"/probed/{number}", bytes(100_000))
    try:
        found = po.probe("memory://probed", seconds=0.5, streams=2)
    finally:
        system.rm("/probed", recursive=True)
    assert (found.route, found.files, found.bytes) == ("fsspec", 3, 300_000)
    assert found.cold.samples
    assert found.warm.samples
    assert found.stat.samples
