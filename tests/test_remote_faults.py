"""What goes wrong between a pipeline and its bucket: nothing is lost or doubled, and what cannot go on says so soon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from loopback import closed_port
from tensorflow_child import TensorFlowChild

import pipeline_opt as po
from pipeline_opt.storage import gcs
from pipeline_opt.storage.emulator import Emulation
from pipeline_opt.storage.preflight import credentials
from pipeline_opt.storage.shape import Fault, Shape

pytestmark = pytest.mark.tf

SHARDS, RECORDS = 300, 4
LISTED = 100_000
SOON_S = 30.0

SETTINGS = {gcs.BLOCK_MB: "1", gcs.RETRIES: "5", gcs.CONNECT_S: "3"}
"""Blocks of 64 MiB cost 30 ms of a core each time that a file is opened."""


@pytest.fixture(scope="module")
def child() -> Iterator[TensorFlowChild]:
    started = TensorFlowChild(**SETTINGS)
    yield started
    started.close()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, tf: Any) -> Path:
    """Many small files; record n of shard s is `s:n`."""
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        with tf.io.TFRecordWriter(str(folder / f"part-{shard:03d}")) as writer:
            for number in range(RECORDS):
                writer.write(f"{shard}:{number}".encode().ljust(200, b"."))
    return folder


@pytest.fixture(scope="module")
def store(shards: Path) -> Iterator[Emulation]:
    with po.emulate(shards, "gs://shards") as emulation:
        yield emulation


@pytest.fixture(autouse=True)
def _well(store: Emulation) -> Iterator[None]:
    yield
    store.shape = Shape()


def expected() -> Counter[str]:
    return Counter(f"{shard}:{number}" for shard in range(SHARDS) for number in range(RECORDS))


# An epoch with faults

EPOCH = """
import pipeline_opt as po
pipe = po.Pipeline.from_tfrecords("gs://shards/part-*")
pipe = pipe.interleave(cycle_length=cycle, deterministic=False) if cycle else pipe
result = [r.numpy().decode().rstrip(".") for r in pipe.prefetch().build()]
"""


@pytest.mark.parametrize("cycle", [None, 16])
def test_one_percent_of_faults_changes_no_elements(store: Emulation, child: TensorFlowChild, cycle: int | None) -> None:
    begun = time.monotonic()
    store.shape = Shape.parse(errors="503:1%,reset:1%,truncate:0.5%")
    for _ in range(2):
        assert Counter(child(EPOCH, store.variables, cycle=cycle)) == expected()
    met = Counter(each.fault for each in store.requests(begun))
    assert met.total() > 2 * SHARDS
    assert min(met["503"], met["reset"]) > 0, met


# What cannot go on

PROFILE = """
import contextlib, os, time
import pipeline_opt as po
def look(value):
    # Several at a time: each may be the first to remove it.
    with contextlib.suppress(FileNotFoundError):
        os.remove(doomed)
    time.sleep(0.005)
    return value
pipe = po.Pipeline.from_tfrecords(path).interleave(cycle_length=4)
pipe = pipe.map(lambda x: tf.py_function(look, [x], tf.string), name="look").batch(2).prefetch(1)
begun = time.monotonic()
try:
    run = po.profile(pipe, epochs=1)
    result = ["", "", 0.0, len(run.steps), list(run.notes)]
except po.PipelineOptError as error:
    steps = len(error.record.steps) if error.record is not None else -1
    result = [type(error).__name__, str(error), time.monotonic() - begun, steps, []]
"""


def profiled(child: TensorFlowChild, variables: Mapping[str, str], path: str, doomed: str = "") -> dict[str, Any]:
    names = ("error", "said", "seconds", "steps", "notes")
    return dict(zip(names, child(PROFILE, variables, path=path, doomed=doomed), strict=True))


@pytest.fixture
def broken(tmp_path: Path, shards: Path) -> Iterator[Emulation]:
    """A bucket of forty of the shards, to be broken."""
    for path in sorted(shards.iterdir())[:40]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with po.emulate(tmp_path, "gs://broken") as emulation:
        yield emulation


def test_an_object_that_is_cut_inside_a_record(broken: Emulation, child: TensorFlowChild, tmp_path: Path) -> None:
    os.truncate(tmp_path / "part-009", 300)
    ended = profiled(child, broken.variables, "gs://broken/part-*")
    assert ended["error"] == "CorruptRecordError", ended
    assert "gs://broken/part-009, byte 216" in ended["said"]
    assert ended["steps"] >= 0, "a partial record"


def test_records_lost_without_an_error_are_told(broken: Emulation, child: TensorFlowChild, tmp_path: Path) -> None:
    os.truncate(tmp_path / "part-009", 216 + 5)
    ended = profiled(child, broken.variables, "gs://broken/part-*")
    assert not ended["error"]
    assert any("gs://broken/part-009, byte 216" in note for note in ended["notes"]), ended


def test_an_object_deleted_during_the_run(broken: Emulation, child: TensorFlowChild, tmp_path: Path) -> None:
    ended = profiled(child, broken.variables, "gs://broken/part-*", str(tmp_path / "part-039"))
    assert ended["error"] == "MissingPathError", ended
    assert ended["said"].startswith("interleave: the object is gone: gs://broken/part-039 (404: ")
    assert ended["steps"] > 0


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("403", "SourceError", "interleave: permission denied: gs://broken/part-"),
        ("503", "StageError", "the storage answered in 6 tries 503"),
        ("reset", "StageError", "the connection broke off in 6 tries"),
    ],
)
def test_a_store_that_turns_bad(
    broken: Emulation, child: TensorFlowChild, tmp_path: Path, fault: str, error: str, said: str
) -> None:
    """The pipeline's own function says when: the store answers as long as the doomed file is there."""
    flag = tmp_path / "flag"
    flag.touch()
    broken.shape = Shape(ttfb_s=0.01)

    def turn() -> None:
        while flag.exists():
            time.sleep(0.01)
        broken.shape = Shape(faults=(Fault(fault, 1.0),))

    watcher = threading.Thread(target=turn)
    watcher.start()
    try:
        ended = profiled(child, broken.variables, "gs://broken/part-*", str(flag))
    finally:
        flag.unlink(missing_ok=True)
        watcher.join()
    assert ended["error"] == error, ended
    assert said in ended["said"]
    assert ended["seconds"] < SOON_S


# What never begins

OPEN = """
import time
import pipeline_opt as po
from pipeline_opt.storage import preflight
preflight.forget()
begun = time.monotonic()
try:
    po.Pipeline.from_tfrecords(path).build()
    result = ["", "", 0.0]
except po.PipelineOptError as error:
    result = [type(error).__name__, str(error), time.monotonic() - begun]
"""


def test_what_is_not_there(store: Emulation, child: TensorFlowChild) -> None:
    error, said, seconds = child(OPEN, store.variables, path="gs://shard/part-*")
    assert error == "MissingPathError"
    assert "the bucket gs://shard does not exist" in said
    assert seconds < SOON_S
    error, said, _ = child(OPEN, store.variables, path="gs://shards/parts-*")
    assert error == "MissingPathError"
    assert "no file matches gs://shards/parts-*" in said


def test_no_permission(store: Emulation, child: TensorFlowChild) -> None:
    store.shape = Shape(faults=(Fault("403", 1.0),))
    error, said, seconds = child(OPEN, store.variables, path="gs://shards/part-*")
    assert error == "SourceError"
    assert "permission denied (403: " in said
    assert seconds < SOON_S


def test_a_host_that_is_not_there(store: Emulation, child: TensorFlowChild) -> None:
    dead = {**store.variables, "https_proxy": f"http://127.0.0.1:{closed_port()}"}
    error, said, seconds = child(OPEN, dead, path="gs://shards/part-*")
    assert error == "SourceError"
    assert "127.0.0.1 refuses connections" in said
    assert seconds < SOON_S


# Many objects

LIST = """
import resource, time
from pipeline_opt.sources import TFRecords
from pipeline_opt.storage import resolve
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun = time.monotonic()
found = resolve(TFRecords(paths=(path,)))
seconds = time.monotonic() - begun
result = [len(found.files), seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Iterator[Emulation]:
    folder = tmp_path_factory.mktemp("many")
    (folder / "data").mkdir()
    for number in range(LISTED):
        path = folder / "data" / f"part-{number:06d}"
        # Links are made faster than files, but a file can have 65,000 at the most.
        if number % 50_000 == 0:
            first = path
            first.write_bytes((shards / "part-000").read_bytes())
        else:
            os.link(first, path)
    with po.emulate(folder, "gs://many") as emulation:
        yield emulation


@pytest.mark.parametrize("path", ["gs://many/data/part-*", "gs://many/data"])
def test_listing_a_hundred_thousand_objects(many: Emulation, child: TensorFlowChild, path: str) -> None:
    begun = time.monotonic()
    count, seconds, mebibytes = child(LIST, many.variables, path=path)
    requests = Counter(each.kind for each in many.requests(begun))
    print(f"{path}: {count:,} objects in {seconds:.1f} s, {mebibytes:.0f} MiB more, requests: {dict(requests)}")
    assert count == LISTED
    assert requests["list"] <= 3 * LISTED / 1000, "pages of a thousand, seen a few times at the most"
    assert requests["stat"] + requests["read"] < 20
    assert seconds < 120
    assert mebibytes < 500


# The command line


def command(*arguments: str | Path, folder: Path, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    lines = [sys.executable, "-m", "pipeline_opt", *map(str, arguments)]
    root = str(Path(po.__file__).parent.parent)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("GCS_") and name != credentials.TOKEN
    }
    environment = {**kept, **variables, "PYTHONPATH": root, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        lines, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment
    )


def test_an_emulator_that_dies_in_mid_run(shards: Path, tmp_path: Path) -> None:
    with po.emulate(shards, "gs://dying", ttfb="100ms") as emulation:
        options = ("--seconds", "120", "--out", tmp_path / "out", "--order", "interleave,batch,prefetch")
        process = command("profile", "gs://dying/part-*", *options, folder=tmp_path, variables=emulation.variables)
        try:
            while sum(each.kind == "read" for each in emulation.requests()) < 30:
                assert process.poll() is None, process.communicate()
                time.sleep(0.2)
            assert emulation._server is not None
            emulation._server._process.kill()
            begun = time.monotonic()
            _, said = process.communicate(timeout=90)
            seconds = time.monotonic() - begun
        finally:
            process.kill()
            process.wait()
    print(f"ended {seconds:.1f} s after the emulator")
    assert process.returncode == 3, said
    assert seconds < SOON_S
    assert "gs://dying/part-" in said
    assert "cannot be reached any more in 6 tries" in said, said
    assert "refuses connections" in said
    (run,) = (tmp_path / "out").glob("*.run")
    assert len(po.load(run).steps) > 0
    assert po.load(run).partial


def test_doctor_tells_what_does_not_open(store: Emulation, tmp_path: Path) -> None:
    anonymous = {**store.variables, credentials.NO_GCE: "true", "CLOUDSDK_CONFIG": str(tmp_path)}
    uris = ("gs://shards/part-*", "gs://shard", f"hdfs://127.0.0.1:{closed_port()}/x", str(tmp_path / "no"))
    process = command("doctor", *uris, "--via", "auto", "--json", "-", folder=tmp_path, variables=anonymous)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    seen = json.loads(said)["uris"]
    assert [each["uri"] for each in seen] == list(uris)
    assert [each["opens"] for each in seen] == [True, False, False, False]
    assert all(each["seconds"] < SOON_S for each in seen)
    assert [finding["step"] for finding in seen[0]["findings"]] == [
        "client", "network", "credentials", "bucket", "listing", "first byte",
    ]  # fmt: skip
    assert "does not exist" in seen[1]["findings"][-1]["detail"]
    assert all(each["findings"][-1]["detail"] for each in seen)


def test_no_credentials_is_told_within_seconds(store: Emulation, tmp_path: Path) -> None:
    store.shape = Shape(faults=(Fault("401", 1.0),))
    variables = {name: value for name, value in store.variables.items() if name != credentials.TOKEN}
    variables |= {"GCE_METADATA_HOST": f"127.0.0.1:{closed_port()}", "CLOUDSDK_CONFIG": str(tmp_path)}
    begun = time.monotonic()
    process = command("profile", "gs://shards/part-*", folder=tmp_path, variables=variables)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 2, said
    assert "no credentials were found; run `gcloud auth application-default login`" in " ".join(said.split())
    assert time.monotonic() - begun < SOON_S
