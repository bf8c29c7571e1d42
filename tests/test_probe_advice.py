"""Advice by Little's law, and what becomes of a plan that takes it."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline_opt as po
from pipeline_opt.errors import PlanError, PlanWarning, UsageError
from pipeline_opt.stages import AUTO, Interleave, Options, Prefetch
from pipeline_opt.storage.measured import Latency, RequestRate, StorageProfile, StreamRate
from pipeline_opt.storage.probe.advice import AHEAD, HEADROOM, IN_ORDER, advise, block_for
from pipeline_opt.storage.probe.applying import apply
from pipeline_opt.storage.probe.model import Reading


def bucket(*rates: tuple[int, float], **changes: Any) -> StorageProfile:
    """100 ms to the first byte, 10 MB/s a stream, 100 MB/s in all, 512 files of 100 kB."""
    given = rates or ((1, 8e6), (8, 64e6), (16, 100e6), (32, 100e6))
    profile = StorageProfile(
        "gs://b/d",
        "tf",
        "TensorFlow",
        "now",
        cold=Latency((0.1,) * 100),
        warm=Latency((), "a connection for every request"),
        files=512,
        bytes=512 * 100_000,
        stream_bytes_per_s=10e6,
        block_bytes=1 << 20,
        streams=tuple(StreamRate(count, rate, 1.0, int(rate)) for count, rate in given),
        knee=16,
        total_bytes_per_s=100e6,
    )
    return dataclasses.replace(profile, **changes)


def test_little_s_law() -> None:
    reading = Reading(ttfb_s=0.1, stream_bytes_per_s=10e6, total_bytes_per_s=100e6, file_bytes=1e6, block_bytes=2e6)
    assert reading.file_s == pytest.approx(0.2)
    assert reading.one_stream == pytest.approx(5e6)
    assert reading.waiting_share == pytest.approx(0.5)
    assert reading.streams_for(50e6) == pytest.approx(10)
    assert reading.rate_of(10) == pytest.approx(50e6)
    assert reading.rate_of(1000) == 100e6
    halves = dataclasses.replace(reading, block_bytes=0.5e6)
    assert (halves.requests, halves.file_s) == (2, pytest.approx(0.3))


@given(st.floats(1e-4, 1), st.floats(1e5, 1e9), st.floats(1e3, 1e10), st.floats(1e4, 1e9))
def test_the_streams_for_a_rate_give_that_rate(ttfb_s: float, stream: float, size: float, rate: float) -> None:
    reading = Reading(ttfb_s, stream, None, size, min(size, 16 << 20))
    assert reading.rate_of(reading.streams_for(rate)) == pytest.approx(rate)


def test_small_files_need_many_streams_and_larger_shards() -> None:
    advice = advise(bucket(), cores=2)
    assert advice.streams == 220, "100 MB/s of files that take 110 ms each, and headroom"
    assert advice.cycle_length == advice.num_parallel_calls == 147
    assert advice.limit == "storage"
    assert advice.predicted_bytes_per_s == 100e6
    assert advice.shard_bytes == 16_000_000
    assert advice.block_bytes == 1 << 20
    assert advice.read_ahead == 0
    assert (
        "512 files of 100 kB: 91 % of the time of each is time to first byte; shards of 16 MB or more"
        in advice.warnings[0]
    )
    assert "110 times one file after another" in advice.sentences()[0]
    assert any("100 MB/s need 110 requests under way (Little's law)" in text for text in advice.sentences())


def test_the_demand_says_how_many() -> None:
    advice = advise(bucket(), files=64, file_bytes=1e6, demand_bytes_per_s=25e6, cores=2)
    assert (advice.streams, advice.limit) == (10, "demand")
    assert advice.predicted_bytes_per_s == 25e6


def test_what_the_storage_cannot_give_is_said() -> None:
    advice = advise(bucket(), demand_bytes_per_s=500e6)
    assert advice.limit == "storage"
    assert any("takes 500 MB/s and the storage gives 100 MB/s at the most" in text for text in advice.warnings)


def test_too_few_files_are_said() -> None:
    advice = advise(bucket(), files=4, file_bytes=1e6)
    assert (advice.streams, advice.limit) == (4, "files")
    assert advice.predicted_bytes_per_s == pytest.approx(20e6)
    assert any(
        "4 files at a time give 20 MB/s of 100 MB/s: split the data into 20 shards" in text for text in advice.warnings
    )


def test_where_more_streams_are_slower_it_stays_below() -> None:
    slow = bucket((1, 8e6), (8, 64e6), (16, 100e6), (32, 60e6), (64, 40e6))
    advice = advise(slow)
    assert advice.streams == 31
    assert advice.cycle_length * 3 < 32, "with the files that tf.data opens ahead, too"
    assert advice.limit == "streams"
    assert any("with 32 or more the storage gave clearly less" in text for text in advice.warnings)


def test_without_a_knee_or_a_demand_it_says_what_is_not_known() -> None:
    growing = bucket((1, 8e6), (32, 256e6), knee=None, total_bytes_per_s=256e6)
    advice = advise(growing)
    assert advice.goal_bytes_per_s is None
    assert any("limit was not reached with 32 streams" in text for text in advice.sentences())


def test_a_fast_disk_needs_no_advice() -> None:
    disk = bucket(cold=Latency((5e-5,) * 10), stream_bytes_per_s=2e9, total_bytes_per_s=8e9)
    advice = advise(disk, demand_bytes_per_s=100e6)
    assert advice.cycle_length == 1
    assert advice.shard_bytes is None
    assert "one file after another gives as well" in advice.sentences()[0]


def test_prefetch_covers_the_slowest_requests() -> None:
    slow_tail = bucket(cold=Latency((0.1,) * 97 + (1.0,) * 3))
    assert advise(slow_tail, demand_bytes_per_s=50e6, batch_bytes=5e6).prefetch == 10
    assert advise(slow_tail).prefetch == AUTO


def test_blocks_hold_a_file_and_are_no_larger_than_is_cheap() -> None:
    assert block_for(100_000) == 1 << 20
    assert block_for(1_000_000) == 2 << 20
    assert block_for(1e9) == 16 << 20
    large = advise(bucket(), files=20, file_bytes=100e6)
    assert large.read_ahead == 1
    assert large.cycle_length == large.streams, "a file of many requests is not fetched ahead"


def test_hdfs_through_tensorflow_needs_a_buffer() -> None:
    hdfs = bucket(uri="hdfs://n/d", cold=Latency((), "kept"), warm=Latency((0.1,) * 9), block_bytes=None)
    advice = advise(hdfs, files=64, file_bytes=1e6)
    assert (advice.buffer_size, advice.block_bytes) == (5 << 18, 2 << 20)
    assert advise(hdfs, files=512, file_bytes=1e5).buffer_size == 1 << 18
    assert advice.now_bytes_per_s == pytest.approx(1e6 / 0.2)
    plan = apply(advice, po.Pipeline.from_tfrecords("x").shuffle(10).batch(2))
    assert plan.source.buffer_size == 5 << 18  # type: ignore[attr-defined]
    said = apply(advice, po.Pipeline.from_tfrecords("x", buffer_size=4096).shuffle(10).batch(2))
    assert said.source.buffer_size == 4096, "what the user says stays"  # type: ignore[attr-defined]


def test_the_bridge_is_told_its_blocks() -> None:
    advice = advise(bucket(route="fsspec"), files=64, file_bytes=1e6)
    plan = apply(advice, po.Pipeline.from_tfrecords("x").shuffle(10).batch(2))
    assert (plan.source.access.block_bytes, plan.source.access.read_ahead) == (2 << 20, 0)  # type: ignore[attr-defined]
    assert advice.buffer_size is None


def test_a_rate_is_found_from_requests_where_need_be() -> None:
    without = bucket(stream_bytes_per_s=None, requests=(RequestRate(1_000_000, 5e6, 0.2),))
    assert advise(without).now_bytes_per_s == pytest.approx(advise(bucket()).now_bytes_per_s)


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        (
            {"cold": Latency((), "every request failed")},
            {},
            "time to first byte is not known: every",
        ),
        ({"stream_bytes_per_s": None}, {}, "no rate of a stream"),
        ({"files": None}, {}, "files=None"),
        ({"bytes": None}, {}, "file_bytes=None"),
        ({}, {"files": 0}, "files=0"),
        ({}, {"demand_bytes_per_s": -1.0}, "demand_bytes_per_s=-1.0"),
        ({}, {"cores": float("nan")}, "cores=nan"),
    ],
)
def test_without_figures_there_is_no_advice(changes: dict[str, Any], arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        advise(bucket(**changes), **arguments)


@given(
    st.integers(1, 10_000),
    st.floats(1e3, 1e10),
    st.floats(1e-5, 2.0),
    st.one_of(st.none(), st.floats(1e3, 1e10)),
)
def test_advice_is_always_a_plan_that_can_be_built(
    files: int, size: float, ttfb_s: float, demand: float | None
) -> None:
    profile = bucket(cold=Latency((ttfb_s,)))
    advice = advise(profile, files=files, file_bytes=size, demand_bytes_per_s=demand)
    plan = apply(advice, po.Pipeline.from_tfrecords("x").shuffle(10).batch(2))
    assert plan.reader is not None
    assert 1 <= advice.cycle_length <= advice.streams <= min(4096, files)
    assert advice.num_parallel_calls <= advice.cycle_length, "tf.data refuses more"
    assert advice.predicted_bytes_per_s <= 1.001 * min(100e6, demand or 1e12)
    assert advice.sentences()


# ---- plans -------------------------------------------------------------------------------------------------------------

ADVICE = advise(bucket(), files=64, file_bytes=1e6)


def test_a_plan_that_shuffles_takes_it_all() -> None:
    plan = apply(ADVICE, po.Pipeline.from_tfrecords("x").shuffle(10).batch(2))
    first, *_, last = plan.stages
    assert isinstance(first, Interleave)
    assert first.cycle_length == first.num_parallel_calls == ADVICE.cycle_length
    assert ADVICE.streams == 40 == round(HEADROOM * 20)
    assert ADVICE.cycle_length == round(40 / AHEAD + 0.4)
    assert isinstance(last, Prefetch)


def test_an_interleave_that_is_there_is_changed() -> None:
    plan = po.Pipeline.from_tfrecords("x").interleave(cycle_length=2, name="read").shuffle(10).batch(2).prefetch(1)
    changed = apply(dataclasses.replace(ADVICE, prefetch=5), plan)
    assert [stage.name for stage in changed.stages] == [stage.name for stage in plan.stages]
    assert changed.stage("read").cycle_length == ADVICE.cycle_length  # type: ignore[attr-defined]
    assert changed.stages[-1].buffer_size == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "plan",
    [po.Pipeline.from_tfrecords("x").batch(2), po.Pipeline.from_tfrecords("x").interleave(cycle_length=4).batch(2)],
    ids=["sequential", "a cycle of four"],
)
def test_a_fixed_order_is_kept_with_a_warning(plan: po.Pipeline) -> None:
    with pytest.warns(PlanWarning, match="order is fixed"):
        changed = apply(ADVICE, plan)
    assert order_of(changed) == order_of(plan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert apply(ADVICE, plan, keep_order=False).reader.cycle_length == ADVICE.cycle_length  # type: ignore[union-attr]


def order_of(plan: po.Pipeline) -> tuple[int, int]:
    """What the order of elements follows from."""
    return (plan.reader.cycle_length, plan.reader.block_length) if plan.reader else (1, 1)


def test_images_keep_their_order_and_get_threads() -> None:
    plan = apply(ADVICE, po.Pipeline.from_images("x").batch(2))
    assert plan.reader is not None
    assert plan.reader.num_parallel_calls == ADVICE.streams
    assert any(isinstance(s, Options) and s.private_threadpool_size == ADVICE.streams for s in plan.stages)


def test_only_plans_over_files_can_take_it() -> None:
    with pytest.raises(PlanError, match="tensors"):
        apply(ADVICE, po.Pipeline.from_tensors([1, 2]))
    files = po.Pipeline.from_tfrecords("x")
    with pytest.raises(PlanError, match="zip"):
        apply(ADVICE, po.Pipeline.zip(files, files))


@pytest.mark.parametrize(
    ("plan", "as_ready"),
    [
        (po.Pipeline.from_tfrecords("x").interleave().shuffle(10), True),
        (po.Pipeline.from_tfrecords("x").interleave().shuffle(10, seed=1), False),
        (po.Pipeline.from_tfrecords("x").interleave().batch(2), False),
        (po.Pipeline.from_tfrecords("x").interleave(deterministic=False).batch(2), True),
        (po.Pipeline.from_tfrecords("x").interleave(deterministic=True).shuffle(10), False),
        (po.Pipeline.from_tfrecords("x").interleave().batch(2).options(deterministic=False), True),
    ],
    ids=["shuffled", "seeded", "no shuffle", "said so", "said not", "options"],
)
def test_records_come_as_they_are_ready_where_their_order_is_random(plan: po.Pipeline, as_ready: bool) -> None:
    reader = apply(ADVICE, plan).reader
    assert reader is not None
    assert (reader.deterministic is False) is as_ready
    assert reader.cycle_length == (ADVICE.cycle_length if as_ready else ADVICE.cycle_length_in_order)


def test_a_cycle_that_keeps_its_order_is_longer_and_no_longer_than_there_are_files() -> None:
    many = advise(bucket(), files=1000, file_bytes=1e6, cores=2)
    assert (many.streams, many.cycle_length, many.cycle_length_in_order) == (40, 27, 51)
    assert many.cycle_length_in_order == math.ceil(math.ceil(IN_ORDER * 40) / AHEAD)
    few = advise(bucket(), files=8, file_bytes=1e6)
    assert few.cycle_length_in_order <= 8
