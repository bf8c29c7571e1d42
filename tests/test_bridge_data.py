"""The bridge in tf.data: the same elements as TensorFlow's own reading gives, errors with file and byte, nothing left behind."""

from __future__ import annotations

import gc
import gzip
import os
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remote_files import RemoteStore, remote_store
from test_bridge import until
from test_bridge_cutting import record

import pipeline_opt as po
from pipeline_opt.access import Access
from pipeline_opt.build.dataset import build
from pipeline_opt.build.failures import translate
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.reports.verdict import verdict
from pipeline_opt.sources import Csv, FileSource, FixedLength, TextLines, TFRecords
from pipeline_opt.variants import autotune, naive

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.PlanWarning")]

PACK = {"": bytes, "GZIP": gzip.compress, "ZLIB": zlib.compress}


def elements(dataset: Any) -> list[Any]:
    return [tuple(part.numpy() for part in e) if isinstance(e, tuple) else e.numpy() for e in dataset]


def both(source: FileSource, access: Access) -> tuple[Pipeline, Pipeline]:
    plain = Pipeline(source)
    return plain, Pipeline(type(source)(**{**vars(source), "access": access}))


@pytest.fixture
def store() -> Iterator[type[RemoteStore]]:
    with remote_store({}) as opened:
        yield opened


def shards(folder: Path, contents: list[bytes], compression: str) -> str:
    for number, content in enumerate(contents):
        (folder / f"part-{number}.bin").write_bytes(PACK[compression](content))
    return f"{folder}/part-*.bin"


# ---- the same elements ---------------------------------------------------------------------------------------------------

ROWS = st.lists(st.binary(max_size=50), max_size=30)
LINES = st.lists(st.text("ab,\r", max_size=20).map(str.encode), max_size=30).map(
    lambda lines: [x + b"\n" for x in lines]
)


@settings(max_examples=40)
@given(
    st.sampled_from(["tfrecords", "text", "csv", "fixed"]),
    st.sampled_from(sorted(PACK)),
    st.lists(st.tuples(ROWS, LINES), min_size=1, max_size=4),
    st.sampled_from([4096, 5000, 1 << 20]),
    st.sampled_from([0, 1, 3, po.AUTO]),
    st.integers(1, 3),
)
def test_elements_and_order_are_tensorflows_own(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    compression: str,
    content: list[tuple[list[bytes], list[bytes]]],
    block_bytes: int,
    cycle: int,
    block_length: int,
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    # Long enough that blocks of some KB cut it.
    files = {
        "tfrecords": [b"".join(record(row * 40) for row in rows) for rows, _ in content],
        "fixed": [b"h" + b"".join(row[:7].ljust(7) * 99 for row in rows) + b"ff" for rows, _ in content],
    }.get(kind, [b"".join(lines * 40) for _, lines in content])
    if not any(files):
        return
    paths = shards(folder, files, compression)
    source: FileSource = {
        "tfrecords": lambda: TFRecords(paths=paths, compression=compression),
        "text": lambda: TextLines(paths=paths, compression=compression),
        "csv": lambda: Csv(paths=paths, compression=compression),
        "fixed": lambda: FixedLength(
            paths=paths, compression=compression, record_bytes=7, header_bytes=1, footer_bytes=2
        ),
    }[kind]()
    plain, bridged = both(source, Access(via="fsspec", block_bytes=block_bytes))
    if cycle:
        arguments: dict[str, Any] = {"cycle_length": cycle, "block_length": block_length, "deterministic": True}
        plain, bridged = plain.interleave(**arguments), bridged.interleave(**arguments)
    ours, theirs = bridged.build(), plain.build()
    assert ours.element_spec == theirs.element_spec
    assert elements(ours) == elements(theirs)


@pytest.fixture
def remote_records(store: type[RemoteStore], records: Path) -> str:
    store.files.update({f"r/{path.name}": path.read_bytes() for path in records.iterdir()})
    return "testing://r"


def test_stages_epochs_and_forms(remote_records: str, records: Path) -> None:
    def piped(paths: str) -> Pipeline:
        read = Pipeline.from_tfrecords(paths, access=Access(block_bytes=4096)).interleave(cycle_length=2)
        return read.cache().shuffle(50, seed=1).repeat(2).batch(7).options(deterministic=True).prefetch()

    ours, theirs = piped(remote_records), piped(str(records))
    for form in (Pipeline.of, naive, autotune):
        pair = [build(form(plan)) for plan in (ours, theirs)]
        assert [x.tolist() for x in elements(pair[0])] == [x.tolist() for x in elements(pair[1])]


def test_combinations(remote_records: str, records: Path) -> None:
    def made(paths: str) -> list[Pipeline]:
        read = Pipeline.from_tfrecords(paths)
        inner = read.interleave(cycle_length=3, deterministic=True)
        return [Pipeline.zip(read, inner), Pipeline.concatenate(read, inner), Pipeline.sample(read, inner, seed=3)]

    for ours, theirs in zip(made(remote_records), made(str(records)), strict=True):
        assert elements(ours.build()) == elements(theirs.build())


def test_images(store: type[RemoteStore], images: Path) -> None:
    store.files.update({f"i/{p.parent.name}/{p.name}": p.read_bytes() + b"\0\0" for p in images.rglob("*.jpg")})
    ours = Pipeline.from_images("testing://i")
    theirs = [(path.read_bytes() + b"\0\0", number) for number, name in enumerate(("cats", "dogs"))
              for path in sorted((images / name).iterdir())]  # fmt: skip
    assert ours.build().element_spec == Pipeline.from_images(str(images)).build().element_spec
    assert elements(ours.build()) == theirs
    assert elements(ours.interleave(cycle_length=4, deterministic=True).build()) == theirs


def test_files_are_waited_for_together(remote_records: str, store: type[RemoteStore]) -> None:
    """TensorFlow's common threads are as many as cores: without threads of their own two files would be waited for."""
    all_here = threading.Barrier(4)
    RemoteStore.before = staticmethod(lambda *_: all_here.wait(30) and None)
    pipe = Pipeline.from_tfrecords(remote_records, compression="", access=Access(read_ahead=0))
    RemoteStore.before = None
    dataset = pipe.interleave(cycle_length=4, num_parallel_calls=4).build()
    RemoteStore.before = staticmethod(lambda *_: all_here.wait(30) and None)
    assert len(elements(dataset)) == 100


def test_threads_in_parallel(remote_records: str, records: Path) -> None:
    dataset = Pipeline.from_tfrecords(remote_records).interleave(cycle_length=2, deterministic=True).build()
    wanted = elements(Pipeline.from_tfrecords(str(records)).interleave(cycle_length=2, deterministic=True).build())
    got: list[list[Any]] = []
    threads = [threading.Thread(target=lambda: got.append(elements(dataset))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [wanted] * 4


# ---- nothing is left behind ----------------------------------------------------------------------------------------------


def held() -> tuple[int, int]:
    gc.collect()
    fetching = sum(thread.name == "pipeline_opt_fetch" for thread in threading.enumerate())
    return len([f for f in os.listdir("/proc/self/fd") if "pipeline_opt" in _target(f)]), fetching


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


def test_iterators_that_end_early_release_everything(remote_records: str, store: type[RemoteStore]) -> None:
    pipe = Pipeline.from_tfrecords(remote_records, access=Access(block_bytes=4096))
    for dataset in (pipe.build(), pipe.interleave(cycle_length=3).build(), pipe.interleave().prefetch().build()):
        for _ in range(3):
            iterator = iter(dataset)
            next(iterator)
            del iterator
        for _ in dataset.take(1):
            pass
        with pytest.raises(ZeroDivisionError):
            _fail_within(dataset)
        until(lambda: held() == (0, 0))


def _fail_within(dataset: Any) -> None:
    for _ in dataset:
        raise ZeroDivisionError


def test_dropping_an_iterator_whose_fetch_hangs(remote_records: str, store: type[RemoteStore]) -> None:
    free, inside = threading.Event(), threading.Event()
    access = Access(block_bytes=4096, timeout_s=0.5)
    dataset = Pipeline.from_tfrecords(remote_records, compression="", access=access).interleave(cycle_length=2).build()

    def hang(path: str, at: int, count: int) -> None:
        if path.endswith(("part-2.tfrecord", "part-3.tfrecord")):
            inside.set()
            free.wait(60)

    RemoteStore.before = staticmethod(hang)
    iterator = iter(dataset.prefetch(100))
    next(iterator)
    assert inside.wait(30)
    start = time.monotonic()
    del iterator
    gc.collect()
    assert time.monotonic() - start < 30
    free.set()
    until(lambda: held() == (0, 0))


# ---- errors --------------------------------------------------------------------------------------------------------------


def failure_of(pipe: Pipeline) -> po.PipelineOptError:
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(tf.errors.OpError) as raised:
            elements(pipe.build())
    return translate(raised.value, pipe)


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("cycle", [0, 3])
@pytest.mark.parametrize(
    ("flipped", "said"), [(30, "checksum of the record's"), (3, "checksum of the record's length")]
)
def test_a_damaged_record_is_told_with_shard_and_byte(
    store: type[RemoteStore], compression: str, cycle: int, flipped: int, said: str
) -> None:
    good = b"".join(record(bytes(1000)) for _ in range(40))
    bad = bytearray(good)
    bad[1016 * 23 + flipped] ^= 0xFF
    store.files.update({f"d/{n}.tfrecord": PACK[compression](bytes(bad) if n == 2 else good) for n in range(20)})
    pipe = Pipeline.from_tfrecords("testing://d", compression=compression, access=Access(block_bytes=4096))
    error = failure_of(pipe.interleave(cycle_length=cycle) if cycle else pipe)
    assert isinstance(error, po.CorruptRecordError)
    assert f"testing://d/2.tfrecord, byte {1016 * 23}: the {said}" in str(error)


def test_a_storage_that_fails_is_told_with_stage_shard_and_byte(remote_records: str, store: type[RemoteStore]) -> None:
    store.files["r/part-1.tfrecord"] = record(bytes(5000)) * 3

    def refuse(path: str, at: int, count: int) -> None:
        if path.endswith("part-1.tfrecord") and at >= 4096:
            raise ConnectionResetError("connection reset by peer")

    pipe = Pipeline.from_tfrecords(remote_records, access=Access(block_bytes=4096, retries=1)).interleave()
    dataset = pipe.build()
    RemoteStore.before = staticmethod(refuse)
    import tensorflow as tf

    with pytest.raises(tf.errors.OpError) as raised:
        elements(dataset)
    error = translate(raised.value, pipe)
    assert isinstance(error, po.SourceError)
    said = "interleave: testing://r/part-1.tfrecord, byte 4096: ConnectionResetError: connection reset by peer, 2 times; check"
    assert str(error).startswith(said)


def test_resets_change_nothing(remote_records: str, store: type[RemoteStore], records: Path) -> None:
    failed: set[tuple[str, int]] = set()

    def reset(path: str, at: int, count: int) -> None:
        if (path, at) not in failed:
            failed.add((path, at))
            raise ConnectionResetError("reset")

    pipe = Pipeline.from_tfrecords(remote_records, access=Access(block_bytes=4096)).interleave(deterministic=True)
    dataset = pipe.build()
    RemoteStore.before = staticmethod(reset)
    wanted = elements(Pipeline.from_tfrecords(str(records)).interleave(deterministic=True).build())
    assert elements(dataset) == wanted
    assert len(failed) == 4


def test_a_file_that_is_gone(remote_records: str, store: type[RemoteStore]) -> None:
    pipe = Pipeline.from_tfrecords(remote_records)
    dataset = pipe.build()
    del store.files["r/part-2.tfrecord"]
    import tensorflow as tf

    with pytest.raises(tf.errors.OpError) as raised:
        elements(dataset)
    error = translate(raised.value, pipe)
    assert isinstance(error, po.MissingPathError)
    assert "part-2.tfrecord: the file is gone" in str(error)


# ---- what the profiler makes of it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cycle", [0, 2])
def test_the_wait_is_the_reading_stages_extract(remote_records: str, store: type[RemoteStore], cycle: int) -> None:
    pause_s = 0.05
    pipe = Pipeline.from_tfrecords(remote_records, compression="", access=Access(block_bytes=4096, read_ahead=0))
    RemoteStore.before = staticmethod(lambda path, at, count: time.sleep(pause_s if count <= 4096 else 0))
    pipe = (pipe.interleave(cycle_length=cycle, num_parallel_calls=cycle) if cycle else pipe).batch(10).prefetch()
    run = po.profile(pipe, epochs=1, trace="full")
    stages = {stage.name: stage for stage in run.stages}
    reading = stages["interleave" if cycle else "tfrecords"]
    assert reading.phase == "extract"
    assert reading.elements == 100
    assert reading.work_s is not None
    assert reading.work_s >= 0.8 * 4 * pause_s
    assert sum(stage.work_s or 0 for stage in stages.values() if stage is not reading) < pause_s


def test_the_bridge_is_no_function_of_the_users(remote_records: str) -> None:
    pipe = Pipeline.from_tfrecords(remote_records).interleave().batch(4).prefetch()
    assert pipe.purities() == {}
    assert "PyFunc" not in pipe.explain()


def test_plain_code_cannot_have_a_bridge(remote_records: str) -> None:
    with pytest.raises(po.PlanError, match=r"testing://r is read through the bridge .*local copy, or with via='tf'"):
        Pipeline.from_tfrecords(remote_records).interleave().batch(4).prefetch().to_python()


def test_waiting_for_a_storage_is_not_called_pythons_lock(remote_records: str, store: type[RemoteStore]) -> None:
    source = Pipeline.from_tfrecords(remote_records, compression="", access=Access(block_bytes=4096))
    # To start takes time, too, where all else is busy: several passes wait for the storage longer than that.
    pipe = source.repeat(5).batch(10).prefetch()
    RemoteStore.before = staticmethod(lambda path, at, count: time.sleep(0.05 if count <= 4096 else 0))
    run = po.profile(pipe, epochs=1, trace="full")
    reading = next(stage for stage in run.stages if stage.name == "tfrecords")
    assert any(op.op.startswith("PyFunc") for op in reading.ops)
    found = verdict(run)
    assert found.bottleneck_phase == "extract"
    assert not any("Python" in advice for advice in found.advice)
