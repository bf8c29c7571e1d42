"""Numbers that TensorFlow would end the process for are refused, whichever way they come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline_opt as po
from pipeline_opt import sources, stages
from pipeline_opt.bounds import MOST
from pipeline_opt.functions import Function
from pipeline_opt.pipeline import Pipeline

LENGTH = Function.of("builtins:len")
BUCKETS: dict[str, Any] = {"element_length_func": LENGTH, "bucket_boundaries": (1,), "bucket_batch_sizes": (1, 1)}

KNOBS: tuple[tuple[Callable[..., Any], str, dict[str, Any], int], ...] = (
    (stages.Interleave, "cycle_length", {}, 10**9),
    (stages.Interleave, "block_length", {}, 2**62),
    (stages.Interleave, "num_parallel_calls", {}, 10**9),
    (stages.Map, "num_parallel_calls", {"function": LENGTH}, 10**9),
    (stages.Batch, "num_parallel_calls", {"batch_size": 1}, 10**9),
    (stages.Shuffle, "buffer_size", {}, MOST),
    (stages.Shuffle, "seed", {"buffer_size": 1}, 2**63),
    (stages.Batch, "batch_size", {}, MOST),
    (stages.PaddedBatch, "batch_size", {}, MOST),
    (stages.RaggedBatch, "batch_size", {}, MOST),
    (stages.Rebatch, "batch_size", {}, MOST),
    (stages.BucketBySequenceLength, "bucket_batch_sizes", BUCKETS, (1, MOST)),
    (stages.BucketBySequenceLength, "bucket_boundaries", BUCKETS, (2**63,)),
    (stages.Repeat, "count", {}, 2**63),
    (stages.Take, "count", {}, 2**63),
    (stages.Skip, "count", {}, 2**63),
    (stages.Shard, "num_shards", {"index": 0}, 2**63),
    (stages.Prefetch, "buffer_size", {}, MOST),
    (stages.PrefetchToDevice, "buffer_size", {}, 10**9),
    (stages.Options, "private_threadpool_size", {}, 2 * 10**9),
    (stages.Options, "max_intra_op_parallelism", {}, MOST),
    (stages.Options, "ram_budget", {}, 2**63),
    (sources.TFRecords, "buffer_size", {"paths": ("a",)}, 10**12),
    (sources.TextLines, "buffer_size", {"paths": ("a",)}, 10**12),
    (sources.FixedLength, "record_bytes", {"paths": ("a",)}, 10**12),
)


@pytest.mark.parametrize(("make", "knob", "others", "value"), KNOBS, ids=lambda part: getattr(part, "kind", None))
def test_an_absurd_number_is_refused(make: Any, knob: str, others: dict[str, Any], value: Any) -> None:
    with pytest.raises(po.PlanError, match=rf"{make.kind}: {knob}=.* is out of range; valid: .*from .* to ") as caught:
        make(**{**others, knob: value})
    if not isinstance(value, tuple):
        assert str(value) in str(caught.value)


def test_every_number_of_a_stage_has_a_bound() -> None:
    numbers = {
        (stage, field)
        for stage in stages.STAGES
        for field, kind in stage.__annotations__.items()
        if kind in ("int", "Knob", "int | None")
    }
    bound = {(make, knob) for make, knob, _, _ in KNOBS}
    assert {(stage.kind, field) for stage, field in numbers - bound} == {("shard", "index")}, (
        "index is below num_shards"
    )


@pytest.mark.tf
@pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")
def test_large_numbers_that_tensorflow_takes_stay_possible() -> None:
    pipe = Pipeline.from_tensors([1, 2, 3]).skip(0).take(MOST).shuffle(10_000_000, seed=MOST).repeat(MOST).take(9)
    assert sum(1 for _ in pipe.batch(2, drop_remainder=True).build()) == 4


def test_text_has_the_same_bounds(tmp_path: Path) -> None:
    text = 'order = ["batch"]\n[source]\nkind = "text"\npaths = ["a"]\n[stages.batch]\nbatch_size = 10_000_000_000\n'
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(
        po.PlanError, match="batch_size=10000000000 is out of range; valid: a whole number from 1 to 10,0"
    ):
        Pipeline.from_config(tmp_path / "plan.toml")


def test_no_endless_list_of_steps_in_flight() -> None:
    with pytest.raises(
        po.UsageError, match="in_flight=100000000 is out of range; valid: a whole number from 0 to 4,096"
    ):
        po.Accelerator(0.02, in_flight=10**8)
