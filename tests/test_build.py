"""Plans built into real datasets: every source and stage, and the same elements in every form."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pipeline_opt as po
from pipeline_opt.benchmark import variants, warm_up
from pipeline_opt.build.dataset import build
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.stages import Options
from pipeline_opt.variants import autotune, naive

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]


def double(x: Any) -> Any:
    return x * 2


def is_even(x: Any) -> Any:
    return x % 2 == 0


def twice(x: Any) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensors(x).repeat(2)


def value_itself(x: Any) -> Any:
    import tensorflow as tf

    return tf.cast(x, tf.int32)


def up_to(x: Any) -> Any:
    import tensorflow as tf

    return tf.range(x)


def values(pipe: Any) -> list[Any]:
    dataset = build(pipe) if isinstance(pipe, Pipeline) else pipe
    return [e.tolist() if hasattr(e, "tolist") else e for e in dataset.as_numpy_iterator()]


NUMBERS = Pipeline.from_tensors(np.arange(6))


@pytest.mark.parametrize(
    ("pipe", "expected"),
    [
        (NUMBERS, [0, 1, 2, 3, 4, 5]),
        (NUMBERS.map(double), [0, 2, 4, 6, 8, 10]),
        (NUMBERS.map(double, num_parallel_calls=None), [0, 2, 4, 6, 8, 10]),
        (NUMBERS.filter(is_even), [0, 2, 4]),
        (NUMBERS.flat_map(twice).take(4), [0, 0, 1, 1]),
        (NUMBERS.interleave(twice, cycle_length=2).take(4), [0, 1, 0, 1]),
        (NUMBERS.cache().repeat(2).skip(10), [4, 5]),
        (NUMBERS.shard(3, 1), [1, 4]),
        (NUMBERS.batch(4), [[0, 1, 2, 3], [4, 5]]),
        (NUMBERS.batch(4, drop_remainder=True, num_parallel_calls=2), [[0, 1, 2, 3]]),
        (NUMBERS.batch(4).rebatch(3), [[0, 1, 2], [3, 4, 5]]),
        (NUMBERS.batch(4).unbatch().prefetch(2), [0, 1, 2, 3, 4, 5]),
        (NUMBERS.take(3).map(up_to).padded_batch(3), [[[0, 0], [0, 0], [0, 1]]]),
        (NUMBERS.options(deterministic=True, slack=False, private_threadpool_size=2), [0, 1, 2, 3, 4, 5]),
        (Pipeline.concatenate(NUMBERS.take(2), NUMBERS.skip(5)), [0, 1, 5]),
        (Pipeline.sample(NUMBERS.take(2), NUMBERS.skip(9), weights=[1, 0]), [0, 1]),
    ],
    ids=lambda value: str(value) if isinstance(value, Pipeline) else None,
)
def test_stages(pipe: Pipeline, expected: list[Any]) -> None:
    assert values(pipe) == expected


def test_bucketing_and_ragged_batches() -> None:
    bucketed = NUMBERS.map(up_to).bucket_by_sequence_length(length_of, [3], [2, 2])
    assert sorted(batch.shape for batch in build(bucketed).as_numpy_iterator()) == [(1, 2), (1, 5), (2, 1), (2, 4)]
    ragged = list(build(NUMBERS.take(3).map(up_to).ragged_batch(3)))
    assert ragged[0].to_list() == [[], [0], [0, 1]]


def length_of(x: Any) -> Any:
    import tensorflow as tf

    return tf.shape(x)[0]


def test_zip_keeps_pairs_and_prefixes_inner_names() -> None:
    pipe = Pipeline.zip(NUMBERS.map(double), NUMBERS.map(double)).batch(2)
    first = next(build(pipe).as_numpy_iterator())
    assert [part.tolist() for part in first] == [[0, 2], [0, 2]]
    graph = build(pipe)._as_serialized_graph().numpy()
    assert b"in0_map" in graph
    assert b"in1_map" in graph


def test_compared_plans_share_no_files(tmp_path: Path) -> None:
    from pipeline_opt.variants import without_files

    pipe = NUMBERS.cache(tmp_path / "cache").snapshot(tmp_path / "snap").cache(name="memory")
    names = [plan.stage("cache").filename for plan in variants(pipe).values()]  # type: ignore[attr-defined]
    assert names == [str(tmp_path / f"cache.{name}") for name in ("naive", "autotune", "pipelined")]
    assert [stage.name for stage in without_files(pipe).stages] == ["memory"]
    for plan in variants(Pipeline.zip(pipe, NUMBERS.take(2))).values():
        assert len(list(build(plan))) == 2


@pytest.mark.parametrize("meet", [lambda pipe: pipe, lambda pipe: Pipeline.zip(NUMBERS, pipe)], ids=["alone", "zip"])
def test_a_finished_dataset_has_no_naive_form(tf: Any, meet: Any) -> None:
    pipe = meet(Pipeline.from_dataset(tf.data.Dataset.range(4).prefetch(2)).batch(2))
    with pytest.raises(po.UsageError, match="those of a finished dataset are fixed"):
        po.benchmark(pipe, epochs=1)


def test_a_pipeline_that_a_function_returns_has_a_naive_form() -> None:
    pipe = Pipeline.from_dataset(lambda: NUMBERS.map(double)).batch(2)
    assert variants(pipe)["naive"].stage("dataset_map").num_parallel_calls is None  # type: ignore[attr-defined]


def test_stages_that_are_called_like_those_that_variants_add() -> None:
    pipe = NUMBERS.map(double, name="prefetch").map(double, name="options")
    assert [stage.name for stage in naive(pipe).stages] == ["prefetch", "options", "options_2"]
    assert [stage.name for stage in autotune(pipe).stages] == ["prefetch", "options", "prefetch_2"]


def test_naive_fuses_nothing() -> None:
    options = naive(NUMBERS.batch(2).options(map_and_batch_fusion=True, deterministic=False)).stage("options")
    assert isinstance(options, Options)
    assert (options.map_and_batch_fusion, options.default_optimizations, options.deterministic) == (False, False, False)


def test_shuffle_is_seeded_and_snapshot_is_read_back(tmp_path: Path) -> None:
    assert values(NUMBERS.shuffle(6, seed=3)) == values(NUMBERS.shuffle(6, seed=3))
    snapshot = NUMBERS.snapshot(tmp_path / "snap")
    assert values(snapshot) == values(snapshot) == [0, 1, 2, 3, 4, 5]


def test_cache_in_files(tmp_path: Path) -> None:
    cached = NUMBERS.cache(tmp_path / "cache")
    assert values(cached) == values(cached)
    assert list(tmp_path.glob("cache*"))


def test_tfrecords_in_order_and_interleaved(records: Path) -> None:
    in_order = values(Pipeline.from_tfrecords(records))
    assert in_order[:2] == [b"0:0", b"0:1"]
    interleaved = values(Pipeline.from_tfrecords(records).interleave(cycle_length=4))
    assert interleaved[:5] == [b"0:0", b"1:0", b"2:0", b"3:0", b"0:1"]
    assert sorted(interleaved) == sorted(in_order)
    by_file = Pipeline.from_tfrecords(str(records / "*.tfrecord")).shard(4, 2).interleave()
    assert values(by_file)[0] == b"2:0"


def test_images_are_pairs_of_bytes_and_class(images: Path) -> None:
    pairs = list(build(Pipeline.from_images(images)).as_numpy_iterator())
    assert [label for _, label in pairs] == [0] * 6 + [1] * 6
    assert pairs[0][0][:2] == b"\xff\xd8"
    parallel = list(build(Pipeline.from_images(images).interleave(cycle_length=4)).as_numpy_iterator())
    assert [raw for raw, _ in parallel] == [raw for raw, _ in pairs]


def test_text_csv_and_fixed_length(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    (tmp_path / "b.csv").write_text("x,y\n5,6\n")
    assert values(Pipeline.from_csv(tmp_path / "*.csv")) == [b"1,2", b"3,4", b"5,6"]
    assert values(Pipeline.from_csv(tmp_path / "*.csv").interleave(cycle_length=2)) == [b"1,2", b"5,6", b"3,4"]
    assert values(Pipeline.from_text(tmp_path / "b.csv")) == [b"x,y", b"5,6"]
    (tmp_path / "c.bin").write_bytes(b"HEaabbcc")
    assert values(Pipeline.from_fixed_length(tmp_path / "c.bin", 2, header_bytes=2)) == [b"aa", b"bb", b"cc"]


def test_existing_dataset_takes_more_stages(tf: Any) -> None:
    pipe = Pipeline.from_dataset(tf.data.Dataset.range(5)).map(double).batch(5)
    assert values(pipe) == [[0, 2, 4, 6, 8]]


def test_a_function_that_does_not_fit_names_its_stage() -> None:
    with pytest.raises(po.FunctionError, match=r"broken: cannot be built: .*no attribute.*it takes TensorSpec"):
        build(NUMBERS.map(lambda x: x.nothing, name="broken"))


def test_a_batch_of_unequal_shapes_names_its_stage() -> None:
    with pytest.raises(po.PlanError, match="unbatch"):
        build(NUMBERS.unbatch())


def test_without_an_accelerator_batches_stay_on_the_host_as_in_plain_code() -> None:
    pipe = NUMBERS.batch(2).prefetch_to_device()
    with pytest.warns(po.PlanWarning) as warned:
        assert values(pipe)[0] == [0, 1]
    (said,) = (str(warning.message) for warning in warned)
    assert said.startswith("prefetch_to_device: device='/gpu:0' is not on this machine, which has /device:CPU:0")
    assert said.endswith("; batches stay in host memory")
    assert "prefetch_to_device('/gpu:0', 1)" in pipe.to_python()


def test_a_device_that_is_none() -> None:
    with pytest.raises(po.PlanError, match=r"prefetch_to_device: device='fast' is no device; valid: .*CPU:0"):
        build(NUMBERS.batch(2).prefetch_to_device("fast"))


def test_a_device_that_is_not_among_the_accelerators(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [tf.config.LogicalDevice(f"/device:{kind}:0", kind) for kind in ("CPU", "GPU")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda: devices)
    with pytest.raises(po.PlanError, match=r"device='/gpu:7' is not on this machine; valid: .*CPU:0, .*GPU:0"):
        build(NUMBERS.batch(2).prefetch_to_device("/gpu:7"))


def test_purity_and_warming_up_need_no_device() -> None:
    pipe = NUMBERS.map(double).batch(2).prefetch_to_device()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pipe.purities()["map"].kind == "pure"
        warm_up(pipe)


def test_plans_that_do_not_meet_name_the_source() -> None:
    words = Pipeline.from_tensors(["a", "b"])
    with pytest.raises(po.PlanError, match=r"^concatenate: cannot be built: .*it takes TensorSpec.*int.* and .*string"):
        Pipeline.concatenate(NUMBERS, words).build()
    with pytest.raises(po.PlanError, match=r"^sample: cannot be built: .*it takes .* and "):
        Pipeline.sample(NUMBERS, words).build()
    with pytest.raises(po.PlanError, match=r"^in0_padded_batch: cannot be built: "):
        Pipeline.zip(NUMBERS.padded_batch(2, padded_shapes=[3, 4]), words).build()
    with pytest.raises(po.PlanError, match=r"^tensors: cannot be built: "):
        Pipeline.from_tensors(([1, 2], [1])).build()


def test_what_a_factory_may_return() -> None:
    with pytest.raises(po.PlanError, match=r"returned int; valid: a tf.data.Dataset or a Pipeline"):
        build(Pipeline.from_dataset(lambda: 3))
    assert values(Pipeline.from_dataset(lambda: NUMBERS.map(double)).take(2)) == [0, 2]


@given(
    st.lists(
        st.sampled_from(
            ["map", "filter", "shuffle", "cache", "batch_unbatch", "repeat", "prefetch", "take", "parallel"]
        ),
        max_size=6,
    )
)
def test_variants_yield_the_same_elements(kinds: list[str]) -> None:
    # TensorFlow fuses a shuffle with one repeat, and then seeds the epochs of a second repeat in another order.
    assume("shuffle" not in kinds or kinds.count("repeat") < 2)
    steps = {
        "map": lambda p: p.map(double),
        "parallel": lambda p: p.map(double, num_parallel_calls=2),
        "filter": lambda p: p.filter(is_even),
        "shuffle": lambda p: p.shuffle(3, seed=5),
        "cache": lambda p: p.cache(),
        "batch_unbatch": lambda p: p.batch(2, num_parallel_calls=2).unbatch(),
        "repeat": lambda p: p.repeat(2),
        "prefetch": lambda p: p.prefetch(),
        "take": lambda p: p.take(7),
    }
    pipe = NUMBERS
    for kind in kinds:
        pipe = steps[kind](pipe)
    expected = values(pipe)
    assert values(naive(pipe)) == expected
    assert values(autotune(pipe)) == expected
