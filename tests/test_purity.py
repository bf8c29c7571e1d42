"""What a traced function is found to be."""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline_opt.build.purity import calls_python, purity, random_ops
from pipeline_opt.build.traced import traced
from pipeline_opt.build.transforms import decode_image, parse_csv, parse_example, split_and_hash
from pipeline_opt.functions import Function

pytestmark = pytest.mark.tf

FLOAT = tf.TensorSpec((), tf.float32)
TEXT = tf.TensorSpec((), tf.string)


def static_table() -> Any:
    entries = tf.lookup.KeyValueTensorInitializer(tf.constant(["a"]), tf.constant([1], tf.int64))
    return tf.lookup.StaticHashTable(entries, -1)


def stateless(x: Any) -> Any:
    return x + tf.random.stateless_uniform((), seed=(1, 2))


def branching(x: Any) -> Any:
    if x > 0:
        for _ in tf.range(3):
            x *= 2.0
    tf.debugging.assert_greater(x, -1.0)
    return x


def inner_dataset(x: Any) -> Any:
    return tf.data.Dataset.from_tensors(x).repeat(2).map(lambda y: y + 1.0)


def text_of_tables() -> Callable[[Any], Any]:
    table = static_table()
    words = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(["a"]), tf.constant([0], tf.int64)), 3
    )
    return lambda x: (table.lookup(x), words.lookup(x))


PURE: dict[str, tuple[Callable[..., Any], Any, str]] = {
    "arithmetic": (lambda x: x * 2.0, FLOAT, "none of its"),
    "several arguments": (lambda x, y: (x, y), (FLOAT, TEXT), "none of its"),
    "dictionary": (lambda row: row["a"], {"a": FLOAT}, "none of its"),
    "ragged": (lambda x: x.to_tensor(), tf.RaggedTensorSpec((None, None), tf.float32), "none of its"),
    "autograph": (branching, FLOAT, "none of its"),
    "stateless with a fixed seed": (stateless, FLOAT, "none of its"),
    "partial": (functools.partial(lambda x, factor: x * factor, factor=2.0), FLOAT, "none of its"),
    "tf.function": (tf.function(branching), FLOAT, "none of its"),
    "file": (lambda p: tf.io.read_file(p), TEXT, "it reads files (ReadFile)"),
    "immutable tables": (text_of_tables(), TEXT, "its lookup tables cannot change"),
    "dataset": (inner_dataset, FLOAT, "none of its"),
    "tensor array": (lambda x: tf.map_fn(lambda y: y * 2.0, x), tf.TensorSpec((None,), tf.float32), "none of its"),
}


@pytest.mark.parametrize("case", PURE)
def test_pure(case: str) -> None:
    function, spec, evidence = PURE[case]
    found = purity(function, spec)
    assert found.kind == "pure", found.evidence
    assert evidence in found.evidence


@pytest.mark.parametrize(
    ("function", "spec"),
    [
        (decode_image, (TEXT, tf.TensorSpec((), tf.int64))),
        (functools.partial(parse_example, schema={"a": "int64 at_most 2", "i": "image exactly 1"}), TEXT),
        (split_and_hash, TEXT),
        (functools.partial(parse_csv, columns=["a"], types=["float32?"]), TEXT),
    ],
)
def test_default_transforms_are_pure(function: Callable[..., Any], spec: Any) -> None:
    assert purity(function, spec).kind == "pure"


def nested_random(x: Any) -> Any:
    return tf.cond(x > 0, lambda: tf.random.uniform(()), lambda: x)


def seeded_by_random(x: Any) -> Any:
    seed = tf.random.uniform((2,), maxval=9, dtype=tf.int32)
    return x + tf.random.stateless_uniform((), seed=seed)


def with_generator() -> Callable[[Any], Any]:
    generator = tf.random.Generator.from_seed(1)
    return lambda x: x + generator.uniform(())


def with_keras_layer() -> Callable[[Any], Any]:
    layer = tf.keras.layers.Dropout(0.5)
    return lambda x: layer(x, training=True)


RANDOM: dict[str, tuple[Callable[..., Any], str]] = {
    "uniform": (lambda x: x + tf.random.uniform(()), "RandomUniform"),
    "with a seed": (lambda x: x + tf.random.uniform((), seed=3), "RandomUniform"),
    "in a branch": (nested_random, "RandomUniform"),
    "in a tf.function": (tf.function(nested_random), "RandomUniform"),
    "seed of a stateless op": (seeded_by_random, "RandomUniformInt"),
    "generator": (with_generator(), "RngReadAndSkip"),
    "keras layer": (with_keras_layer(), "seed comes from a variable"),
    "flip": (lambda x: tf.image.random_flip_left_right(tf.fill((4, 4, 3), x)), "RandomUniform"),
    "shuffled dataset": (lambda x: inner_dataset(x).shuffle(3), "ShuffleDataset"),
}


@pytest.mark.parametrize("case", RANDOM)
def test_random(case: str) -> None:
    function, evidence = RANDOM[case]
    found = purity(function, FLOAT)
    assert found.kind == "random", found.evidence
    assert evidence in found.evidence


def variable() -> Callable[[Any], Any]:
    weight = tf.Variable(1.0)
    return lambda x: x * weight


def counter() -> Callable[[Any], Any]:
    count = tf.Variable(0.0)
    return lambda x: x + count.assign_add(1.0)


def mutable(make: Callable[[], Any]) -> Callable[[Any], Any]:
    table, fixed = make(), static_table()
    return lambda x: (fixed.lookup(tf.strings.as_string(x)), table.lookup(tf.strings.as_string(x)))


def plain_table() -> Any:
    return tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)


def table_of_vectors() -> Any:
    return tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, tf.zeros([2]))


def printing(x: Any) -> Any:
    tf.print("seen", x)
    return x


def generator_dataset(x: Any) -> Any:
    return tf.data.Dataset.from_generator(lambda: iter([1.0]), output_signature=FLOAT).map(lambda y: x + y)


def writing(x: Any) -> Any:
    tf.io.write_file("/nowhere/x", tf.strings.as_string(x))
    return x


UNKNOWN: dict[str, tuple[Callable[..., Any], str]] = {
    "py_function": (lambda x: tf.py_function(lambda y: y, [x], tf.float32), "EagerPyFunc"),
    "numpy_function": (lambda x: tf.numpy_function(lambda y: y, [x], tf.float32), "PyFunc"),
    "numpy_function called pure": (
        lambda x: tf.numpy_function(lambda y: y, [x], tf.float32, stateful=False),
        "PyFuncStateless",
    ),
    "variable": (variable(), "variable (ReadVariableOp"),
    "counter": (counter(), "variable (AssignAddVariableOp"),
    "mutable table": (mutable(plain_table), "table that can change"),
    "mutable table of vectors": (mutable(table_of_vectors), "table that can change"),
    "print": (printing, "PrintV2"),
    "generator": (generator_dataset, "PyFunc"),
    "write": (writing, "WriteFile"),
    "clock": (lambda x: tf.timestamp(), "Timestamp"),
    "error": (lambda x: x.no_such_thing, "cannot be traced: AttributeError"),
    "wrong arguments": (lambda: 1, "cannot be traced: TypeError"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_unknown(case: str) -> None:
    function, evidence = UNKNOWN[case]
    found = purity(function, FLOAT)
    assert found.kind == "unknown", found.evidence
    assert evidence in found.evidence


def test_looking_leaves_a_mutable_table_as_it_was() -> None:
    table = plain_table()
    table.insert("a", 1)
    purity(mutable(lambda: table), FLOAT)
    assert table.size() == 1


RANDOMNESS = np.random.default_rng(0)


def draw() -> float:
    return random.random()


class Drawer:
    def __call__(self, x: Any) -> Any:
        return x + random.choice([1.0, 2.0])


def closed_over() -> Callable[[Any], Any]:
    rng = random.Random(1)
    return lambda x: x + rng.random()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x + random.random(), "random"),
        (lambda x: x + np.random.rand(), "np.random"),
        (lambda x: x + RANDOMNESS.random(), "RANDOMNESS"),
        (lambda x: x + draw(), "random"),
        (Drawer(), "random"),
        (closed_over(), "rng"),
        (functools.partial(lambda x, n: x + random.randint(0, n), n=3), "random"),
    ],
)
def test_python_randomness_is_frozen_by_tracing(function: Callable[..., Any], name: str) -> None:
    found = purity(function, FLOAT)
    assert found.kind == "pure"
    assert f"{name} is called while tracing" in found.evidence


def test_python_randomness_inside_python_is_not_frozen() -> None:
    found = purity(lambda x: tf.py_function(lambda: random.random(), [], tf.float32), FLOAT)
    assert found.kind == "unknown"
    assert "its Python code draws random numbers (random)" in found.evidence


def test_other_things_called_random_are_no_python_randomness() -> None:
    assert "random" not in purity(lambda x: x + tf.random.stateless_uniform((), (1, 2)), FLOAT).evidence


def test_tracing_says_nothing_and_leaves_the_seeds_alone(seeded: None, capfd: pytest.CaptureFixture[str]) -> None:
    def noisy(x: Any) -> Any:
        print("tracing")
        warnings.warn("tracing", UserWarning, stacklevel=1)
        return x + tf.random.uniform(())

    def drawn() -> list[float]:
        values = tf.data.Dataset.range(2).map(lambda _: tf.random.uniform(())).as_numpy_iterator()
        return [float(tf.random.uniform(())), *map(float, values)]

    expected = drawn()
    tf.random.set_seed(1)
    capfd.readouterr()
    assert purity(noisy, FLOAT).kind == "random"
    source = eval("lambda x: x if x > 0 else -x")  # AutoGraph cannot read its source, and warns of it
    purity(source, FLOAT)
    assert capfd.readouterr() == ("", "")
    assert drawn() == expected


def test_function_by_reference() -> None:
    assert purity(Function.of("pipeline_opt.build.transforms:split_and_hash", max_tokens=4), TEXT).kind == "pure"


def test_ops_that_draw_are_named_also_where_a_function_that_they_call_draws() -> None:
    weight = tf.Variable(1.0)
    inner = tf.function(lambda x: tf.random.uniform(()) + x)

    def function(x: Any) -> Any:
        drawn = tf.random.uniform((), name="drawn")
        branch = tf.cond(x > 0.0, lambda: inner(x), lambda: x)
        called = tf.function(lambda y: tf.square(y), autograph=False)(x)
        python = tf.numpy_function(lambda y: y, [x], tf.float32)
        return drawn, branch, called, python, x * weight

    graph = traced(function, FLOAT).concrete.graph
    kinds = {graph.get_operation_by_name(name).type for name in random_ops(graph)}
    # What reads a variable may be what a generator draws with.
    assert kinds == {"RandomUniform", "If", "PyFunc", "ReadVariableOp"}
    assert calls_python(graph.as_graph_def())
    assert not calls_python(traced(stateless, FLOAT).graph_def)
