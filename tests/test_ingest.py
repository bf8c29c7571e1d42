"""Ops of tf.data as stages of a plan; what is refused, and why; names; live variables and tables; stages inside others."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plan_functions import double, is_even, letters, up_to

from pipeline_opt.build.dataset import build
from pipeline_opt.build.purities import purities
from pipeline_opt.errors import FunctionError, OrderError, PlanError, PlanWarning
from pipeline_opt.functions import Function
from pipeline_opt.ingest import imported
from pipeline_opt.ingest.known import KNOWN
from pipeline_opt.ingest.sites import root
from pipeline_opt.plan import Plan, item_names
from pipeline_opt.sources import Images, OpaqueDataset, TFRecords
from pipeline_opt.stages import (
    Batch,
    FlatMap,
    Interleave,
    Map,
    OpaqueStage,
    PaddedBatch,
    Prefetch,
    PrefetchToDevice,
    Take,
)
from pipeline_opt.storage import resolve
from pipeline_opt.text import fingerprint, plan_text, to_python, to_toml

pytestmark = pytest.mark.tf

Dataset = Any
Make = Callable[[Any], Dataset]


def numbers(tf: Any, count: int = 6) -> Dataset:
    return tf.data.Dataset.range(count)


def built(plan: Plan) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlanWarning)
        return build(plan)


def elements(dataset: Dataset) -> list[Any]:
    return [element.tolist() if hasattr(element, "tolist") else element for element in dataset.as_numpy_iterator()]


def test_what_is_known_of_where_elements_come_from(tf: Any) -> None:
    made = {
        "numbers": (numbers(tf), (True, True)),
        "slices": (tf.data.Dataset.from_tensor_slices([1, 2]).map(double), (True, True)),
        "drawn": (tf.data.Dataset.random(seed=1).take(2), (False, True)),
        "generated": (tf.data.Dataset.from_generator(lambda: iter([1]), tf.int32), (False, False)),
    }
    for name, (dataset, expected) in made.items():
        source = imported(dataset).source
        assert isinstance(source, OpaqueDataset)
        assert (source.constant, source.knobless) == expected, name


def last_line(plan: Plan) -> str:
    return plan_text(plan).splitlines()[-1]


def rows(tf: Any) -> Dataset:
    return numbers(tf).map(lambda x: (tf.range(x), x))


def with_options(tf: Any) -> Dataset:
    options = tf.data.Options()
    options.deterministic = False
    options.threading.private_threadpool_size = 3
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return numbers(tf).with_options(options)


OPS: dict[str, tuple[Make, str]] = {
    "map": (
        lambda tf: numbers(tf).map(double),
        "double (map) function=plan_functions:double num_parallel_calls=sequential",
    ),
    "parallel map": (
        lambda tf: numbers(tf).map(double, num_parallel_calls=3, deterministic=False),
        "double (map) function=plan_functions:double num_parallel_calls=3 deterministic=False",
    ),
    "autotuned map": (
        lambda tf: numbers(tf).map(double, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True),
        "double (map) function=plan_functions:double num_parallel_calls=AUTO deterministic=True",
    ),
    "filter": (lambda tf: numbers(tf).filter(is_even), "is_even (filter) predicate=plan_functions:is_even"),
    "flat_map": (lambda tf: numbers(tf).flat_map(up_to), "up_to (flat_map) map_func=plan_functions:up_to"),
    "interleave": (
        lambda tf: numbers(tf).interleave(up_to, 3, 2),
        "up_to (interleave) map_func=plan_functions:up_to cycle_length=3 block_length=2 num_parallel_calls=sequential",
    ),
    "parallel interleave": (
        lambda tf: numbers(tf).interleave(up_to, 3, num_parallel_calls=2, deterministic=True),
        "up_to (interleave) map_func=plan_functions:up_to cycle_length=3 num_parallel_calls=2 deterministic=True",
    ),
    "autotuned interleave": (
        lambda tf: numbers(tf).interleave(up_to, 3, num_parallel_calls=tf.data.AUTOTUNE),
        "up_to (interleave) map_func=plan_functions:up_to cycle_length=3 num_parallel_calls=AUTO",
    ),
    "cache": (lambda tf: numbers(tf).cache(), "cache"),
    "cache in files": (lambda tf: numbers(tf).cache("kept"), "cache filename='kept'"),
    "shuffle": (lambda tf: numbers(tf).shuffle(4), "shuffle buffer_size=4"),
    "seeded shuffle": (
        lambda tf: numbers(tf).shuffle(4, seed=7, reshuffle_each_iteration=False),
        "shuffle buffer_size=4 seed=7 reshuffle_each_iteration=False",
    ),
    "repeat": (lambda tf: numbers(tf).repeat(3), "repeat count=3"),
    "endless repeat": (lambda tf: numbers(tf).repeat(), "repeat"),
    "take": (lambda tf: numbers(tf).take(2), "take count=2"),
    "skip": (lambda tf: numbers(tf).skip(2), "skip count=2"),
    "shard": (lambda tf: numbers(tf).shard(3, 1), "shard num_shards=3 index=1"),
    "batch": (lambda tf: numbers(tf).batch(4), "batch batch_size=4 num_parallel_calls=sequential"),
    "whole batches": (
        lambda tf: numbers(tf).batch(4, drop_remainder=True, num_parallel_calls=2, deterministic=False),
        "batch batch_size=4 drop_remainder=True num_parallel_calls=2 deterministic=False",
    ),
    "unbatch": (lambda tf: numbers(tf).batch(4).unbatch(), "unbatch"),
    "rebatch": (lambda tf: numbers(tf).batch(4).rebatch(3, True), "rebatch batch_size=3 drop_remainder=True"),
    "prefetch": (lambda tf: numbers(tf).prefetch(5), "prefetch buffer_size=5"),
    "autotuned prefetch": (lambda tf: numbers(tf).prefetch(tf.data.AUTOTUNE), "prefetch buffer_size=AUTO"),
    "options": (
        with_options,
        "options private_threadpool_size=3 deterministic=False "
        "others=[('experimental_distribute.auto_shard_policy', 'AutoShardPolicy.OFF')]",
    ),
}


@pytest.mark.parametrize("case", OPS)
def test_an_op_is_a_stage_with_its_arguments(tf: Any, case: str) -> None:
    make, expected = OPS[case]
    dataset = make(tf)
    plan = imported(dataset)
    assert last_line(plan) == expected
    # Built from functions that are traced already, the second plan does not know where they can be imported.
    assert last_line(imported(built(plan))) == expected.replace("plan_functions:", "")


def test_every_op_that_is_known_is_tested(tf: Any) -> None:
    assert {root(make(tf)).op for make, _ in OPS.values()} | {"PaddedBatchDataset"} == set(KNOWN)


def test_a_padded_batch_keeps_shapes_and_values(tf: Any) -> None:
    dataset = rows(tf).padded_batch(4, ([7], []), (tf.constant(-1, tf.int64), tf.constant(9, tf.int64)), True)
    (_, stage) = imported(dataset).stages
    assert (stage.batch_size, stage.drop_remainder) == (4, True)
    assert [shape.as_list() for shape in stage.padded_shapes] == [[7], []]
    assert [int(value) for value in stage.padding_values] == [-1, 9]
    (first,) = built(imported(dataset))
    assert first[0][1].numpy().tolist() == [0, -1, -1, -1, -1, -1, -1]


def test_vectors_that_a_function_makes_of_records_are_cut_into_rows(tf: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two\n\nthree four five\n")
    lines = tf.data.TextLineDataset([str(tmp_path / "a.txt")])
    words = lines.map(lambda line: (tf.strings.split(line), tf.strings.length(tf.strings.split(line))))
    dataset = words.unbatch().batch(2, drop_remainder=True)
    plan = imported(dataset)
    assert [stage.kind for stage in plan.stages] == ["map", "unbatch", "batch"]
    again = built(plan)
    assert again.element_spec == dataset.element_spec
    found = [[part.tolist() for part in batch] for batch in again.as_numpy_iterator()]
    assert found == [[[b"one", b"two"], [3, 3]], [[b"three", b"four"], [5, 4]]]
    # Letters of a word are no rows of one length.
    letters_of = lines.map(lambda line: tf.strings.unicode_split(tf.strings.split(line), "UTF-8")).unbatch()
    assert isinstance(imported(letters_of).stages[-1], OpaqueStage)


# ---- what a plan has no words for -----------------------------------------------------------------------------------


def test_an_unknown_op_is_carried_along(tf: Any) -> None:
    plan = imported(numbers(tf).scan(tf.constant(0, tf.int64), lambda s, x: (s + x, s)).batch(2))
    assert [(stage.name, stage.kind) for stage in plan.stages] == [("scan", "opaque"), ("batch", "batch")]
    assert elements(built(plan)) == [[0, 0], [1, 3], [6, 10]]


def test_an_unknown_op_passes_options_on(tf: Any) -> None:
    dataset = with_options(tf).unique()
    assert built(imported(dataset)).options() == dataset.options()


@pytest.mark.parametrize(
    "make",
    [
        lambda tf: numbers(tf).map(double, num_parallel_calls=2, use_unbounded_threadpool=True),
        lambda tf: numbers(tf).apply(tf.data.experimental.parallel_interleave(up_to, 2)),
        lambda tf: numbers(tf).batch(2).apply(lambda d: d.map(lambda x: tf.sparse.from_dense(x))).unbatch(),
        lambda tf: numbers(tf).map(lambda x: tf.range(x)).ragged_batch(2).unbatch(),
    ],
)
def test_what_was_told_an_op_that_its_stage_cannot_say_makes_it_opaque(tf: Any, make: Make) -> None:
    try:
        dataset = make(tf)
    except TypeError:
        pytest.skip("this version of TensorFlow has no such argument")
    assert any(isinstance(stage, OpaqueStage) for stage in imported(dataset).stages)


def source_reason(plan: Plan) -> str:
    assert isinstance(plan.source, OpaqueDataset)
    return plan.source.reason


def test_a_generator_is_a_source(tf: Any) -> None:
    def three() -> Iterator[int]:
        yield from range(3)

    plan = imported(tf.data.Dataset.from_generator(three, output_signature=tf.TensorSpec((), tf.int64)).map(double))
    assert source_reason(plan) == "its elements come from a Python generator"
    assert elements(built(plan)) == [0, 2, 4]


def test_sparse_tensors_in_memory_are_a_source(tf: Any) -> None:
    rows = tf.sparse.from_dense([[0, 1], [2, 0]])
    plan = imported(graph_only(tf.data.Dataset.from_tensor_slices(rows).map(tf.sparse.to_dense)))
    assert [stage.kind for stage in plan.stages] == ["map"]
    assert elements(built(plan)) == [[0, 1], [2, 0]]


def test_what_cannot_be_serialized_is_a_source_as_a_whole(tf: Any) -> None:
    dataset = numbers(tf).apply(tf.data.experimental.copy_to_device("/cpu:0"))
    plan = imported(dataset)
    assert source_reason(plan).startswith("the dataset cannot be serialized: ")
    assert "does not support serialization" in source_reason(plan)
    assert plan.source.dataset is dataset


def test_more_constants_than_a_graph_holds(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large() -> Any:
        raise tf.errors.InvalidArgumentError(None, None, "Failed to serialize: exceeds maximum protobuf size of 2GB")

    dataset = numbers(tf)
    monkeypatch.setattr(dataset, "_as_serialized_graph", too_large)
    assert source_reason(imported(dataset)).endswith("exceeds maximum protobuf size of 2GB")


def test_a_shuffle_under_another_global_seed(tf: Any, seeded: None) -> None:
    dataset = numbers(tf).shuffle(6).map(double)
    assert [stage.kind for stage in imported(dataset).stages] == ["shuffle", "map"]
    tf.random.set_seed(2)
    plan = imported(dataset)
    assert [stage.kind for stage in plan.stages] == ["map"]
    assert "holds a seed" in source_reason(plan)


def graph_only(dataset: Dataset) -> Dataset:
    from tensorflow.python.data.ops import dataset_ops

    return dataset_ops._VariantDataset(dataset._variant_tensor, dataset.element_spec)


def test_a_variable_of_which_only_the_graph_knows(tf: Any) -> None:
    offset = tf.Variable(1, dtype=tf.int64)
    dataset = graph_only(numbers(tf, 2).map(lambda x: x + offset).batch(2))
    plan = imported(dataset)
    assert source_reason(plan) == "MapDataset uses what the program can change (VarHandleOp)"
    offset.assign(5)
    assert elements(built(plan)) == [[5, 6]]


def test_a_seed_of_which_only_the_graph_knows(tf: Any) -> None:
    shuffled = numbers(tf).apply(tf.data.experimental.shuffle_and_repeat(6, 2, seed=3))
    assert "holds a seed" in source_reason(imported(graph_only(shuffled).batch(2)))


# ---- live things ----------------------------------------------------------------------------------------------------


def table_of(tf: Any) -> Any:
    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)
    table.insert(tf.range(9, dtype=tf.int64), tf.range(9, dtype=tf.int64) * 10)
    return table


LIVE: dict[str, Callable[[Any, Any], Dataset]] = {
    "map": lambda tf, v: numbers(tf).map(lambda x: x * v),
    "filter": lambda tf, v: numbers(tf).filter(lambda x: x >= v),
    "an unknown op": lambda tf, v: numbers(tf).take_while(lambda x: x < v),
    "inside an interleave": lambda tf, v: numbers(tf).interleave(lambda x: up_to(x).map(lambda y: y * v)),
    "inside and behind": lambda tf, v: numbers(tf).flat_map(lambda x: up_to(x).filter(lambda y: y < v).batch(2)),
}


@pytest.mark.parametrize("case", LIVE)
def test_a_variable_is_shared(tf: Any, case: str) -> None:
    variable = tf.Variable(2, dtype=tf.int64)
    dataset = LIVE[case](tf, variable)
    plan = imported(dataset)
    again = built(plan)
    before = elements(again)
    assert before == elements(dataset)
    variable.assign(3)
    assert elements(again) == elements(dataset) != before
    assert elements(built(plan)) == elements(again)


def test_a_table_is_shared_and_lives_on(tf: Any) -> None:
    table = table_of(tf)
    dataset = numbers(tf, 3).map(table.lookup)
    again = built(imported(dataset))
    del dataset
    gc.collect()
    table.insert(tf.constant(1, tf.int64), tf.constant(77, tf.int64))
    assert elements(again) == [0, 77, 20]


# ---- names ----------------------------------------------------------------------------------------------------------


def _hidden(x: Any) -> Any:
    return x + 1


def test_names_are_the_users(tf: Any) -> None:
    dataset = (
        numbers(tf).map(double).map(double).map(_hidden).map(lambda x: x).map(is_even, name="mine").batch(2).batch(2)
    )
    names = [stage.name for stage in imported(dataset).stages]
    assert names == ["double", "double_2", "hidden", "map", "mine", "batch", "batch_2"]


def test_a_lambda_is_named_after_its_place(tf: Any) -> None:
    plan = imported(numbers(tf).map(lambda x: x))
    assert "function=lambda at test_ingest.py:" in last_line(plan)


def test_an_object_is_named_after_its_class(tf: Any) -> None:
    plan = imported(numbers(tf).map(lambda x: tf.cast(x, tf.float32)).map(tf.keras.layers.Rescaling(0.5)))
    assert plan.stages[-1].name.startswith("Rescaling")


# ---- files and stages inside ----------------------------------------------------------------------------------------


def upper(line: Any) -> Any:
    import tensorflow as tf

    return tf.strings.upper(line)


def is_long(line: Any) -> Any:
    import tensorflow as tf

    return tf.strings.length(line) > 2


def read(path: Any) -> Dataset:
    import tensorflow as tf

    return tf.data.TFRecordDataset(path).map(upper, num_parallel_calls=2).filter(is_long).batch(3)


def paths(tf: Any, folder: Path) -> Dataset:
    return tf.data.Dataset.list_files(str(folder / "*.tfrecord"), shuffle=False)


def stages_text(plan: Plan) -> list[str]:
    return plan_text(plan).splitlines()[1:]


def test_files_that_are_read_are_a_source(tf: Any, records: Path) -> None:
    dataset = paths(tf, records).shuffle(4, seed=1).interleave(tf.data.TFRecordDataset, 2, num_parallel_calls=2)
    plan = imported(dataset)
    assert isinstance(plan.source, TFRecords)
    assert len(plan.source.paths) == 4
    assert stages_text(plan) == ["shuffle buffer_size=4 seed=1", "interleave cycle_length=2 num_parallel_calls=2"]
    assert elements(built(plan)) == elements(dataset)


def test_stages_inside_an_interleave_are_told_apart(tf: Any, records: Path) -> None:
    dataset = paths(tf, records).interleave(read, 2, 4)
    plan = imported(dataset)
    assert stages_text(plan) == [
        "read (interleave) cycle_length=2 block_length=4 num_parallel_calls=sequential",
        "  - upper (map) function=upper num_parallel_calls=2",
        "    is_long (filter) predicate=is_long",
        "    batch batch_size=3 num_parallel_calls=sequential",
    ]
    assert elements(built(plan)) == elements(dataset)


def test_a_stage_can_be_moved_out_of_an_interleave(tf: Any, records: Path) -> None:
    dataset = paths(tf, records).interleave(lambda path: tf.data.TFRecordDataset(path).map(upper), 2, 3)
    plan = imported(dataset)
    (reading,) = plan.stages
    assert isinstance(reading, Interleave)
    moved = plan.replace("interleave", inner=()).append(*reading.inner)
    assert stages_text(moved)[1:] == ["upper (map) function=upper num_parallel_calls=sequential"]
    assert elements(built(moved)) == elements(dataset)


@pytest.mark.parametrize("how", ["flat_map", "interleave"])
def test_stages_that_need_the_element_stay_in_the_function(tf: Any, how: str) -> None:
    def counted(x: Any) -> Dataset:
        return tf.data.Dataset.range(x).map(lambda y: y + x).map(double).skip(1)

    dataset = getattr(numbers(tf), how)(counted)
    plan = imported(dataset)
    (stage,) = plan.stages
    assert [inner.kind for inner in stage.inner] == ["map", "skip"]
    assert elements(built(plan)) == elements(dataset)


def fills_a_table(tf: Any, x: Any) -> Dataset:
    keys = tf.lookup.KeyValueTensorInitializer([1, 2], [3, 4])
    table = tf.lookup.StaticHashTable(keys, 0)
    return tf.data.Dataset.range(4).map(lambda y: table.lookup(tf.cast(y, tf.int32)))


WHOLE: dict[str, Callable[[Any, Any], Dataset]] = {
    "a table that the function fills": fills_a_table,
    "a random number": lambda tf, x: tf.data.Dataset.range(3).take(tf.random.uniform((), 1, 2, tf.int64)).map(double),
    "Python": lambda tf, x: tf.data.Dataset.range(3).map(lambda y: tf.numpy_function(double, [y], tf.int64)),
}


@pytest.mark.parametrize("case", WHOLE)
def test_functions_that_do_more_are_left_whole(tf: Any, case: str) -> None:
    dataset = numbers(tf).interleave(lambda x: WHOLE[case](tf, x), 2)
    plan = imported(dataset)
    (stage,) = plan.stages
    assert stage.inner == ()
    assert elements(built(plan)) == elements(dataset)


def test_names_of_stages_inside_are_their_own_in_the_plan(tf: Any) -> None:
    dataset = numbers(tf).map(double).flat_map(lambda x: up_to(x).map(double)).map(double)
    plan = imported(dataset)
    assert [line.split()[1 if line.startswith("  -") else 0] for line in stages_text(plan)] == [
        "double",
        "flat_map",
        "double_2",
        "double_3",
    ]
    assert elements(built(plan)) == elements(dataset)


def test_a_header_is_left_out_by_the_source(tf: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("head\nab\nc\n")
    names = tf.data.Dataset.from_tensor_slices([str(tmp_path / "a.csv")])
    plan = imported(
        names.flat_map(lambda path: tf.data.TextLineDataset(path).skip(1)).flat_map(
            lambda line: tf.data.Dataset.from_tensor_slices(letters(line))
        )
    )
    assert plan.source.kind == "csv"
    assert elements(built(plan)) == [b"a", b"b", b"c"]


def test_functions_without_a_module_have_no_reference(tf: Any) -> None:
    (stage,) = imported(numbers(tf).map(lambda x: x)).stages
    assert isinstance(stage, Map)
    assert stage.function.ref is None
    (stage,) = imported(numbers(tf).map(double)).stages
    assert isinstance(stage, Map)
    assert stage.function.ref == "plan_functions:double"


# ---- plans with stages inside a stage, by hand ----------------------------------------------------------------------


def nested(tf: Any, *inner: Any) -> Plan:
    source = OpaqueDataset(dataset=numbers(tf))
    return Plan(source, (FlatMap(map_func=Function.of(up_to), inner=inner), Prefetch(buffer_size=1)))


def test_stages_inside_get_names_and_are_built(tf: Any) -> None:
    plan = nested(tf, Map(function=Function.of(double), num_parallel_calls=None), Take(count=2))
    assert list(item_names(plan)) == ["dataset", "map", "take", "flat_map", "prefetch"]
    assert elements(built(plan)) == [0, 0, 2, 0, 2, 0, 2, 0, 2]
    assert sorted(purities(plan)) == ["flat_map", "map"]


def test_names_of_stages_inside_may_not_stand_twice(tf: Any) -> None:
    with pytest.raises(PlanError, match="the name 'prefetch' stands twice"):
        nested(tf, Take(count=2, name="prefetch")).append(Prefetch(name="prefetch"))


def test_an_error_inside_names_its_stage(tf: Any) -> None:
    def fails(x: Any) -> Any:
        raise ValueError("no such thing")

    with pytest.raises(FunctionError, match=r"bad: cannot be built: .*no such thing"):
        built(nested(tf, Map(name="bad", function=Function.of(fails))))


def test_a_stage_that_cannot_stand_inside_is_refused(tf: Any) -> None:
    inside = (Batch(batch_size=2), Map(function=Function.of(double), batched=False, name="single"))
    with pytest.raises(OrderError, match="inside flat_map: single works on single elements"):
        built(nested(tf, *inside))
    with pytest.raises(OrderError, match="nothing can be handed to the accelerator"):
        built(nested(tf, PrefetchToDevice()))


def test_batches_made_inside_are_batches_behind(tf: Any) -> None:
    plan = nested(tf, Batch(batch_size=2)).append(PaddedBatch(batch_size=2))
    with pytest.raises(OrderError, match="padded_batch needs single elements"):
        built(plan)


def test_stages_inside_cannot_be_written(tf: Any, records: Path) -> None:
    plan = Plan(TFRecords(paths=(str(records),)), (Interleave(inner=(Take(count=1),)),))
    for write in (to_toml, lambda plan: to_python(plan, resolve)):
        with pytest.raises(PlanError, match="interleave: the stages inside it cannot be written"):
            write(plan)


def test_images_have_no_stages_inside(images: Path) -> None:
    plan = Plan(Images(paths=(str(images),)), (Interleave(inner=(Take(count=1),)),))
    with pytest.raises(PlanError, match="an image file holds one element"):
        built(plan)


def test_a_fingerprint_knows_what_is_inside(tf: Any) -> None:
    plain, other = (Plan(TFRecords(paths=("a",)), (Interleave(inner=inner),)) for inner in ((), (Take(count=1),)))
    assert fingerprint(plain) != fingerprint(other)
