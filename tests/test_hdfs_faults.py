"""An epoch of many small files through a real HDFS whose reads fail now and then: the same elements, none of them twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hdfs import needed, routes
from tensorflow_child import TensorFlowChild

import pipeline_opt as po
from pipeline_opt.storage.hadoop import HdfsEmulation
from pipeline_opt.storage.hadoop.libhdfs import libhdfs_home
from pipeline_opt.storage.shape import Shape

pytestmark = [pytest.mark.tf, pytest.mark.slow]

SHARDS, RECORDS = 240, 4
EPOCH = """
import threading
import pipeline_opt as po
from pipeline_opt.access import Access
access = Access(via=via, timeout_s=1.0) if via == "fsspec" else Access(via=via)
pipe = po.Pipeline.from_tfrecords(uri, access=access).interleave(cycle_length=16, deterministic=False).prefetch()
elements = [r.numpy().decode().rstrip(".") for r in pipe.build()]
result = [elements, sum(thread.name == "pipeline_opt_fetch" for thread in threading.enumerate())]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tf: Any) -> Iterator[HdfsEmulation]:
    """Record n of shard s is `s:n`."""
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        with tf.io.TFRecordWriter(str(folder / f"part-{shard:03d}.tfrecord")) as writer:
            for number in range(RECORDS):
                writer.write(f"{shard}:{number}".encode().ljust(200, b"."))
    with needed(lambda: po.emulate(folder, "hdfs://faulty/data", seed=1)) as emulation:
        assert isinstance(emulation, HdfsEmulation)
        yield emulation


@pytest.fixture(scope="module")
def child(store: HdfsEmulation) -> Iterator[TensorFlowChild]:
    if "tf" in routes():
        needed(libhdfs_home)
    started = TensorFlowChild(**store.variables)
    yield started
    # A JVM in it may hang where it ends.
    started.kill()


def read(
    child: TensorFlowChild, store: HdfsEmulation, via: str, errors: str
) -> tuple[Counter[str], Counter[str | None]]:
    """The elements of an epoch, and the faults that were met."""
    begun = time.monotonic()
    store.shape = Shape.parse(errors=errors)
    elements, hanging = child(EPOCH, via=via, uri=store.uri)
    met = Counter(each.fault for each in store.requests(begun))
    # A transfer that stalls never ends, and is not noted: it is with a thread that was left behind.
    met["stall"] += hanging
    print(f"{via}, {errors}: {time.monotonic() - begun:.1f} s, {dict(met)}")
    return Counter(elements), met


@pytest.mark.parametrize(
    ("via", "errors"),
    [*((via, "503:2%,reset:2%") for via in routes()), ("fsspec", "stall:2%")],
)
def test_an_epoch_with_faults_has_the_same_elements(
    child: TensorFlowChild, store: HdfsEmulation, via: str, errors: str
) -> None:
    elements, met = read(child, store, via, errors)
    assert elements == Counter(f"{shard}:{number}" for shard in range(SHARDS) for number in range(RECORDS))
    assert all(met[part.partition(":")[0]] > 0 for part in errors.split(",")), met


@pytest.mark.parametrize("via", routes())
def test_a_file_that_a_buffer_holds_is_one_request(child: TensorFlowChild, store: HdfsEmulation, via: str) -> None:
    """No more to see that it ends: what is advised counts on it. A few files are looked at before they are read."""
    begun = time.monotonic()
    store.shape = Shape()
    child(EPOCH, via=via, uri=store.uri)
    times = Counter(each.uri for each in store.requests(begun)).values()
    assert len(times) == SHARDS
    assert sum(times) <= SHARDS + 10
