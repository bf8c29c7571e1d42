"""The emulator's process: it starts, ends, and leaves nothing behind, however its parent ends. And the command line."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from command_line import Shell, interruptible
from plain_http import Client

import pipeline_opt as po
from pipeline_opt.cli.emulate import summary
from pipeline_opt.errors import MissingPathError, OutputError, SourceError, UsageError
from pipeline_opt.storage.emulator import Waited
from pipeline_opt.storage.measured import Latency, StorageProfile
from pipeline_opt.storage.shape import Shape

WAIT_S = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_bytes(b"12345")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Temporary files go to a folder of the test's own, which is empty at its end; so is the list of our servers."""
    scratch = tmp_path_factory.mktemp("tmp")
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    yield
    end = time.monotonic() + WAIT_S
    while (left := [*scratch.iterdir(), *servers(scratch)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def servers(scratch: Path) -> list[int]:
    """Server processes that use a folder for their temporary files."""
    found = []
    for process in psutil.process_iter():
        try:
            if "pipeline_opt.storage.emulator" in process.cmdline() and process.environ().get("TMPDIR") == str(scratch):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def is_served(endpoint: str) -> bool:
    try:
        return Client(endpoint, "bucket").read("x").body == b"12345"
    except ConnectionError:
        return False


# Beginning and end


def test_it_ends_with_its_block(folder: Path) -> None:
    with po.emulate(folder, "gs://bucket") as store:
        endpoint = store.endpoint
        assert is_served(endpoint)
        assert Path(store.variables["CURL_CA_BUNDLE"]).exists()
    assert not is_served(endpoint)
    with pytest.raises(UsageError, match="within its `with` block"):
        _ = store.endpoint
    assert store.waited()["read"].count == 1


def test_it_ends_with_an_error_in_its_block(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), po.emulate(folder, "gs://bucket"):
        raise RuntimeError("mine")
    assert "STORAGE_EMULATOR_HOST" not in os.environ


def test_a_block_can_be_entered_again(folder: Path) -> None:
    emulation = po.emulate(folder, "gs://bucket")
    for _ in range(2):
        with emulation as store:
            assert is_served(store.endpoint)


PARENT = """
import os, sys, time
import pipeline_opt as po
with po.emulate(sys.argv[1], "gs://bucket") as store:
    if "fork" in sys.argv and os.fork() == 0:
        time.sleep(3)
        os._exit(0)
    print(store.endpoint, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("fork", [(), ("fork",)])
def test_it_ends_when_its_parent_is_killed(folder: Path, fork: tuple[str, ...]) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), *fork],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(po.__file__).parent.parent)},
    )
    assert parent.stdout is not None
    endpoint = parent.stdout.readline().strip()
    assert is_served(endpoint)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + WAIT_S
    while is_served(endpoint):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_server_that_dies_is_missed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with po.emulate(folder, "gs://bucket") as store:
        (server,) = servers(Path(os.environ["TMPDIR"]))
        os.kill(server, signal.SIGKILL)
        with pytest.raises(SourceError, match="storage emulator is gone"):
            store.shape = Shape()


def test_more_connections_than_it_may_have_files_are_served_later(folder: Path) -> None:
    with po.emulate(folder, "gs://bucket") as store:
        (number,) = servers(Path(os.environ["TMPDIR"]))
        server = psutil.Process(number)
        server.rlimit(psutil.RLIMIT_NOFILE, (32, 32))
        address = ("127.0.0.1", urlsplit(store.endpoint).port or 0)
        connections = [socket.create_connection(address) for _ in range(60)]
        end = time.monotonic() + WAIT_S
        while server.num_fds() < 32:
            assert time.monotonic() < end
            time.sleep(0.01)
        for each in connections:
            each.close()
        assert is_served(store.endpoint)


# Arguments


def test_arguments_that_are_not_valid(folder: Path, tmp_path: Path) -> None:
    for uri in ("bucket", "s3://bucket", "gs://", "gs://bucket/folder", "gs://Bucket", ""):
        with pytest.raises(UsageError, match="gs://"):
            po.emulate(folder, uri)
    with pytest.raises(MissingPathError, match="no such folder"):
        po.emulate(tmp_path / "no", "gs://bucket")
    with pytest.raises(UsageError, match="not both"):
        po.emulate(folder, "gs://bucket", shape=Shape(ttfb_s=1), ttfb="5ms")
    with pytest.raises(UsageError, match="ttfb"):
        po.emulate(folder, "gs://bucket", ttfb="soon")
    with pytest.raises(UsageError, match="by their URIs"):
        po.emulate({}, "gs://bucket")
    with (
        pytest.raises(OutputError, match="cannot be written"),
        po.emulate(folder, "gs://b", log=tmp_path / "no" / "log"),
    ):
        pass


def test_the_shape_of_a_profile(folder: Path, tmp_path: Path) -> None:
    measured = StorageProfile(
        uri="gs://real",
        route="tf",
        client="TensorFlow",
        created="2024-01-01T00:00:00",
        cold=Latency((0.02, 0.03)),
        stream_bytes_per_s=25e6,
        knee=8,
        total_bytes_per_s=1e8,
    )
    (tmp_path / "bucket.json").write_text(json.dumps(measured.to_json()))
    with po.emulate(folder, "gs://bucket", profile=tmp_path / "bucket.json", errors="503:1%") as store:
        assert store.shape.samples == (0.02, 0.03)
        assert (store.shape.stream_bytes_per_s, store.shape.total_bytes_per_s) == (25e6, 1e8)
        assert store.shape.faults[0].kind == "503"
    with po.emulate(folder, "gs://bucket", profile=measured, ttfb="1ms", stream_rate="5MB/s") as store:
        assert store.shape == Shape(ttfb_s=0.001, stream_bytes_per_s=5e6, total_bytes_per_s=1e8)
    with pytest.raises(UsageError, match="no times to first byte"):
        po.emulate(folder, "gs://bucket", profile=dataclasses.replace(measured, cold=Latency()))


# The command line


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, monkeypatch)


def test_the_summary_is_one_line() -> None:
    said = summary({"read": Waited(1200, 5_000_000, 3, 1.5, 2.5), "stat": Waited(1, 10, 0, 0.1, 0.1)})
    assert said.count("\n") == 0
    assert "read 1,200 (5 MB, 2.5 s, 1.5 s of it to the first byte, 3 failed)" in said


@pytest.mark.parametrize(
    "wrong", [(), ("--as", "s3://b"), ("--as", "gs://b", "--ttfb", "x"), ("--as", "gs://b", "--also", "x")]
)
def test_bad_usage(shell: Shell, folder: Path, wrong: tuple[str, ...]) -> None:
    assert "error:" in shell("emulate", folder, *wrong, "--", "true", code=2).stderr


READ = """
import os, sys, urllib.request
print(urllib.request.urlopen(os.environ["STORAGE_EMULATOR_HOST"] + "/bucket/x").read().decode())
print("MPLBACKEND" in os.environ)
sys.exit(7)
"""


def command(folder: Path, *arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline_opt", "emulate", str(folder), "--as", "gs://bucket", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(po.__file__).parent.parent)},
        start_new_session=True,
        preexec_fn=interruptible,
        **options,  # type: ignore[call-overload]
    )


def test_a_command_and_its_exit_code(folder: Path, tmp_path: Path) -> None:
    ran = command(
        folder, "--json", str(tmp_path / "sums.json"), "--log", str(tmp_path / "log"), "--", sys.executable, "-c", READ
    )
    out, said = ran.communicate(timeout=WAIT_S)
    assert (ran.returncode, out) == (7, "12345\nFalse\n")
    assert said.count("\n") == 1
    assert "read 1 (5 B" in said
    sums = json.loads((tmp_path / "sums.json").read_text())
    assert (sums["uris"], sums["requests"]["read"]["count"]) == (["gs://bucket"], 1)
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_a_command_that_a_signal_ends(folder: Path) -> None:
    ran = command(folder, "--", "sh", "-c", "kill -9 $$")
    ran.communicate(timeout=WAIT_S)
    assert ran.returncode == 128 + 9


def test_a_command_that_is_not_there(folder: Path) -> None:
    ran = command(folder, "--", "no-such-program")
    _, said = ran.communicate(timeout=WAIT_S)
    assert ran.returncode == 2
    assert "no-such-program cannot be run" in said
    assert "Traceback" not in said


SLEEP = """
import signal, time
try:
    print("up", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.05)
    print("interrupted", flush=True)
    raise SystemExit(5)
"""


@pytest.mark.parametrize("whole_group", [False, True])
@pytest.mark.parametrize(("number", "code", "last"), [(signal.SIGINT, 5, "interrupted\n"), (signal.SIGTERM, 143, "")])
def test_signals_are_the_commands(folder: Path, whole_group: bool, number: int, code: int, last: str) -> None:
    ran = command(folder, "--", sys.executable, "-c", SLEEP)
    assert ran.stdout is not None
    assert ran.stdout.readline() == "up\n"
    (os.killpg if whole_group else os.kill)(ran.pid, number)
    out, said = ran.communicate(timeout=WAIT_S)
    assert (ran.returncode, out) == (code, last)
    assert said.startswith("Emulated storage")
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_command_it_serves_until_a_signal(folder: Path, number: int) -> None:
    ran = command(folder)
    assert ran.stdout is not None
    assert ran.stderr is not None
    variables = {}
    for _ in range(7):
        name, _, value = ran.stdout.readline().removeprefix("export ").strip().partition("=")
        variables[name] = value
    assert is_served(variables["STORAGE_EMULATOR_HOST"])
    assert variables["https_proxy"] == variables["STORAGE_EMULATOR_HOST"]
    ran.send_signal(number)
    _, said = ran.communicate(timeout=WAIT_S)
    assert ran.returncode == 0
    assert said.splitlines()[0].startswith("Serving gs://bucket")
    assert "read 1" in said.splitlines()[1]
    assert not is_served(variables["STORAGE_EMULATOR_HOST"])


def test_a_log_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("mine")
    ran = command(folder, "--log", str(tmp_path / "log"), "--", "true")
    _, said = ran.communicate(timeout=WAIT_S)
    assert (ran.returncode, (tmp_path / "log").read_text()) == (4, "mine")
    assert "--force" in said
