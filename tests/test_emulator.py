"""TensorFlow's own GCS client against the emulator: it lists, reads, writes, and lives through faults."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorflow_child import ChildError, TensorFlowChild

import pipeline_opt as po
from pipeline_opt.storage.emulator import Emulation
from pipeline_opt.storage.shape import Fault, Shape

pytestmark = pytest.mark.tf

RECORDS = 400


@pytest.fixture(scope="module")
def child() -> Iterator[TensorFlowChild]:
    """A TensorFlow that is told of the emulator after it was loaded."""
    started = TensorFlowChild()
    yield started
    started.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "cats" / "deep").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "data" / f"part-{number}.bin").write_bytes(bytes([number]) * 1000)
        (tmp_path / "data" / "cats" / f"{number} ä%.bin").write_bytes(b"cat")
    (tmp_path / "data" / "cats" / "deep" / "x").write_bytes(b"")
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[Emulation]:
    with po.emulate(folder, "gs://bucket") as emulation:
        yield emulation


def faulty(store: Emulation, *faults: Fault) -> None:
    store.shape = Shape(faults=faults)


# Looking


def test_listing_globbing_and_asking(store: Emulation, child: TensorFlowChild) -> None:
    code = "g = tf.io.gfile; result = [sorted(g.listdir('gs://bucket')), g.glob('gs://bucket/part-*'), "
    code += "g.glob('gs://bucket/*/*.bin'), g.stat('gs://bucket/part-1.bin').length, "
    code += "[g.exists(f'gs://bucket/{n}') for n in ('part-1.bin', 'cats', 'cats/deep/x', 'no', 'part')], "
    code += "[g.isdir(f'gs://bucket/{n}') for n in ('', 'cats', 'cats/', 'part-1.bin', 'ca')]]"
    found = child(code, store.variables)
    assert found[0] == ["cats/", "part-0.bin", "part-1.bin", "part-2.bin"]
    assert found[1] == [f"gs://bucket/part-{number}.bin" for number in range(3)]
    assert found[2] == [f"gs://bucket/cats/{number} ä%.bin" for number in range(3)]
    assert found[3] == 1000
    assert found[4] == [True, True, True, False, False]
    assert found[5] == [True, True, True, False, False]


def test_more_objects_than_a_page_holds(store: Emulation, folder: Path, child: TensorFlowChild) -> None:
    (folder / "many").mkdir()
    for number in range(2500):
        (folder / "many" / f"{number:05d}").touch()
    found = child("result = tf.io.gfile.glob('gs://bucket/many/*')", store.variables)
    assert found == [f"gs://bucket/many/{number:05d}" for number in range(2500)]
    pages = [each for each in store.requests() if each.kind == "list" and each.uri == "gs://bucket/many/"]
    assert len(pages) == 3


def test_a_bucket_that_is_not_there(store: Emulation, child: TensorFlowChild) -> None:
    with pytest.raises(ChildError, match=r"(?s)NotFoundError.*bucket does not exist: other \(emulated here: bucket\)"):
        child("tf.io.read_file('gs://other/x')", store.variables)
    with pytest.raises(ChildError, match=r"NotFoundError.*No such object: bucket/no"):
        child("tf.io.read_file('gs://bucket/no')", store.variables)


# Reading


def test_reading_whole_and_in_ranges(store: Emulation, folder: Path, child: TensorFlowChild) -> None:
    content = os.urandom(300_000)
    (folder / "random").write_bytes(content)
    code = "import hashlib; result = hashlib.sha1(tf.io.read_file('gs://bucket/random').numpy()).hexdigest()"
    assert child(code, store.variables) == hashlib.sha1(content).hexdigest()
    code = "f = tf.io.gfile.GFile('gs://bucket/random', 'rb'); f.seek(200_000); result = f.read(50).hex()"
    assert child(code, store.variables) == content[200_000:200_050].hex()
    assert child("result = len(tf.io.read_file('gs://bucket/cats/deep/x').numpy())", store.variables) == 0
    reads = [each for each in store.requests() if each.kind == "read"]
    assert reads[0].range == "bytes=0-67108863"
    assert (reads[0].bytes, reads[0].status, reads[0].uri) == (300_000, 206, "gs://bucket/random")


def test_what_is_written_beside_the_emulator_is_read(store: Emulation, folder: Path, child: TensorFlowChild) -> None:
    code = "result = tf.io.read_file('gs://bucket/part-0.bin').numpy().decode()"
    for text in ("one", "another"):
        (folder / "part-0.bin").write_text(text)
        assert child(code, store.variables) == text


# Writing


WRITE = """
with tf.io.TFRecordWriter(path) as writer:
    for number in range(count):
        writer.write(str(number).encode().ljust(size, b"."))
result = [int(bytes(r.numpy()).rstrip(b".")) for r in tf.data.TFRecordDataset(path)]
"""


@pytest.mark.parametrize("size", [100, 50_000])
def test_records_written_and_read(store: Emulation, folder: Path, child: TensorFlowChild, size: int) -> None:
    numbers = child(WRITE, store.variables, path="gs://bucket/new/a.tfrecord", count=RECORDS, size=size)
    assert numbers == list(range(RECORDS))
    assert (folder / "new" / "a.tfrecord").stat().st_size == RECORDS * (size + 16)


def test_an_upload_that_is_torn_goes_on(store: Emulation, folder: Path, child: TensorFlowChild) -> None:
    faulty(store, Fault("reset", 0.3), Fault("503", 0.2))
    for turn in range(4):
        path = f"gs://bucket/{turn}.tfrecord"
        assert child(WRITE, store.variables, path=path, count=RECORDS, size=10_000) == list(range(RECORDS))
    assert {"reset", "503", None} <= {each.fault for each in store.requests()}


def test_renaming_deleting_and_folders(store: Emulation, folder: Path, child: TensorFlowChild) -> None:
    child("tf.io.gfile.rename('gs://bucket/part-0.bin', 'gs://bucket/other/moved.bin')", store.variables)
    assert (folder / "other" / "moved.bin").read_bytes() == bytes(1000)
    assert not (folder / "part-0.bin").exists()
    child("tf.io.gfile.rename('gs://bucket/cats', 'gs://bucket/dogs')", store.variables)
    assert sorted(path.name for path in (folder / "dogs").iterdir()) == ["0 ä%.bin", "1 ä%.bin", "2 ä%.bin", "deep"]
    assert not (folder / "cats").exists()
    child("tf.io.gfile.copy('gs://bucket/part-1.bin', 'gs://bucket/copy.bin')", store.variables)
    assert (folder / "copy.bin").read_bytes() == (folder / "part-1.bin").read_bytes()
    child("tf.io.gfile.makedirs('gs://bucket/made/deep')", store.variables)
    assert child("result = tf.io.gfile.isdir('gs://bucket/made/deep')", store.variables)
    child("tf.io.gfile.rmtree('gs://bucket/dogs'); tf.io.gfile.rmtree('gs://bucket/made')", store.variables)
    assert not (folder / "dogs").exists()
    with pytest.raises(ChildError, match=r"NotFoundError"):
        child("tf.io.gfile.remove('gs://bucket/no')", store.variables)


CACHE = """
data = tf.data.Dataset.range(500).map(lambda x: tf.cast(x, tf.int32) * 2)
data = data.cache("gs://bucket/caches/c") if kind == "cache" else data.snapshot("gs://bucket/caches/s")
first = [int(x) for x in data]
result = [first, [int(x) for x in data]]
"""


@pytest.mark.parametrize("kind", ["cache", "snapshot"])
def test_caches_on_the_bucket(store: Emulation, folder: Path, child: TensorFlowChild, kind: str) -> None:
    first, second = child(CACHE, store.variables, kind=kind)
    assert first == second == list(range(0, 1000, 2))
    assert any(path.is_file() for path in (folder / "caches").rglob("*"))


def test_a_read_only_bucket(folder: Path, child: TensorFlowChild) -> None:
    with po.emulate(folder, "gs://bucket", read_only=True) as store:
        with pytest.raises(ChildError, match=r"PermissionDenied.*read-only"):
            child(WRITE, store.variables, path="gs://bucket/a.tfrecord", count=1, size=1)
        with pytest.raises(ChildError, match=r"PermissionDenied.*read-only"):
            child("tf.io.gfile.remove('gs://bucket/part-0.bin')", store.variables)
    assert (folder / "part-0.bin").exists()
    assert not (folder / "a.tfrecord").exists()


# Faults


EPOCH = """
files = tf.data.Dataset.list_files("gs://bucket/part-*", shuffle=False)
data = files.interleave(lambda f: tf.data.FixedLengthRecordDataset(f, 100), cycle_length=3)
result = [int(r.numpy()[0]) for r in data for _ in range(1)]
"""


@pytest.mark.parametrize("kind", ["503", "429", "500", "502", "504", "408", "reset", "truncate"])
def test_passing_faults_change_no_elements(store: Emulation, child: TensorFlowChild, kind: str) -> None:
    whole = child(EPOCH, store.variables)
    assert sorted(whole) == sorted([0, 1, 2] * 10)
    faulty(store, Fault(kind, 0.4))
    started = time.monotonic()
    for _ in range(6):
        assert child(EPOCH, store.variables) == whole
    assert kind in {each.fault for each in store.requests(started)}


@pytest.mark.parametrize(
    ("status", "error"), [("403", "PermissionDenied"), ("401", "PermissionDenied"), ("404", "NotFound")]
)
def test_faults_that_do_not_pass(store: Emulation, child: TensorFlowChild, status: str, error: str) -> None:
    faulty(store, Fault(status, 1.0))
    with pytest.raises(ChildError, match=f"{error}.*an emulated fault: {status} for gs://bucket/part-1.bin"):
        child("tf.io.read_file('gs://bucket/part-1.bin')", store.variables)
    assert store.waited()["read"].failed == 1


def test_a_storage_that_keeps_failing_is_given_up(store: Emulation, child: TensorFlowChild) -> None:
    faulty(store, Fault("503", 1.0))
    with pytest.raises(ChildError, match=r"(?s)AbortedError.*503"):
        child("tf.io.read_file('gs://bucket/part-1.bin')", store.variables)
    assert store.waited()["read"].count == 11


def test_an_answer_that_never_comes(store: Emulation) -> None:
    impatient = TensorFlowChild(
        GCS_READ_REQUEST_TIMEOUT_SECS="1", GCS_RETRY_CONFIG_MAX_RETRIES="1", GCS_METADATA_REQUEST_TIMEOUT_SECS="1"
    )
    try:
        faulty(store, Fault("stall", 1.0))
        with pytest.raises(ChildError, match=r"(?i)timed? ?out|timeout"):
            impatient("tf.io.read_file('gs://bucket/part-1.bin')", store.variables)
    finally:
        impatient.close()
    assert {each.status for each in store.requests()} == {0}


# In this process, where TensorFlow is loaded already


def test_in_the_process_that_emulates(folder: Path, tf: Any) -> None:
    before = {name: os.environ.get(name) for name in ("https_proxy", "CURL_CA_BUNDLE", "no_proxy")}
    with po.emulate(folder, "gs://bucket-here", ttfb="5ms") as store:
        assert tf.io.read_file("gs://bucket-here/part-2.bin").numpy() == bytes([2]) * 1000
        assert store.waited()["read"].first_byte_s >= 0.005
    assert {name: os.environ.get(name) for name in before} == before


def test_a_pipeline_reads_a_bucket(records: Path, tf: Any) -> None:
    with po.emulate(records, "gs://records-here") as store:
        pipe = po.Pipeline.from_tfrecords(f"{store.uri}/part-*").interleave(cycle_length=2).batch(10).prefetch()
        found = sorted(bytes(each) for batch in pipe.build() for each in batch.numpy())
        read = store.waited()["read"]
    assert found == sorted(f"{shard}:{number}".encode() for shard in range(4) for number in range(25))
    assert read.bytes >= sum(path.stat().st_size for path in records.iterdir())


def test_several_buckets_and_several_emulators(folder: Path, tmp_path: Path, child: TensorFlowChild) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "o").write_text("other")
    code = "result = [tf.io.read_file(p).numpy()[:5].hex() for p in paths]"
    with po.emulate({"gs://one": folder, "gs://two": tmp_path / "other"}) as both:
        assert both.uris == ("gs://one", "gs://two")
        paths = ["gs://one/part-1.bin", "gs://two/o"]
        assert child(code, both.variables, paths=paths) == ["0101010101", b"other".hex()]
        with po.emulate(tmp_path / "other", "gs://three", ttfb="1ms") as third:
            paths = ["gs://three/o", "gs://one/part-2.bin", "gs://two/o"]
            assert child(code, third.variables, paths=paths) == [b"other".hex(), "0202020202", b"other".hex()]
            written = child(WRITE, third.variables, path="gs://one/n.tfrecord", count=20, size=100_000)
            assert written == list(range(20))
            assert third.waited()["read"].count == 1
        assert child(code, both.variables, paths=["gs://one/part-2.bin"]) == ["0202020202"]
    assert (folder / "n.tfrecord").exists()
