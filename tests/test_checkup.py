"""What `doctor` says of one URI, and of what this machine has for remote storage."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Shell
from loopback import closed_port
from remote_files import RemoteStore, remote_store

import pipeline_opt as po
from pipeline_opt.access import Access
from pipeline_opt.cli import doctor
from pipeline_opt.storage import checkup as steps
from pipeline_opt.storage import surroundings as around
from pipeline_opt.storage.checkup import Checked, as_dict, checkup
from pipeline_opt.storage.preflight import Finding, forget
from pipeline_opt.storage.preflight.credentials import Credentials
from pipeline_opt.storage.preflight.network import CERTIFICATES
from pipeline_opt.storage.surroundings import surroundings


@pytest.fixture(autouse=True)
def _seen_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    for name in ("https_proxy", "all_proxy", "no_proxy", "CURL_CA_BUNDLE", "HADOOP_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store() -> Iterator[type[RemoteStore]]:
    with remote_store({"d/a": b"content", "d/b": b"", "deep/1/2/file": b"x"}) as opened:
        yield opened


def seen(checked: Checked) -> dict[str, tuple[bool | None, str]]:
    return {each.step: (each.works, each.detail.partition(" (0")[0]) for each in checked.findings}


# One URI


def test_a_local_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "below").mkdir()
    ticks = itertools.count(10.0, 2.5)
    checked = checkup(str(tmp_path), clock=lambda: next(ticks))
    assert checked.opens
    assert checked.seconds == 2.5
    assert [each.step for each in checked.findings] == ["client", "listing", "first byte"]
    assert "the operating system" in checked.findings[0].detail
    assert checked.findings[1].detail.startswith("a folder of 1 files and 1 folders (")
    assert checked.findings[2].detail.startswith(f"{tmp_path}/a.txt: read (")
    told = as_dict(checked)
    assert (told["uri"], told["opens"], told["seconds"]) == (str(tmp_path), True, 2.5)
    assert [each["works"] for each in told["findings"]] == [True, True, True]
    assert told["findings"][0] == {"step": "client", "works": True, "detail": checked.findings[0].detail, "remedy": ""}


@pytest.mark.parametrize(
    ("uri", "listing", "first"),
    [
        ("testing://d/a", "a file", "testing://d/a: read"),
        ("testing://d/b", "a file", "testing://d/b: is empty"),
        ("testing://d/*", "2 match", "testing://d/a: read"),
        ("testing://d", "a folder of 2 files and 0 folders", "testing://d/a: read"),
        ("testing://deep", "a folder of 0 files and 1 folders", "testing://deep/1/2/file: read"),
    ],
)
@pytest.mark.usefixtures("store")
def test_another_store(uri: str, listing: str, first: str) -> None:
    checked = checkup(uri)
    assert checked.opens, checked
    assert seen(checked)["listing"] == (True, listing)
    assert seen(checked)["first byte"] == (True, first)


@pytest.mark.parametrize(
    ("uri", "step", "said"),
    [
        (
            "testing://d/none",
            "listing",
            "no such path: testing://d/none; the nearest folder that exists, testing://d, holds",
        ),
        ("testing://d/n*", "listing", "no file matches testing://d/n*; the nearest folder"),
        ("nonsense://d", "client", "nonsense:// cannot be opened here"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_is_not_there_ends_it(uri: str, step: str, said: str) -> None:
    checked = checkup(uri)
    assert not checked.opens
    assert checked.findings[-1].step == step
    assert said in checked.findings[-1].detail


def test_whatever_a_client_raises_is_told(store: type[RemoteStore]) -> None:
    def fail(*_: object) -> None:
        raise PermissionError("not yours")

    store.before = fail
    (problem,) = (each for each in checkup("testing://d/a").findings if each.works is False)
    assert problem.step == "first byte"
    assert "not yours" in problem.detail
    assert "check the credentials" in problem.detail


def test_a_step_that_hangs_ends_it(store: type[RemoteStore], monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    store.before = lambda *_: ended.wait(20) and None
    (problem,) = (each for each in checkup("testing://d/a", Access(timeout_s=0.1)).findings if each.works is False)
    assert "cannot read testing://d/a: no answer within 0.1 s" in problem.detail
    monkeypatch.setattr(steps, "STEP_S", 0.1)
    (problem,) = (each for each in checkup("testing://d/a", Access(timeout_s=20)).findings if each.works is False)
    assert (problem.step, problem.detail) == ("first byte", "no answer within 0.1 s")
    assert problem.remedy
    ended.set()


# This machine


def by_step() -> dict[str, Finding]:
    found = surroundings()
    assert [step for step, count in Counter(each.step for each in found).items() if count > 1] == []
    return {each.step: each for each in found}


def test_everything_is_told_once_and_what_is_missing_has_a_remedy() -> None:
    found = by_step()
    assert {"proxy", "certificates", "credentials", "Hadoop's settings", "hdfs-native", "tensorflow-io"} <= found.keys()
    assert {"Java for an emulated HDFS", "libhdfs for an emulated HDFS"} <= found.keys()
    assert sum(step.startswith("Hadoop 2") for step in found) == 1
    assert all(each.remedy for each in found.values() if each.works is False)


def test_a_proxy_is_shown_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "direct" in by_step()["proxy"].detail
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy:3128")
    assert by_step()["proxy"].detail == "http://proxy:3128 for www.googleapis.com"


def test_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "none.pem"))
    found = by_step()["certificates"]
    assert (found.works, "set CURL_CA_BUNDLE" in found.remedy) == (False, True)
    (tmp_path / "none.pem").touch()
    assert by_step()["certificates"] == Finding("certificates", True, str(tmp_path / "none.pem"))
    monkeypatch.delenv("CURL_CA_BUNDLE")
    assert CERTIFICATES in by_step()["certificates"].detail


@pytest.mark.parametrize(
    ("shown", "works", "said"),
    [
        (Credentials("key.json"), True, "key.json"),
        (Credentials("key.json", problems=("x.json is not JSON",)), True, "key.json (x.json is not JSON)"),
        (Credentials("", problems=("x.json is not JSON",)), False, "x.json is not JSON"),
        (Credentials(""), False, "none for gs://: only public buckets can be read"),
    ],
)
def test_credentials(shown: Credentials, works: bool, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(around, "credentials", lambda: shown)
    found = by_step()["credentials"]
    assert (found.works, found.detail) == (works, said)
    assert bool(found.remedy) is not works


def test_one_client_of_hdfs_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def having(*names: str) -> dict[str, bool | None]:
        packages = [Finding(name, name in names, "", "pip install") for name in ("hdfs-native", "tensorflow-io")]
        monkeypatch.setattr(around, "hadoop_findings", lambda: tuple(packages))
        found = by_step()
        return {name: found[name].works for name in ("hdfs-native", "tensorflow-io")}

    assert having() == {"hdfs-native": False, "tensorflow-io": False}
    assert having("hdfs-native") == {"hdfs-native": True, "tensorflow-io": None}
    assert having("tensorflow-io") == {"hdfs-native": None, "tensorflow-io": True}


def test_what_only_tensorflow_io_needs_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(around, "libhdfs_findings", lambda: [Finding("libhdfs", False, "does not load", "export")])
    found = by_step()["libhdfs"]
    assert (found.works, found.detail) == (None, "does not load (hdfs:// by tensorflow-io)")


def test_hadoops_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLASSPATH", raising=False)
    monkeypatch.delenv("HADOOP_HOME", raising=False)
    assert by_step()["Hadoop's settings"].works is None
    (tmp_path / "core-site.xml").write_text("<configuration/>")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    assert by_step()["Hadoop's settings"] == Finding("Hadoop's settings", True, str(tmp_path))


# The verb


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, monkeypatch)


@pytest.mark.tf
def test_doctor_of_a_good_path_and_bad_ones(shell: Shell) -> None:
    (shell.folder / "data").mkdir()
    (shell.folder / "data" / "a.txt").write_text("words")
    good = shell("doctor", "data").stdout
    assert "data: opens (" in good
    assert "first byte" in good
    bad = shell("doctor", "data", f"hdfs://127.0.0.1:{closed_port()}/x", "nonsense://x", code=2).stdout
    assert bad.count("DOES NOT OPEN") == 2
    assert "refuses connections" in bad
    assert "-> check that the server runs, and on that port" in bad
    assert "known schemes:" in bad


@pytest.mark.tf
def test_doctor_shows_what_this_machine_has_for_storage(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "self_check", lambda: ())
    numbers = shell.json("doctor")["storage"]
    found = {each["step"]: each for each in numbers}
    assert set(found) == {each.step for each in surroundings()}
    shown = shell("doctor").stdout
    for each in numbers:
        (line,) = (line for line in shown.splitlines() if line.startswith(f"{each['step']}  "))
        assert line.split(each["step"], 1)[1].split()[0] == {True: "yes", False: "NO", None: "-"}[each["works"]]


@pytest.mark.tf
def test_doctor_of_an_emulated_bucket(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    with po.emulate(tmp_path, "gs://checked") as emulation:
        environ = {**os.environ, **emulation.variables, "PYTHONPATH": str(Path(po.__file__).parent.parent)}
        command = [sys.executable, "-m", "pipeline_opt", "doctor", "gs://checked/*.txt", "gs://checked/none"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done
    opens, _, shut = done.stdout.partition("gs://checked/none: DOES NOT OPEN")
    assert "gs://checked/*.txt: opens" in opens
    assert "bucket            yes    gs://checked answers" in opens
    assert "gs://checked/a.txt: read" in opens
    assert "no such path: gs://checked/none; the nearest folder that exists, gs://checked, holds a.txt" in shut
