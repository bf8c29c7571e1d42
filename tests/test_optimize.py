"""`po.optimize` on real pipelines: what it finds, what it proves, and what it leaves alone. No times are asserted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import pipeline_opt as po
from pipeline_opt.optimized import Optimized
from pipeline_opt.stages import Cache, Filter, Map, Shuffle

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]

ROWS, BATCH = 600, 32
FEATURES = {
    **{f"x{n}": tf.io.FixedLenFeature([], tf.float32) for n in range(12)},
    "label": tf.io.FixedLenFeature([], tf.int64),
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("records")
    rng = np.random.default_rng(0)
    for shard in range(3):
        with tf.io.TFRecordWriter(str(folder / f"{shard}.tfrecord")) as writer:
            for row in range(ROWS // 3):
                example = tf.train.Example()
                for name in FEATURES:
                    value = example.features.feature[name]
                    if name == "label":
                        value.int64_list.value.append(row)
                    else:
                        value.float_list.value.append(float(rng.random()))
                writer.write(example.SerializeToString())
    return str(folder)


def parse(record: Any) -> Any:
    return tf.io.parse_single_example(record, FEATURES)


def tabular(folder: str) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{folder}/*.tfrecord", shuffle=False)
    rows = files.interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
    return rows.map(parse, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)


def tuned(dataset: tf.data.Dataset, **wishes: Any) -> Optimized:
    return po.optimize(dataset, **{"budget_s": 4, **wishes})


def fastest(best: Optimized) -> Any:
    """The plan that is predicted to be the fastest: what is tried first, whatever this machine's noise says of it."""
    return best.tuning.search.found[0]


def rules(found: Any) -> set[str]:
    return {step.rule for step in found.steps}


def rows_of(dataset: tf.data.Dataset) -> list[Any]:
    flat = [tf.nest.flatten(batch) for batch in dataset]
    return [[part.numpy().tolist() for part in parts] for parts in flat]


def test_rows_that_are_parsed_one_by_one_are_parsed_by_batches(records: str) -> None:
    given = tabular(records)
    best = tuned(given, budget_s=15)
    assert "vectorise" in rules(fastest(best)), best.explain(declined=True)
    assert rows_of(po.Pipeline.of(fastest(best).plan).build()) == rows_of(given)
    assert rows_of(best.dataset) == rows_of(given)
    assert best.dataset.element_spec == given.element_spec


def test_what_it_says_names_the_changes_what_they_keep_and_the_proof(records: str) -> None:
    best = tuned(tabular(records))
    told = best.explain()
    assert told.startswith(best.tuning.decision.sentence)
    assert ("proof: the same" in told) is best.changed
    numbers = best.summary()
    assert numbers["changed"] is best.changed
    assert set(numbers["trials"]) >= {"given", "autotune"}


def test_a_plan_of_ones_own_is_optimized_too_and_loads_again(records: str, tmp_path: Path) -> None:
    pipe = po.Pipeline.from_tfrecords(records).interleave().map(parse).batch(BATCH).prefetch()
    best = tuned(pipe)
    best.save(tmp_path / "tuned.toml")
    again = po.load(tmp_path / "tuned.toml")
    assert isinstance(again, po.Pipeline)
    assert rows_of(again.build()) == rows_of(best.dataset)


def test_a_filter_asks_before_the_work_that_it_does_not_need() -> None:
    def costly(x: Any) -> Any:
        return x, tf.reduce_sum(tf.random.uniform([20_000]) * tf.cast(x, tf.float32))

    given = tf.data.Dataset.range(400).map(costly).filter(lambda x, _: x % 8 == 0).batch(10)
    found = fastest(tuned(given))
    kinds = [type(stage) for stage in found.plan.stages]
    assert kinds.index(Filter) < kinds.index(Map)
    numbers = [int(x) for batch in po.Pipeline.of(found.plan).build() for x in batch[0]]
    assert numbers == list(range(0, 400, 8))


def reading(folder: str) -> tf.data.Dataset:
    return tf.data.TFRecordDataset([f"{folder}/{shard}.tfrecord" for shard in range(3)])


def test_what_several_epochs_share_is_cached_before_the_shuffle(records: str) -> None:
    given = reading(records).map(parse).shuffle(50).batch(BATCH)
    found = fastest(tuned(given, epochs=5))
    kinds = [type(stage) for stage in found.plan.stages]
    assert Cache in kinds
    assert kinds.index(Cache) < kinds.index(Shuffle)


def noisy(record: Any) -> Any:
    return tf.strings.length(record) + tf.random.uniform([], maxval=9, dtype=tf.int32)


@pytest.mark.parametrize(
    ("make", "wishes"),
    [
        (lambda ds: ds.map(noisy).batch(BATCH), {"epochs": 5}),
        (lambda ds: ds.map(lambda r: tf.py_function(lambda v: v, [r], tf.string)).batch(BATCH), {"epochs": 5}),
    ],
    ids=["random map", "Python with side effects"],
)
def test_nothing_random_or_unknown_is_cached(records: str, make: Any, wishes: dict[str, Any]) -> None:
    best = tuned(make(reading(records)), **wishes)
    for found in best.tuning.search.found:
        stages = list(found.plan.stages)
        cached = [at for at, stage in enumerate(stages) if isinstance(stage, Cache)]
        maps = [at for at, stage in enumerate(stages) if isinstance(stage, Map) and "pure_part" not in stage.forms]
        assert not cached or not maps or cached[0] < min(maps)


def test_a_cache_that_does_not_fit_is_refused(records: str) -> None:
    best = tuned(reading(records).map(parse).batch(BATCH), epochs=5, memory_bytes=1000)
    assert not any(isinstance(stage, Cache) for found in best.tuning.search.found for stage in found.plan.stages)
    assert any("does not fit" in declined.reason for _, declined in best.tuning.search.declined)


@pytest.mark.parametrize(
    "make",
    [
        lambda ds: ds.filter(lambda x: x < 0),
        lambda ds: ds.flat_map(lambda x: tf.data.Dataset.range(x).take(0)),
        lambda ds: ds.unique(),
        lambda ds: ds.take_while(lambda x: x < 0),
        lambda ds: ds.flat_map(lambda x: tf.data.Dataset.from_tensors(x).repeat()).take(7),
        lambda ds: ds.interleave(lambda x: tf.data.Dataset.from_tensors(x).repeat(), cycle_length=2).take(7),
        lambda ds: ds.repeat().shuffle(9).batch(3).take(5),
    ],
    ids=["filter", "flat_map", "unique", "take_while", "endless inside", "endless in turn", "endless"],
)
def test_stages_that_give_nothing_or_never_end_hold_nothing_up(make: Any) -> None:
    given = make(tf.data.Dataset.range(40))
    best = tuned(given, budget_s=2)
    assert len(list(best.dataset)) == len(list(given))


def test_a_dataset_that_cannot_be_read_is_returned_as_it_is() -> None:
    def numbers() -> Any:
        yield from range(100)

    given = tf.data.Dataset.from_generator(numbers, output_signature=tf.TensorSpec((), tf.int64))
    best = tuned(given, budget_s=2)
    assert [x.numpy() for x in best.dataset] == list(range(100))
