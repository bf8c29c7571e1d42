"""What the maps and filters of recipes do, written as users write such functions: on an element of any structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tensorflow as tf

Change = Callable[[Any], Any]
"""From one dense component of an element to another of its type and shape."""


@dataclass(frozen=True)
class Kind:
    """A function that changes the components of an element one by one.

    Args:
        make: Makes the function anew, with variables and tables of its own.
        random: Whether two runs of the same pipeline give different values.
        stateful: Whether it depends on the order in which elements reach it.
        carries: Whether what it did in one epoch shows in the next.
        python: Whether it calls Python while the pipeline runs.
        changes: Whether it uses what the program can change, a variable say.
    """

    make: Callable[[], Change]
    random: bool = False
    stateful: bool = False
    carries: bool = False
    python: bool = False
    changes: bool = False


def is_number(tensor: Any) -> bool:
    return bool(tensor.dtype.is_integer or tensor.dtype.is_floating)


def _numbers(change: Change) -> Change:
    """A function of numbers; other components stay as they are."""
    return lambda tensor: change(tensor) if is_number(tensor) else tensor


def _pure() -> Change:
    def double(tensor: Any) -> Any:
        if tensor.dtype == tf.string:
            return tf.strings.join([tensor, "+"])
        return tf.logical_not(tensor) if tensor.dtype == tf.bool else tensor * 2

    return double


def _whole(tensor: Any) -> Any:
    """Whole numbers of 0 to 4 made of any, as keys of tables say."""
    return tf.cast(tf.cast(tensor, tf.float64), tf.int64) % 5


def _seeded() -> Change:
    return _numbers(lambda t: t + tf.cast(tf.random.uniform(tf.shape(t), 0, 9, tf.int32, seed=7), t.dtype))


def _unseeded() -> Change:
    return _numbers(lambda t: t + tf.cast(tf.random.uniform(tf.shape(t), 0, 9, tf.int32), t.dtype))


def _stateless() -> Change:
    def add(tensor: Any) -> Any:
        seed = tf.stack([tf.cast(tf.size(tensor), tf.int64), 3])
        return tensor + tf.cast(tf.random.stateless_uniform(tf.shape(tensor), seed, 0, 9, tf.int32), tensor.dtype)

    return _numbers(add)


def _generator() -> Change:
    drawn = tf.random.Generator.from_seed(11)
    return _numbers(lambda t: t + tf.cast(drawn.uniform(tf.shape(t), 0, 9, tf.int32), t.dtype))


def _table() -> Change:
    keys = tf.range(5, dtype=tf.int64)
    numbers = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, keys * 3 + 1), -1)
    letters = tf.constant(["a", "b", "c"])
    words = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(letters, tf.range(3, dtype=tf.int64)), 2
    )

    def look_up(tensor: Any) -> Any:
        if tensor.dtype == tf.string:
            return tf.strings.as_string(words.lookup(tensor))
        return tf.cast(numbers.lookup(_whole(tensor)), tensor.dtype) if is_number(tensor) else tensor

    return look_up


def _mutable_table() -> Change:
    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)
    table.insert(tf.range(4, dtype=tf.int64), tf.range(4, dtype=tf.int64) + 2)
    return _numbers(lambda t: tf.cast(tf.ensure_shape(table.lookup(_whole(t)), t.shape), t.dtype))


def _variable() -> Change:
    offset = tf.Variable(3.0)
    return _numbers(lambda t: t + tf.cast(offset, t.dtype))


def _counting() -> Change:
    count = tf.Variable(0, dtype=tf.int64)
    return _numbers(lambda t: t + tf.cast(count.assign_add(1) % 7, t.dtype))


def _captured() -> Change:
    numbers = tf.constant(np.arange(40) % 7)
    return _numbers(lambda t: t + tf.cast(tf.gather(numbers, _whole(t)), t.dtype))


def _py_function() -> Change:
    def call(tensor: Any) -> Any:
        return tf.ensure_shape(tf.py_function(lambda a: a + 1, [tensor], tensor.dtype), tensor.shape)

    return _numbers(call)


def _numpy_function() -> Change:
    def call(tensor: Any) -> Any:
        made = tf.numpy_function(lambda a: np.asarray(a + 2, a.dtype), [tensor], tensor.dtype)
        return tf.ensure_shape(made, tensor.shape)

    return _numbers(call)


def _conditional() -> Change:
    def change(tensor: Any) -> Any:
        return tf.cond(tf.reduce_sum(_whole(tensor)) % 2 == 0, lambda: tensor + 1, lambda: tensor * 3)

    return _numbers(change)


def _loop() -> Change:
    def add(tensor: Any) -> Any:
        return tf.while_loop(lambda i, t: i < 3, lambda i, t: (i + 1, t + tf.cast(i, t.dtype)), (0, tensor))[1]

    return _numbers(add)


def _inner_function() -> Change:
    @tf.function
    def halve(tensor: Any) -> Any:
        return tensor // 2

    return _numbers(halve)


def _keras() -> Change:
    layer = tf.keras.layers.Normalization(axis=None, mean=1.0, variance=4.0)
    layer.build(())
    return _numbers(lambda t: tf.cast(tf.ensure_shape(layer(tf.cast(t, tf.float32)), t.shape), t.dtype))


def _reduced() -> Change:
    """A dataset that is run inside the function."""

    def add(tensor: Any) -> Any:
        total = tf.data.Dataset.range(4).map(lambda i: i * 2).reduce(np.int64(0), lambda a, b: a + b)
        return tensor + tf.cast(total, tensor.dtype)

    return _numbers(add)


CHANGES: Final[dict[str, Kind]] = {
    "pure": Kind(_pure),
    "seeded": Kind(_seeded, stateful=True),
    "unseeded": Kind(_unseeded, random=True),
    "stateless": Kind(_stateless),
    "random_generator": Kind(_generator, stateful=True, carries=True, changes=True),
    "table": Kind(_table),
    "mutable_table": Kind(_mutable_table, changes=True),
    "variable": Kind(_variable, changes=True),
    "counting": Kind(_counting, stateful=True, carries=True, changes=True),
    "captured": Kind(_captured),
    "py_function": Kind(_py_function, python=True),
    "numpy_function": Kind(_numpy_function, python=True),
    "conditional": Kind(_conditional),
    "loop": Kind(_loop),
    "inner_function": Kind(_inner_function),
    "keras": Kind(_keras, changes=True),
    "reduced": Kind(_reduced),
}
"""The functions by their names in a recipe."""


def on_element(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function of a whole element as tf.data calls it: the parts of a tuple are arguments of their own."""
    return lambda *parts: change(parts if len(parts) > 1 else parts[0])


def on_dense(change: Change) -> Callable[..., Any]:
    """The function of an element that changes each of its dense components."""

    def changed(component: Any) -> Any:
        return change(component) if isinstance(component, tf.Tensor) else component

    return on_element(lambda element: tf.nest.map_structure(changed, element))


def first_number(element: Any) -> Any:
    """A whole number of 0 or more, made of an element's first dense component that is one; of all its numbers."""
    for part in tf.nest.flatten(element):
        if isinstance(part, tf.Tensor) and is_number(part):
            return tf.reduce_sum(_whole(part))
    return tf.constant(1, tf.int64)
