"""Functions of one element as functions of a batch: what has such a form, what has none and why, and equal results."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline_opt.build.forms import FORMS, Derived, Refused, derive
from pipeline_opt.build.forms.batched import batched
from pipeline_opt.build.forms.verify import NO_RESULTS, compare
from pipeline_opt.build.traced import Traced, traced
from pipeline_opt.build.transforms import parse_csv, parse_example, split_and_hash
from pipeline_opt.functions import Function

Maker = Callable[[Any], Callable[..., Any]]
"""From TensorFlow to a function of one element."""


def rng() -> np.random.Generator:
    """A generator of its own, so that no data depend on which were made before."""
    return np.random.default_rng(0)


def example(number: int) -> bytes:
    """A record with features of fixed lengths and of others; `number` values in some of them."""
    import tensorflow as tf

    floats = tf.train.Feature(float_list=tf.train.FloatList(value=[number, 2.0, 3.5]))
    ids = tf.train.Feature(int64_list=tf.train.Int64List(value=range(number)))
    pairs = tf.train.Feature(float_list=tf.train.FloatList(value=np.arange(2 * (number % 3))))
    words = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"w%d" % n for n in range(number)]))
    feature = {"floats": floats, "ids": ids, "pairs": pairs, "words": words}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


DATA: dict[str, Callable[[], Any]] = {
    "vector": lambda: rng().normal(size=(7, 6)).astype("float32"),
    "matrix": lambda: rng().normal(size=(7, 4, 6)).astype("float32"),
    "whole": lambda: rng().integers(0, 5, size=(7, 6)),
    "image": lambda: rng().integers(0, 255, size=(7, 8, 10, 3)).astype("uint8"),
    "line": lambda: np.array([b"a b c", b"", b"hello  oo bar", b" x ", b"Q", "wörld a".encode(), b"1 2"], object),
    "number": lambda: np.array([b"1", b"-2.5", b"3e2"], object),
    "bytes": lambda: np.array([bytes(range(n, n + 24)) for n in range(7)], object),
    "example": lambda: np.array([example(n) for n in range(7)], object),
    "csv": lambda: np.array([b"1,2.5,x", b"2,,", b'3,-1e3,"y,z"', b"4,5,6"], object),
    "pair": lambda: {"x": rng().normal(size=(7, 3)).astype("float32"), "n": rng().integers(0, 3, size=7)},
}

SCHEMA = {"floats": "float32 exactly 3", "words": "string at_most 4", "none": "int64 optional 1"}


def sparse_ids(tf: Any, record: Any) -> Any:
    return tf.io.parse_single_example(record, {"ids": tf.io.VarLenFeature(tf.int64)})


def hashed(tf: Any, line: Any, buckets: int) -> Any:
    return tf.cast(tf.strings.to_hash_bucket_fast(tf.strings.split(line), buckets), tf.int32)


def looped(tf: Any, x: Any) -> Any:
    return tf.while_loop(lambda i, y: i < 3.0 + x[0], lambda i, y: (i + 1.0, y * 2.0), [0.0, x[1]])[1]


def long_only(tf: Any, line: Any) -> Any:
    return tf.cond(tf.strings.length(line) > 3, lambda: tf.strings.split(line), lambda: tf.constant(["x"]))


def filled(tf: Any, x: Any) -> Any:
    return tf.cond(x[0] > 2, lambda: tf.size(tf.fill([x[1] - 2], 0.5), x.dtype), lambda: x[1])


def mutable(tf: Any) -> Any:
    return tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)


def outer(tf: Any, words: Any) -> Any:
    lengths = tf.strings.length(words)
    return lengths[:, tf.newaxis] < lengths


def guarded(tf: Any, x: Any) -> Any:
    tf.debugging.assert_less(x, 100.0)
    return x * 2.0


def failing(tf: Any, x: Any) -> Any:
    tf.debugging.assert_less(x, x)
    return x


def table(tf: Any) -> Any:
    pairs = tf.lookup.KeyValueTensorInitializer(["a", "hello", "x"], [1, 2, 3])
    return tf.lookup.StaticHashTable(pairs, -1)


def looked_up(tf: Any) -> Callable[..., Any]:
    words = table(tf)
    return lambda s: tf.reduce_max(words.lookup(tf.strings.split(s)))


def called(tf: Any) -> Callable[..., Any]:
    inner = tf.function(lambda x: tf.square(x) - 1.0)
    return lambda x: inner(x) + inner(x * 2.0)


EXACT: dict[str, tuple[str, Maker]] = {
    "parse": ("example", lambda tf: lambda s: parse_example(s, schema=SCHEMA)),
    "parse_csv": ("csv", lambda tf: lambda s: parse_csv(s, columns="abc", types=("int64", "float32?", "string?"))),
    "split_and_hash": ("line", lambda tf: lambda s: split_and_hash(s, buckets=50, max_tokens=3)),
    "sparse": ("example", lambda tf: lambda s: sparse_ids(tf, s)),
    "sparse_count": ("example", lambda tf: lambda s: tf.size(sparse_ids(tf, s)["ids"].values)),
    "lower": ("line", lambda tf: lambda s: {"a": (s, tf.strings.lower(tf.strings.strip(s)))}),
    "substr": ("line", lambda tf: lambda s: tf.strings.substr(s, 0, 2)),
    "join": ("line", lambda tf: lambda s: tf.strings.join([s, "-", s])),
    "regex": ("line", lambda tf: lambda s: tf.strings.regex_replace(s, "o+", "0")),
    "to_number": ("number", lambda tf: lambda s: tf.strings.to_number(s)),
    "hash_strong": ("line", lambda tf: lambda s: tf.strings.to_hash_bucket_strong(s, 9, [1, 2])),
    "count_words": ("line", lambda tf: lambda s: tf.shape(tf.strings.split(s))[0]),
    "join_words": ("line", lambda tf: lambda s: tf.strings.reduce_join(tf.strings.split(s), separator="_")),
    "longest_word": ("line", lambda tf: lambda s: tf.reduce_max(tf.strings.length(tf.strings.split(s)))),
    "last_word": ("line", lambda tf: lambda s: tf.strings.split(s + " z")[-1]),
    "bag_of_words": ("line", lambda tf: lambda s: tf.math.bincount(hashed(tf, s, 7), minlength=7, maxlength=7)),
    "sequence_mask": ("line", lambda tf: lambda s: tf.sequence_mask(tf.size(tf.strings.split(s)), 5)),
    "characters": ("line", lambda tf: lambda s: tf.size(tf.strings.unicode_split(s, "UTF-8"))),
    "table": ("line", looked_up),
    "decode_raw": ("bytes", lambda tf: lambda s: tf.reshape(tf.io.decode_raw(s, tf.uint8), [2, 4, 3])),
    "decode_raw_wide": ("bytes", lambda tf: lambda s: tf.cast(tf.io.decode_raw(s, tf.int16), tf.float32) / 255.0),
    "arithmetic": ("vector", lambda tf: lambda x: (x * 2.0 + tf.range(6.0)) / 3.0 - tf.abs(x)),
    "captured": ("vector", lambda tf: (lambda c: lambda x: x - c)(tf.constant(rng().normal(size=6).astype("float32")))),
    "reshape": ("matrix", lambda tf: lambda x: (tf.reshape(x, [2, -1, 3]), tf.reshape(x, [tf.shape(x)[1], -1]))),
    "transpose": ("matrix", lambda tf: lambda x: (tf.transpose(x), x[tf.newaxis, :, tf.newaxis, 1])),
    "slices": ("matrix", lambda tf: lambda x: (x[1:3], x[:, ::2], x[..., -1], x[-1], x[::-1, 1:4])),
    "own_place": ("whole", lambda tf: lambda x: (x[x[0]], tf.gather(x, x % 3), tf.reduce_sum(x[: x[0]]))),
    "embedding": ("whole", lambda tf: lambda x: tf.gather(tf.reshape(tf.range(10.0), [5, 2]), x)),
    "one_hot": ("whole", lambda tf: lambda x: (tf.one_hot(x, 5), tf.one_hot(x, 5, axis=0))),
    "where": ("vector", lambda tf: lambda x: tf.where(x > 0, x, tf.zeros_like(x))),
    "stack_concat": ("vector", lambda tf: lambda x: (tf.stack([x, x * 2.0], 1), tf.concat([x, tf.ones([2])], 0))),
    "split": ("matrix", lambda tf: lambda x: (*tf.split(x, 2, axis=1), *tf.unstack(x))),
    "pad_tile": ("matrix", lambda tf: lambda x: (tf.pad(x, [[1, 2], [0, 1]]), tf.tile(x, [2, 1]))),
    "whole_sums": ("whole", lambda tf: lambda x: (tf.reduce_sum(x), tf.cumsum(x, reverse=True), tf.reduce_any(x > 3))),
    "order": ("vector", lambda tf: lambda x: (tf.sort(x), tf.argsort(x), tf.math.top_k(x, 3), tf.argmax(x))),
    "count_masked": ("whole", lambda tf: lambda x: tf.reduce_sum(tf.boolean_mask(x, x > 2))),
    "same_for_all": ("vector", lambda tf: lambda x: (x + tf.random.stateless_uniform([6], [1, 2]), tf.constant([1, 2]), 7)),
    "called": ("vector", called),
    "branches": ("vector", lambda tf: lambda x: tf.cond(x[0] > 0, lambda: x * 2.0, lambda: x - 1.0)),
    "filled_branch": ("vector", lambda tf: lambda x: tf.cond(x[0] > 0, lambda: tf.fill([6], x[1]), lambda: x)),
    "casts": ("vector", lambda tf: lambda x: [tf.cast(x * 1e6, kind) for kind in (tf.int32, tf.int64, tf.uint64)]),
    "guarded": ("vector", lambda tf: lambda x: guarded(tf, x)),
    "structure": ("pair", lambda tf: lambda e: {"y": e["x"] * tf.cast(e["n"], tf.float32), "n": (e["n"],)}),
    "resize_nearest": ("image", lambda tf: lambda x: tf.image.resize(x, [4, 5], "nearest")),
    "resize": ("image", lambda tf: lambda x: tf.image.resize(x, [4, 5]) / 255.0),
    "flip": ("image", lambda tf: lambda x: tf.image.flip_left_right(x)),
    "crop": ("image", lambda tf: lambda x: tf.image.central_crop(x, 0.5)),
}  # fmt: skip

ROUNDING: dict[str, tuple[str, Maker, str]] = {
    "mean": ("vector", lambda tf: lambda x: (x - tf.reduce_mean(x)) / (tf.math.reduce_std(x) + 1e-6), "Mean"),
    "matmul": ("matrix", lambda tf: lambda x: tf.matmul(x, x, transpose_b=True), "MatMul"),
    "weights": ("matrix", lambda tf: lambda x: tf.matmul(x, tf.reshape(tf.range(12.0), [6, 2])), "MatMul"),
    "einsum": ("matrix", lambda tf: lambda x: tf.einsum("ij,kj->ik", x, x), "Einsum"),
    "softmax": ("vector", lambda tf: lambda x: tf.nn.softmax(x), "Softmax"),
    "exp": ("vector", lambda tf: lambda x: tf.exp(x), "Exp"),
    "clip": ("vector", lambda tf: lambda x: tf.clip_by_value(x, -0.5, 0.5), "Minimum"),
    "standardized": ("image", lambda tf: lambda x: tf.image.per_image_standardization(x), "Mean"),
    "small_cast": ("vector", lambda tf: lambda x: tf.cast(tf.abs(x) % 200.0, tf.uint8), "Cast"),
    "unsigned_cast": ("vector", lambda tf: lambda x: tf.cast(tf.abs(x) * 1e6, tf.uint32), "Cast"),
    "spectrum": ("vector", lambda tf: lambda x: tf.abs(tf.signal.rfft(x)), "RFFT"),
}


def dataset(tf: Any, data: str) -> Any:
    return tf.data.Dataset.from_tensor_slices(DATA[data]())


def derived_of(tf: Any, maker: Maker, elements: Any) -> tuple[Traced, Derived | Refused]:
    function = traced(maker(tf), elements.element_spec)
    return function, batched(function)


@pytest.mark.parametrize("name", EXACT)
def test_a_batch_gives_the_same_bits(tf: Any, name: str) -> None:
    data, maker = EXACT[name]
    elements = dataset(tf, data)
    function, derived = derived_of(tf, maker, elements)
    assert isinstance(derived, Derived), derived
    assert derived.rounding == ()
    for options in ({}, {"drop_remainder": True}):
        spec = elements.map(function).batch(3, **options).element_spec
        assert elements.batch(3, **options).map(derived).element_spec == spec
    agreement = compare(function, derived, list(elements.as_numpy_iterator()))
    assert agreement.exact, agreement


@pytest.mark.parametrize("name", ROUNDING)
def test_ops_that_round_otherwise_are_named(tf: Any, name: str) -> None:
    data, maker, op = ROUNDING[name]
    elements = dataset(tf, data)
    function, derived = derived_of(tf, maker, elements)
    assert isinstance(derived, Derived), derived
    assert op in derived.rounding
    results = [list(ds.unbatch()) for ds in (elements.map(function).batch(3), elements.batch(3).map(derived))]
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


REFUSED: dict[str, tuple[str, Maker, str]] = {
    "random": ("vector", lambda tf: lambda x: x + tf.random.uniform([6]), "random op RandomUniform"),
    "random_flip": ("image", lambda tf: lambda x: tf.image.random_flip_left_right(x), "random op RandomUniform"),
    "seeds_of_elements": ("whole", lambda tf: lambda x: tf.random.stateless_uniform([3], x[:2]), "a seed that differs"),
    "python": ("vector", lambda tf: lambda x: tf.py_function(lambda y: y, [x], tf.float32), "calls Python.*EagerPyFunc"),
    "numpy": ("vector", lambda tf: lambda x: tf.numpy_function(lambda y: y, [x], tf.float32), "calls Python.*PyFunc"),
    "variable": ("vector", lambda tf: (lambda v: lambda x: x + v)(tf.Variable(1.0)), "uses a variable.*ReadVariableOp"),
    "counter": ("vector", lambda tf: (lambda v: lambda x: x + v.assign_add(1.0))(tf.Variable(1.0)), "uses a variable"),
    "mutable_table": ("line", lambda tf: (lambda t: lambda s: t.lookup(s))(mutable(tf)), "a table that can change"),
    "print": ("vector", lambda tf: lambda x: (tf.print(x), x)[1], "PrintV2"),
    "loop": ("vector", lambda tf: lambda x: looped(tf, x), "StatelessWhile.*another number of turns"),
    "map_fn": ("matrix", lambda tf: lambda x: tf.map_fn(lambda row: row * 2.0, x), "TensorList"),
    "unique": ("whole", lambda tf: lambda x: tf.unique(x)[0], "Unique.*no length that rows could share"),
    "own_shape": ("whole", lambda tf: lambda x: tf.reshape(tf.range(x[0] * x[1]), [x[0], x[1]]), "Reshape.*"),
    "own_width": ("whole", lambda tf: lambda x: tf.zeros([2, x[0]]), "Fill.*not a constant"),
    "own_repeats": ("whole", lambda tf: lambda x: tf.tile(x, x[:1]), "Tile.*differs between elements"),
    "jpeg": ("line", lambda tf: lambda s: tf.io.decode_jpeg(s), "DecodeJpeg.*one at a time"),
    "file": ("line", lambda tf: lambda s: tf.io.read_file(s), "ReadFile.*one at a time"),
    "failing_branch": ("whole", lambda tf: lambda x: tf.cond(x[0] > 0, lambda: x // x[0], lambda: x), "FloorDiv.*may fail"),
    "own_width_in_a_branch": ("whole", lambda tf: lambda x: filled(tf, x), r"Fill \(.*may fail"),
    "branches_of_lengths": ("line", lambda tf: lambda s: long_only(tf, s), "branch"),
    "broadcast_of_lengths": ("line", lambda tf: lambda s: outer(tf, tf.strings.split(s)), "Less.*broadcasts"),
    "two_lengths": ("line", lambda tf: lambda s: tf.strings.split(s) + tf.strings.split(s, "o"), "lengths are the same"),
    "axis_of_lengths": ("line", lambda tf: lambda s: tf.strings.split(s)[tf.newaxis], "length differs"),
    "ragged": ("line", lambda tf: lambda s: tf.strings.split([s]), "RaggedTensorSpec"),
    "dataset": ("vector", lambda tf: lambda x: tf.data.Dataset.from_tensors(x), "DatasetSpec|Dataset"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_for_batches_is_refused_with_the_reason(tf: Any, name: str) -> None:
    data, maker, reason = REFUSED[name]
    elements = dataset(tf, data)
    function = traced(maker(tf), elements.element_spec)
    refused = batched(function)
    assert isinstance(refused, Refused), refused
    assert refused.reason.startswith(function.label)
    assert re.search(reason, refused.reason), refused.reason


def test_elements_of_several_shapes_are_refused(tf: Any) -> None:
    refused = batched(traced(lambda x: x * 2.0, tf.TensorSpec([None], tf.float32)))
    assert isinstance(refused, Refused)
    assert "no fixed shape" in refused.reason


def test_sparse_elements_are_refused(tf: Any) -> None:
    refused = batched(traced(lambda x: tf.sparse.to_dense(x), tf.SparseTensorSpec([3], tf.float32)))
    assert isinstance(refused, Refused)
    assert "SparseTensorSpec" in refused.reason


@pytest.mark.parametrize(
    ("maker", "values"),
    [
        (lambda tf: lambda x: guarded(tf, x), [1.0, 200.0]),
        (lambda tf: lambda x: 6 // tf.cast(x, tf.int32), [1.0, 0.0]),
        (lambda tf: lambda x: tf.gather([1, 2, 3], tf.cast(x, tf.int32)), [1.0, 5.0]),
        (lambda tf: lambda x: tf.range(tf.cast(x, tf.int32)), [2.0, 3.0]),
        (lambda tf: lambda x: tf.ensure_shape(tf.range(tf.cast(x, tf.int32)), [2]), [2.0, 3.0]),
    ],
    ids=["assert", "division", "gather", "lengths", "ensure_shape"],
)
def test_an_error_of_one_element_is_an_error_of_its_batch(tf: Any, maker: Maker, values: list[float]) -> None:
    elements = tf.data.Dataset.from_tensor_slices(np.array(values, "float32"))
    _, derived = derived_of(tf, maker, elements)
    assert isinstance(derived, Derived), derived
    assert len(list(elements.take(1).batch(2).map(derived))) == 1
    for pipeline in (elements.map(maker(tf)).batch(2), elements.batch(2).map(derived)):
        with pytest.raises(tf.errors.InvalidArgumentError):
            list(pipeline)


def test_an_assertion_holds_only_for_the_rows_that_come_to_it(tf: Any) -> None:
    def function(x: Any) -> Any:
        def positive() -> Any:
            tf.debugging.Assert(x > -1.0, [x])
            return x + 1.0

        return tf.cond(x > -2.0, positive, lambda: x)

    elements = tf.data.Dataset.from_tensor_slices([1.0, -3.0])
    _, derived = derived_of(tf, lambda tf: function, elements)
    assert isinstance(derived, Derived), derived
    assert [b.numpy().tolist() for b in elements.batch(2).map(derived)] == [[2.0, -3.0]]
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(tf.data.Dataset.from_tensor_slices([1.0, -1.5]).batch(2).map(derived))


def test_keras_layers_have_a_form(tf: Any) -> None:
    keras = tf.keras
    scaling = keras.layers.Normalization(axis=-1, mean=[1.0] * 6, variance=[2.0] * 6)
    words = keras.layers.StringLookup(vocabulary=["a", "Q"])
    hashing, bins = keras.layers.Hashing(10), keras.layers.Discretization(bin_boundaries=[-1.0, 0.0, 1.0])
    encoding = keras.layers.CategoryEncoding(5, output_mode="multi_hot")
    cases: list[tuple[str, Callable[[Any], Any]]] = [
        ("vector", lambda x: (scaling(x), bins(x))),
        ("line", lambda s: (words(s), hashing(s))),
        ("whole", lambda x: encoding(x)),
    ]
    for data, function in cases:
        elements = dataset(tf, data)
        original, derived = derived_of(tf, lambda tf, function=function: function, elements)
        assert isinstance(derived, Derived), derived
        agreement = compare(original, derived, list(elements.as_numpy_iterator()))
        assert agreement.mismatch is None
        assert agreement.absolute < 1e-6


# ---- that a wrong form is caught -------------------------------------------------------------------------------------


def as_batched(tf: Any, function: Traced, of_batch: Callable[[Any], Any]) -> Derived:
    """A form that somebody got wrong."""
    made = traced(of_batch, tf.TensorSpec([None, 2], tf.float32))
    return Derived(made.concrete, made.takes, made.gives, None, "wrong")


@pytest.mark.parametrize(
    ("of_batch", "said"),
    [
        (lambda tf: lambda b: b - tf.reduce_max(b), "not finite|largest|None"),
        (lambda tf: lambda b: tf.cast(b, tf.float64), "float64"),
        (lambda tf: lambda b: b[..., :1], r"\[1, 1\] in place of .*\[1, 2\]"),
        (lambda tf: lambda b: tf.ensure_shape(b, [1, 2]), "its other form fails"),
        (lambda tf: lambda b: (b, b), "2 components in place of 1"),
        (lambda tf: lambda b: tf.reverse(b, [0]), "None|differ"),
    ],
    ids=["batch_dependent", "type", "shape", "one_size_only", "components", "order"],
)
def test_a_wrong_form_is_caught(tf: Any, of_batch: Maker, said: str) -> None:
    function = traced(lambda x: x * 1.0, tf.TensorSpec([2], tf.float32))
    wrong = as_batched(tf, function, of_batch(tf))
    agreement = compare(function, wrong, [np.array([n, n + 1.0], "float32") for n in range(5)])
    assert not agreement.exact
    assert agreement.absolute >= 1.0 or agreement.mismatch is not None
    assert re.search(said, str(agreement.mismatch)), agreement


def test_strings_are_compared_by_their_bytes(tf: Any) -> None:
    elements = dataset(tf, "line")
    function = traced(lambda s: tf.strings.lower(s), elements.element_spec)
    other = batched(traced(lambda s: tf.strings.upper(s), elements.element_spec))
    assert isinstance(other, Derived)
    agreement = compare(function, other, list(elements.as_numpy_iterator()))
    assert not agreement.exact
    assert "strings differ" in str(agreement.mismatch)


def test_a_missing_error_is_a_mismatch(tf: Any) -> None:
    spec = tf.TensorSpec([], tf.float32)
    function = traced(lambda x: guarded(tf, x), spec)
    other = batched(traced(lambda x: x * 2.0, spec))
    assert isinstance(other, Derived)
    agreement = compare(function, other, [np.float32(1.0)])
    assert "only the function fails" in str(agreement.mismatch)


def test_where_both_fail_for_all_nothing_is_shown(tf: Any) -> None:
    function = traced(lambda x: failing(tf, x), tf.TensorSpec([], tf.int32))
    derived = batched(function)
    assert isinstance(derived, Derived), derived
    agreement = compare(function, derived, [np.int32(1), np.int32(2)])
    assert (agreement.exact, agreement.count, agreement.mismatch) == (False, 0, NO_RESULTS)


def test_what_both_fail_for_does_not_count(tf: Any) -> None:
    function = traced(lambda x: guarded(tf, x), tf.TensorSpec([], tf.float32))
    derived = batched(function)
    assert isinstance(derived, Derived), derived
    some, more = (compare(function, derived, [np.float32(1.0), *[np.float32(500.0)] * number]) for number in (1, 3))
    assert some.exact
    assert some == more


def test_nothing_to_compare(tf: Any) -> None:
    function = traced(lambda x: x, tf.TensorSpec([], tf.float32))
    derived = batched(function)
    assert isinstance(derived, Derived)
    with pytest.raises(ValueError, match="no elements"):
        compare(function, derived, [])


# ---- the registry ----------------------------------------------------------------------------------------------------


def test_forms_are_derived_by_name(tf: Any) -> None:
    function = traced(Function.of(lambda x: x * 2.0), tf.TensorSpec([2], tf.float32))
    derived = derive(function, "batched")
    assert isinstance(derived, Derived)
    assert derived.label == f"batched_{function.label}"
    assert derived(tf.ones([3, 2])).numpy().tolist() == [[2.0, 2.0]] * 3
    assert {"batched", "padded"} <= set(FORMS)


def test_unknown_forms_and_parameters(tf: Any) -> None:
    function = traced(lambda x: x, tf.TensorSpec([2], tf.float32))
    with pytest.raises(ValueError, match="no form is called 'vectorised'; forms: batched, padded"):
        derive(function, "vectorised")
    with pytest.raises(ValueError, match="'batched' has no parameter 'padded_shapes'"):
        derive(function, "batched", padded_shapes=[3])
