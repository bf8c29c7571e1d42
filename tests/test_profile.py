"""Real pipelines under the profiler: what is counted, named, kept and refused. No times are asserted."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline_opt as po
from pipeline_opt.ingest.graph import kind_of, nodes_of
from pipeline_opt.pipeline import Pipeline

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]

STEP = po.Accelerator(step_s=0.001, link_bytes_per_s=1e9)


def parse(record: Any) -> Any:
    import tensorflow as tf

    return tf.strings.to_number(tf.strings.split(record, ":"), tf.float32)


def norm(x: Any) -> Any:
    import tensorflow as tf

    return tf.math.cumsum(x)  # runs under this name on every processor, as a MatMul does not


def pipe_over(records: Path) -> Pipeline:
    return (
        Pipeline.from_tfrecords(records).interleave().map(parse).map(norm, name="norm").shuffle(20).batch(8).prefetch()
    )


def stage(run: po.Run, name: str) -> Any:
    return next(s for s in run.stages if s.name == name)


def test_everything_is_counted(records: Path) -> None:
    run = po.profile(pipe_over(records), STEP, trace="full")
    assert len(run.steps) == 13
    assert run.steps.elements.sum() == 100
    assert run.steps.elements[-1] == 4, "the partial last batch"
    assert not run.partial
    assert [s.name for s in run.stages] == ["tfrecords", "interleave", "map", "norm", "shuffle", "batch", "prefetch"]
    assert [stage(run, name).elements for name in ("interleave", "map", "norm", "shuffle")] == [100] * 4
    assert stage(run, "batch").elements == 13
    assert stage(run, "interleave").phase == "extract"
    assert stage(run, "interleave").work_s > 0
    assert {op.op: op.count for op in stage(run, "norm").ops}["Cumsum"] == 100
    assert sum(op.work_s for op in stage(run, "map").ops) > 0, "the costliest few"
    assert stage(run, "map").parallelism == "auto"
    assert run.summary()["traced_share"] == pytest.approx(1.0, abs=0.02)
    assert run.source.files == 4
    assert len(run.intervals) > 0
    assert (run.intervals.start >= 0).all()
    assert (run.intervals.end <= run.wall_s + 1e-9).all()


def numbers(count: int) -> Pipeline:
    return Pipeline.from_tensors(np.arange(count, dtype=np.int64))


def double(x: Any) -> Any:
    return x * 2


COUNTED: dict[str, tuple[Any, dict[str, int]]] = {
    "repeat": (
        lambda: numbers(10).map(double).repeat(5).batch(4),
        {"tensors": 50, "map": 50, "repeat": 50, "batch": 13},
    ),
    "filter": (lambda: numbers(30).map(double).filter(lambda x: x % 4 == 0), {"tensors": 30, "map": 30, "filter": 15}),
    "unbatch": (lambda: numbers(40).batch(10).map(double).unbatch().batch(8), {"batch": 4, "map": 4, "batch_2": 5}),
    "drop": (lambda: numbers(19).map(double).batch(10, drop_remainder=True), {"tensors": 19, "map": 19, "batch": 1}),
    "batches": (lambda: numbers(20).map(double).batch(4).batch(1), {"map": 20, "batch": 5, "batch_2": 5}),
    "cache": (lambda: numbers(10).map(double).cache().repeat(3), {"tensors": 10, "map": 10, "cache": 30}),
    "concatenate": (
        lambda: Pipeline.concatenate(numbers(20).map(double), numbers(5).map(double)).batch(4),
        {"concatenate": 25, "in0_map": 20, "in1_map": 5, "in1_tensors": 5},
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_trace_of_the_whole_run_counts_every_stage(name: str) -> None:
    make, expected = COUNTED[name]
    run = po.profile(make(), trace="full")
    assert {key: stage(run, key).elements for key in expected} == expected


def test_work_is_what_was_traced(records: Path) -> None:
    run = po.profile(pipe_over(records).filter(lambda x: tf_mean(x) < -1e9), trace="full")
    traced = run.intervals.end - run.intervals.start
    for i, found in enumerate(run.stages):
        if found.work_s is not None:
            # Intervals also cover the gaps of up to two microseconds between the parts of one piece of work.
            assert found.work_s == pytest.approx(float(traced[run.intervals.stage == i].sum()), rel=0.3, abs=2e-4)


def tf_mean(x: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(x)


def test_sums_add_up(records: Path) -> None:
    run = po.profile(pipe_over(records), STEP, trace="full")
    summary = run.summary()
    assert summary["steps"] == 13
    assert summary["phases"]["train"]["busy_s"] >= 0.013 - 1e-6, "to the precision of a clock that counts from boot"
    for phase in summary["phases"].values():
        assert phase["busy_s"] + phase["idle_s"] == pytest.approx(summary["wall_s"], rel=1e-6)
    waits = (run.steps.wait_end - run.steps.wait_start).sum() + (run.steps.load_end - run.steps.load_start).sum()
    assert sum(summary["stalls"].values()) >= waits * 0.98


def test_naive_phases_follow_each_other(records: Path) -> None:
    from pipeline_opt.variants import naive

    run = po.profile(naive(pipe_over(records)), STEP, trace="full")
    start, end, phase = run.intervals.start, run.intervals.end, run.intervals.phase
    extract, transform = (union_s(start[phase == p], end[phase == p]) for p in (0, 1))
    assert extract + transform == pytest.approx(union_s(start, end), rel=0.02), "one phase at a time"
    for train_start, train_end in zip(run.steps.train_start, run.steps.train_end, strict=True):
        assert not ((start < train_end) & (end > train_start)).any(), "nothing while the accelerator computes"


def union_s(start: Any, end: Any) -> float:
    """Seconds covered by some intervals, by brute force."""
    edges = np.unique(np.concatenate([start, end]))
    covered = [((start <= a) & (end >= b)).any() * (b - a) for a, b in itertools.pairwise(edges)]
    return float(sum(covered))


def test_double_buffering_takes_the_place_of_a_device(records: Path) -> None:
    run = po.profile(pipe_over(records).prefetch_to_device(buffer_size=2), STEP)
    assert run.consumer.double_buffered
    assert len(run.steps) == 13
    assert "prefetch_to_device" not in {stage.name for stage in run.stages}


def test_an_element_that_is_not_known_for_a_batch_takes_a_whole_step(tf: Any) -> None:
    accelerator = po.Accelerator(0.002, batch_size=400)
    rows = tf.data.Dataset.from_generator(lambda: iter(np.zeros((3, 400, 4))), output_types=tf.float64)
    run = po.profile(rows, accelerator, trace="off")
    assert run.steps.train_end - run.steps.train_start == pytest.approx(0.002)
    assert "each of its elements is taken for a batch of 400, 0.002 s a step." in run.notes[-1]
    run = po.profile(tf.data.Dataset.range(400).batch(100), accelerator, trace="off")
    assert run.steps.train_end - run.steps.train_start == pytest.approx(0.0005)
    assert not any("not known to yield batches" in note for note in run.notes)


def test_a_benchmark_needs_no_device() -> None:
    pipe = po.Pipeline.from_tensors(np.arange(8)).batch(2).prefetch_to_device()
    assert po.benchmark({"a": pipe}, STEP, epochs=1)["a"].consumer.double_buffered
    assert [len(run.steps) for run in po.benchmark(pipe, None, epochs=1).values()] == [4, 4, 4]


def test_an_opaque_dataset_has_named_stages(tf: Any, records: Path) -> None:
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([0, 1], [5, 6]), -1)

    def slow(x: Any) -> Any:
        return tf.py_function(lambda v: v + 1, [x], tf.float32)

    def augment(x: Any) -> Any:
        return x + tf.random.uniform([]), table.lookup(tf.constant(1))

    files = tf.data.Dataset.list_files(str(records / "*.tfrecord"))
    dataset = files.interleave(tf.data.TFRecordDataset).map(parse).map(slow).map(augment).batch(10)
    run = po.profile(dataset, trace="full")
    assert [s.name for s in run.stages] == ["tensors", "shuffle", "interleave", "parse", "slow", "augment", "batch"]
    assert run.steps.elements.sum() == 100
    assert {op.op for op in stage(run, "slow").ops} == {"EagerPyFunc"}
    assert stage(run, "slow").us_per_element > 0


def test_with_autotune_off_there_is_no_model_and_it_says_so(records: Path) -> None:
    run = po.profile(pipe_over(records).options(autotune=False))
    assert "AUTOTUNE is off" in stage(run, "map").absent["bytes_out"]
    assert any("AUTOTUNE is off" in note for note in run.notes)


def test_trace_off_leaves_work_unknown_and_says_so(records: Path) -> None:
    run = po.profile(pipe_over(records), trace="off")
    assert run.windows == ()
    assert stage(run, "map").work_s is None
    assert stage(run, "map").absent["work_s"] == "the run was made with trace=off"
    assert stage(run, "map").elements == 100


@pytest.mark.parametrize(("count", "steps", "rows"), [(0, 0, []), (1, 1, [1]), (8, 1, [8]), (9, 2, [8, 1])])
def test_zero_one_and_n_elements(count: int, steps: int, rows: list[int]) -> None:
    run = po.profile(Pipeline.from_tensors(np.arange(100)).take(count).batch(8), STEP)
    assert len(run.steps) == steps
    assert run.steps.elements.tolist() == rows
    assert run.summary()["elements"] == count


def test_limits(records: Path) -> None:
    assert len(po.profile(pipe_over(records), steps=5).steps) == 5
    assert po.profile(pipe_over(records), epochs=2).epoch_starts == (0, 13)
    assert len(po.profile(pipe_over(records).repeat(), steps=30).steps) == 30
    with pytest.raises(po.UsageError, match="the data is endless"):
        po.profile(pipe_over(records).repeat(), epochs=1)
    with pytest.raises(po.UsageError, match="trace='some' is out of range; valid: 'auto', 'full', 'off'"):
        po.profile(pipe_over(records), trace="some")  # type: ignore[arg-type]
    with pytest.raises(po.UsageError, match="warmup=-1 is out of range; valid: a whole number from 0"):
        po.profile(pipe_over(records), warmup=-1)
    with pytest.raises(po.UsageError, match="cannot profile list"):
        po.profile([1, 2, 3])


def test_interrupt_keeps_what_there_is(records: Path, tmp_path: Path) -> None:
    calls = itertools.count()

    def step(_: Any) -> None:
        if next(calls) == 4:
            raise KeyboardInterrupt

    run = po.profile(pipe_over(records), step)
    assert run.partial
    assert "interrupted" in str(run.partial_reason)
    assert len(run.steps) == 4
    assert po.load(run.save(tmp_path / "partial.run")).partial


def test_a_failing_step_and_a_failing_map_keep_the_record(tf: Any, records: Path) -> None:
    def step(_: Any) -> None:
        raise RuntimeError("loss is NaN")

    with pytest.raises(po.StageError, match="the training step failed: RuntimeError: loss is NaN") as failed:
        po.profile(pipe_over(records), step)
    assert failed.value.record.partial

    def fail_late(x: Any) -> Any:
        tf.debugging.assert_less(x, 20.0)
        return x

    numbers = Pipeline.from_tensors(np.arange(40, dtype=np.float32)).map(fail_late, name="check").batch(4)
    with pytest.raises(po.StageError, match="check") as broken:
        po.profile(numbers)
    assert isinstance(broken.value.record, po.Run)
    assert 0 < len(broken.value.record.steps) <= 5


def test_around_a_loop_of_ones_own(records: Path) -> None:
    seen = []
    with po.profiling(pipe_over(records), trace="full") as batches:
        for _ in range(2):
            for batch in batches:
                seen.append(len(batch))
    assert sum(seen) == 200
    assert len(batches.run.steps) == 26
    assert batches.run.epoch_starts == (0, 13)


def test_a_keras_model_is_a_consumer(tf: Any) -> None:
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile(loss="mse")
    pipe = Pipeline.from_tensors((np.ones((16, 3), np.float32), np.ones((16, 1), np.float32))).batch(4)
    run = po.profile(pipe, model)
    assert run.consumer.kind == "keras"
    assert len(run.steps) == 4


def test_names_and_kinds_from_a_graph(tf: Any) -> None:
    dataset = tf.data.Dataset.range(4).map(norm_of, num_parallel_calls=3).batch(2, name="pairs")
    nodes = nodes_of(dataset)
    assert [(n.kind, n.function, n.parallelism) for n in nodes] == [
        ("range", "", None),
        ("map", "norm_of", 3),
        ("batch", "", None),
    ]
    assert nodes[-1].label == "pairs"
    assert kind_of("PaddedBatchDatasetV2") == "padded_batch"
    assert kind_of("ParallelInterleaveDatasetV4") == "interleave"


def norm_of(x: Any) -> Any:
    return x + 1


@pytest.mark.parametrize("via", ["auto", "fsspec"])
def test_names_of_files_are_counted_once_each(records: Path, via: str) -> None:
    """An interleave's function opens a file, and in it other functions run: they open none."""
    pipe = Pipeline.from_tfrecords(f"file://{records}", access=po.Access(via=via)).interleave().batch(10).prefetch()
    run = po.profile(pipe, epochs=1, trace="full")
    assert [(each.name, each.elements) for each in run.stages[:2]] == [("tfrecords", 4), ("interleave", 100)]
