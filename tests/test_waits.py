"""Extract of a run on a storage far away is what that made its client wait, whoever waited for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hdfs import needed, routes
from tensorflow_child import TensorFlowChild

import pipeline_opt as po
from pipeline_opt.storage import gcs
from pipeline_opt.storage.emulator import Emulation

pytestmark = [pytest.mark.tf, pytest.mark.slow]

SHARDS, RECORDS, RECORD_BYTES = 8, 10, 40_000
FAR = {"ttfb": "50ms", "stream_rate": "2MB/s"}
ROUNDS = 3

EPOCH = """
import time
import pipeline_opt as po
from pipeline_opt.accounting import account
pipe = po.Pipeline.from_tfrecords(uri, access=po.Access(via=via, block_bytes=1 << 20))
pipe = pipe.interleave(cycle_length=cycle, num_parallel_calls=cycle) if cycle else pipe
called = []
run = po.profile(pipe.batch(4).prefetch(1), lambda _batch: called.append(time.monotonic()), epochs=1, trace="full")
start = called[-1] - float(run.steps.train_start[-1])
ahead = sum(stage.ahead_s for stage in run.stages)
result = [account(run).phases["extract"].work_s, ahead, start, start + run.wall_s, list(account(run).notes)]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tf: Any) -> Path:
    made = tmp_path_factory.mktemp("far")
    for shard in range(SHARDS):
        with tf.io.TFRecordWriter(str(made / f"part-{shard}.tfrecord")) as writer:
            for number in range(RECORDS):
                writer.write(f"{shard}:{number}".encode().ljust(RECORD_BYTES, b"."))
    return made


@pytest.fixture(scope="module", params=["gs tf", *(f"hdfs {via}" for via in routes())])
def route(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[str, Emulation, TensorFlowChild]]:
    """A client that has read from the storage before: what a new one loads is not the storage's."""
    scheme, via = request.param.split()
    with needed(lambda: po.emulate(folder, f"{scheme}://far", **FAR)) as store:
        child = TensorFlowChild(**{gcs.BLOCK_MB: "1"}, **store.variables)
        epoch(store, child, via, None)
        yield via, store, child
        child.kill()


def epoch(store: Emulation, child: TensorFlowChild, via: str, cycle: int | None) -> tuple[float, float, list[str]]:
    """Extract, and what of it was ahead, over what the emulator made the client wait; and the notes."""
    extract_s, ahead_s, start_s, end_s, notes = child(EPOCH, store.variables, uri=store.uri, via=via, cycle=cycle)
    asked = [each for each in store.requests() if start_s - 0.01 < each.start_s < end_s]
    assert len(asked) >= SHARDS
    waited_s = sum(each.end_s - each.start_s for each in asked)
    return extract_s / waited_s, ahead_s / waited_s, notes


@pytest.mark.parametrize("cycle", [None, 4])
def test_extract_is_what_the_storage_made_the_client_wait(
    route: tuple[str, Emulation, TensorFlowChild], cycle: int | None
) -> None:
    via, store, child = route
    ratios, aheads, notes = zip(*(epoch(store, child, via, cycle) for _ in range(ROUNDS)), strict=True)
    assert median(ratios) == pytest.approx(1.0, abs=0.1), ratios
    # Only the bridge fetches ahead: where several files are read in turn, its readers pause.
    if via == "tf":
        assert set(aheads) == {0.0}
    elif cycle is not None:
        assert median(aheads) > 0.05
        assert all("fetched ahead (interleave)" in " ".join(each) for each in notes)
