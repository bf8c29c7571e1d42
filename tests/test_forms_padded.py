"""Functions whose results vary in length, as functions from a batch to a padded batch."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from test_forms_batched import Maker, dataset, guarded, hashed, sparse_ids, table

from pipeline_opt.build.forms import Derived, Refused, derive
from pipeline_opt.build.forms.batched import padded
from pipeline_opt.build.forms.verify import compare
from pipeline_opt.build.traced import traced


def text(tf: Any) -> Any:
    words = table(tf)
    return lambda s: {"ids": words.lookup(tf.strings.split(tf.strings.lower(s)))[:4], "length": tf.strings.length(s)}


def features(tf: Any) -> Any:
    spec = {
        "ids": tf.io.VarLenFeature(tf.int64),
        "words": tf.io.RaggedFeature(tf.string),
        "pairs": tf.io.FixedLenSequenceFeature([2], tf.float32, allow_missing=True),
        "floats": tf.io.FixedLenFeature([3], tf.float32),
    }

    def parse(record: Any) -> Any:
        parsed = tf.io.parse_single_example(record, spec)
        return parsed | {"ids": tf.sparse.to_dense(parsed["ids"], default_value=-1)}

    return parse


def filtered(tf: Any) -> Any:
    def keep(s: Any) -> Any:
        words = tf.strings.split(s)
        return tf.boolean_mask(words, tf.not_equal(words, "a"))

    return keep


def characters(tf: Any, line: Any) -> Any:
    split, codes = tf.strings.unicode_split(line, "UTF-8"), tf.strings.unicode_decode(line, "UTF-8")
    return split, tf.strings.bytes_split(line), codes


TEXT = {"padded_shapes": {"ids": [None], "length": []}, "padding_values": {"ids": -1, "length": None}}
LENGTHS = {"padded_shapes": {"ids": [9], "words": [-1], "pairs": [3, None], "floats": [5]}}

EXACT: dict[str, tuple[str, Maker, dict[str, Any]]] = {
    "split": ("line", lambda tf: lambda s: tf.strings.split(s), {}),
    "split_at": ("line", lambda tf: lambda s: tf.strings.split(s, "o", maxsplit=1), {}),
    "to_a_length": ("line", lambda tf: lambda s: tf.strings.split(s), {"padded_shapes": [8], "padding_values": "<p>"}),
    "hash": ("line", lambda tf: lambda s: hashed(tf, s, 100)[:3], {"padding_values": np.int32(-7)}),
    "table": ("line", text, TEXT),
    "features": ("example", features, {}),
    "features_to_lengths": ("example", features, LENGTHS),
    "marks": ("line", lambda tf: lambda s: tf.concat([["[CLS]"], tf.strings.split(s)[:3], ["[SEP]"]], 0), {}),
    "shifted": ("line", lambda tf: lambda s: (tf.strings.split(s)[:-1], tf.strings.split(s)[1:]), {}),
    "reversed": ("line", lambda tf: lambda s: (tf.strings.split(s)[::-1], tf.reverse(tf.strings.split(s), [0])), {}),
    "every_second": ("line", lambda tf: lambda s: tf.strings.split(s)[::2], {}),
    "filtered": ("line", filtered, {}),
    "ngrams": ("line", lambda tf: lambda s: tf.strings.ngrams(tf.strings.split(s), 2), {}),
    "characters": ("line", lambda tf: lambda s: characters(tf, s), {}),
    "bytes": ("line", lambda tf: lambda s: tf.io.decode_raw(s, tf.uint8), {}),
    "one_hot": ("line", lambda tf: lambda s: tf.one_hot(hashed(tf, s, 5), 5), {}),
    "positions": ("line", lambda tf: lambda s: tf.range(tf.size(tf.strings.split(s))), {}),
    "masked": ("vector", lambda tf: lambda x: (tf.boolean_mask(x, x > 0), tf.where(x > 0)), {}),
    "own_length": ("whole", lambda tf: lambda x: (x[: x[0]], x[x[1] :], tf.zeros([x[2]])), {}),
    "scaled": ("whole", lambda tf: lambda x: (lambda y: y * tf.reduce_max(y))(x[: x[0]]), {}),
    "one_shape": ("matrix", lambda tf: lambda x: (x, x[0, 0], 3), {"padded_shapes": ([5, -1], [], [])}),
    "pad_both_ends": ("line", lambda tf: lambda s: tf.pad(hashed(tf, s, 9), [[1, 2]], constant_values=9), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_a_padded_batch_has_the_same_bits(tf: Any, name: str) -> None:
    data, maker, parameters = EXACT[name]
    elements = dataset(tf, data)
    function = traced(maker(tf), elements.element_spec)
    derived = derive(function, "padded", **parameters)
    assert isinstance(derived, Derived), derived
    assert derived.rounding == ()
    for size in (2, 3):
        expected = elements.map(function).padded_batch(size, **parameters)
        assert elements.batch(size).map(derived).element_spec == expected.element_spec
    agreement = compare(
        function, derived, list(elements.as_numpy_iterator()), lambda ds, size: ds.padded_batch(size, **parameters)
    )
    assert agreement.exact, agreement


REFUSED: dict[str, tuple[str, Maker, dict[str, Any], str]] = {
    "sparse": ("example", lambda tf: lambda s: sparse_ids(tf, s), {}, "does not pad"),
    "ragged": ("line", lambda tf: lambda s: tf.strings.split([s]), {}, "does not pad"),
    "shapes": ("line", lambda tf: lambda s: tf.strings.split(s), {"padded_shapes": [2, 2]}, "does not pad"),
    "values": ("line", lambda tf: lambda s: tf.strings.split(s), {"padding_values": 3}, "does not pad"),
    "random": ("line", lambda tf: lambda s: tf.random.shuffle(tf.strings.split(s)), {}, "RandomShuffle"),
    "python": ("line", lambda tf: lambda s: tf.numpy_function(lambda t: t, [s], tf.string), {}, "calls Python|does not pad"),
    "unique": ("line", lambda tf: lambda s: tf.unique(tf.strings.split(s))[0], {}, "Unique"),
    "float_range": ("vector", lambda tf: lambda x: tf.range(0.0, tf.abs(x[0]), 0.1), {}, "Range.*floating-point numbers"),
    "two_axes": ("whole", lambda tf: lambda x: tf.zeros([x[0], x[1]]), {}, "not a constant"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_padded_at_once_is_refused(tf: Any, name: str) -> None:
    data, maker, parameters, reason = REFUSED[name]
    elements = dataset(tf, data)
    refused = padded(traced(maker(tf), elements.element_spec), **parameters)
    assert isinstance(refused, Refused), refused
    assert re.search(reason, refused.reason), refused.reason


def test_an_element_that_is_too_long_is_an_error(tf: Any) -> None:
    elements = dataset(tf, "line")
    function = traced(lambda s: tf.strings.split(s), elements.element_spec)
    derived = padded(function, [2])
    assert isinstance(derived, Derived), derived
    for pipeline in (elements.map(function).padded_batch(3, [2]), elements.batch(3).map(derived)):
        with pytest.raises(tf.errors.OpError):
            list(pipeline)


def test_a_check_in_a_function_of_varying_lengths(tf: Any) -> None:
    function = traced(lambda x: guarded(tf, x[: tf.cast(x[0], tf.int32)]), tf.TensorSpec([3], tf.float32))
    derived = padded(function)
    assert isinstance(derived, Derived), derived
    elements = tf.data.Dataset.from_tensor_slices([[1.0, 500.0, 1.0], [2.0, 5.0, 500.0]])
    assert [b.numpy().tolist() for b in elements.batch(2).map(derived)] == [[[2.0, 0.0], [4.0, 10.0]]]
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(tf.data.Dataset.from_tensor_slices([[2.0, 500.0, 1.0]]).batch(1).map(derived))


def test_a_table_with_buckets_for_unknown_words_is_looked_up_by_batches(tf: Any) -> None:
    initializer = tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([0, 1], tf.int64))
    table = tf.lookup.StaticVocabularyTable(initializer, num_oov_buckets=4)
    function = traced(lambda line: table.lookup(tf.strings.split(line)), tf.TensorSpec((), tf.string))
    derived = padded(function)
    assert not isinstance(derived, Refused), derived
    found = compare(function, derived, [b"a b z", b"", b"q a"], lambda dataset, size: dataset.padded_batch(size))
    assert found.exact, found
