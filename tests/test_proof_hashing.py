"""Hashes of rows: equal if and only if the rows are, whatever their order and however they are batched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_opt.errors import UsageError
from pipeline_opt.tuner.components import components_of, places_of
from pipeline_opt.tuner.hashing import Fingerprint, Fingerprinter, digests_of

Row = tuple[int, bytes, tuple[float, ...]]

ROWS = st.tuples(
    st.integers(0, 2),
    st.sampled_from([b"", b"a", b"a\0", b"b"]),
    st.tuples(*[st.sampled_from([0.0, -0.0, 1.5, float("nan")])] * 2),
)


def batch(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "number": np.array([row[0] for row in rows], np.int64),
        "text": np.array([*(row[1] for row in rows), None], object)[:-1],
        "floats": np.array([row[2] for row in rows], np.float32).reshape(-1, 2),
    }


def element(row: Row) -> dict[str, Any]:
    return {name: values[0] for name, values in batch([row]).items()}


def fingerprint(rows: Sequence[Row], size: int) -> Fingerprint:
    hashes = Fingerprinter()
    for start in range(0, len(rows), size):
        hashes.add(digests_of(components_of(batch(rows[start : start + size])), batched=True))
    return hashes.result()


def content(rows: Sequence[Row]) -> Counter[Any]:
    return Counter((number, text, np.array(floats, np.float32).tobytes()) for number, text, floats in rows)


@given(st.lists(ROWS, max_size=5), st.lists(ROWS, max_size=5))
def test_equal_if_and_only_if_the_multisets_are(a: list[Row], b: list[Row]) -> None:
    assert fingerprint(a, 2).same_rows(fingerprint(b, 3)) == (content(a) == content(b))


@given(st.lists(ROWS, max_size=12), st.integers(1, 12), st.randoms(use_true_random=False))
def test_neither_order_nor_batches_count(rows: list[Row], size: int, random: Any) -> None:
    whole = fingerprint(rows, 100)
    assert fingerprint(rows, size) == whole
    mixed = random.sample(rows, len(rows))
    assert fingerprint(mixed, size).same_rows(whole)
    in_order = [content([row]) for row in rows] == [content([row]) for row in mixed]
    assert (fingerprint(mixed, size).chain == whole.chain) == in_order


@given(st.lists(ROWS, min_size=1, max_size=4), st.lists(ROWS, min_size=1, max_size=4))
def test_elements_that_are_no_batches(a: list[Row], b: list[Row]) -> None:
    def chain(rows: list[Row]) -> Fingerprint:
        hashes = Fingerprinter()
        for row in rows:
            hashes.add(digests_of(components_of(element(row)), batched=False))
        return hashes.result()

    assert (chain(a) == chain(b)) == ([content([row]) for row in a] == [content([row]) for row in b])


@given(st.lists(st.lists(st.lists(st.integers(0, 1), max_size=3), max_size=3), min_size=1, max_size=3), st.data())
def test_ragged_rows_are_told_apart_by_their_lengths(tf: Any, rows: list[list[list[int]]], data: Any) -> None:
    def digests(of: list[list[list[int]]]) -> list[bytes]:
        ragged = tf.ragged.constant(of, dtype=tf.int32, ragged_rank=2)
        return [digest.tobytes() for digest in digests_of(components_of(ragged), batched=True)]

    others = data.draw(st.permutations(rows))
    assert Counter(digests(others)) == Counter(digests(rows))
    assert len(set(digests(rows))) == len({str(row) for row in rows})


@pytest.mark.tf
def test_ragged_components_are_told_apart(tf: Any) -> None:
    def digest(*rows: list[bytes]) -> bytes:
        components = components_of(tuple(tf.ragged.constant([row], dtype=tf.string) for row in rows))
        return bytes(digests_of(components, batched=True)[0].tobytes())

    assert len({digest([b"1"], [b"2", b"3"]), digest([b"1", b"2"], [b"3"]), digest([b"1", b"2", b"3"], [])}) == 3
    numbers = [tf.ragged.constant(rows, dtype=tf.int32) for rows in ([[1]], [[2, 3]], [[1, 2]], [[3]])]
    one, other = (digests_of(components_of(tuple(pair)), batched=True) for pair in (numbers[:2], numbers[2:]))
    assert (one != other).any()


@pytest.mark.tf
def test_sparse_rows_do_not_depend_on_their_batch(tf: Any) -> None:
    def digests(rows: list[list[int]]) -> list[bytes]:
        sparse = tf.RaggedTensor.from_row_lengths(
            [item for row in rows for item in row], [len(row) for row in rows]
        ).to_sparse()
        return [digest.tobytes() for digest in digests_of(components_of(sparse), batched=True)]

    assert digests([[1, 2, 3], [4]])[1:] == digests([[4], [5, 6]])[:1]
    assert len(set(digests([[1], [2], [1, 2], [1]]))) == 3


def test_padding_is_left_out_at_the_ends_only() -> None:
    def digests(values: Any) -> list[bytes]:
        made = digests_of(components_of({"ids": np.array(values)}), batched=True, padding={"['ids']": 0})
        return [digest.tobytes() for digest in made]

    assert digests([[1, 0, 2, 0], [3, 0, 0, 0]]) == digests([[1, 0, 2]]) + digests([[3]])
    assert digests([[1, 0, 2]]) != digests([[1, 2, 0]])
    assert digests([[[1, 0], [0, 2]]]) == digests([[[1, 0, 0], [0, 2, 0], [0, 0, 0]]])
    assert digests([[[1, 0], [0, 2]]]) != digests([[[1, 2], [0, 0]]])
    assert digests([[0, 0]]) == digests([[0]])
    # Rows that are one value each are never padded.
    assert len(set(digests([0, 1]))) == 2
    assert len(set(digests(np.array([b"", b"a", b"a"], object)))) == 2


def test_place_dtype_and_shape_count() -> None:
    zeros = [
        np.zeros((3, 4), np.float32), np.zeros((3, 2), np.float64), np.zeros((3, 2, 2), np.float32), np.zeros((3, 4), np.int32),
    ]  # fmt: skip
    made = [{"a": values} for values in zeros] + [{"b": zeros[0]}, zeros[0], (zeros[0],)]
    assert len({digests_of(components_of(value), batched=True)[0].tobytes() for value in made}) == len(made)
    assert len({digests_of(components_of(value), batched=False)[0].tobytes() for value in made}) == len(made)


def test_the_shape_of_nothing_counts() -> None:
    empty = [np.zeros(shape, np.float32) for shape in ((4, 0), (5, 0), (0, 4), (0,))]
    assert len({digests_of(components_of(value), batched=False)[0].tobytes() for value in empty}) == len(empty)


def test_strings_end_where_they_end() -> None:
    def digest(*texts: bytes) -> bytes:
        values = np.array([*texts, None], object)[:-1][None]
        return bytes(digests_of(components_of(values), batched=True)[0].tobytes())

    made = [digest(b"ab", b""), digest(b"a", b"b"), digest(b"", b"ab"), digest(b"ab"), digest(b"ab\0", b"")]
    assert len(set(made)) == len(made)


def test_strings_are_not_told_apart_by_where_they_are_in_memory() -> None:
    texts = [bytes([97 + n]) * 40 for n in range(5)]
    copies = [bytes(bytearray(text)) for text in texts]
    one, other = (np.array(side, object) for side in (texts, copies))
    assert one.tobytes() != other.tobytes()
    assert (digests_of(components_of(one), batched=True) == digests_of(components_of(other), batched=True)).all()


@pytest.mark.parametrize("wrong", [{"a": np.zeros(3), "b": np.zeros(4)}, {"a": np.zeros(3), "b": np.zeros(())}])
def test_a_batch_of_unequal_rows_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match="a batch whose components have"):
        digests_of(components_of(wrong), batched=True)


def test_what_has_no_values_is_refused(tf: Any) -> None:
    variant = tf.data.experimental.to_variant(tf.data.Dataset.range(2))
    with pytest.raises(UsageError, match=r"component \['a'\] has no values that can be compared"):
        components_of({"a": variant})


def test_places_are_those_of_nest_flatten(tf: Any) -> None:
    spec = {"b": (tf.TensorSpec([], tf.int32), tf.RaggedTensorSpec([None, None])), "a": [tf.SparseTensorSpec([3])]}
    assert places_of(spec) == ("['a'][0]", "['b'][0]", "['b'][1]")
    assert len(places_of(spec)) == len(tf.nest.flatten(spec))
