"""The proof of equal elements: what is the same passes, and every planted fault is found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pipeline_opt.clock import SystemClock
from pipeline_opt.tuner.differences import Bound, Errors
from pipeline_opt.tuner.matching import Rows, unmatched
from pipeline_opt.tuner.proof import Equality, compare

pytestmark = pytest.mark.tf

ROWS = 60


@pytest.fixture
def data(tf: Any) -> Any:
    """Rows of an image, a text and a number, all different."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(ROWS, 4, 3)).astype(np.float32)
    texts = [f"text {n}\0".encode() for n in range(ROWS)]
    return tf.data.Dataset.from_tensor_slices({"image": images, "text": texts, "number": np.arange(ROWS)})


def edited(tf: Any, data: Any, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The data with some rows changed by numpy code."""
    rows = [edit(dict(row)) for row in data.as_numpy_iterator()]
    return tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=data.element_spec)


def at(number: int, **changes: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def edit(row: dict[str, Any]) -> dict[str, Any]:
        if row["number"] == number:
            row |= {name: change(row[name]) for name, change in changes.items()}
        return row

    return edit


def last_bit(image: np.ndarray) -> np.ndarray:
    changed = image.copy()
    changed.view(np.uint32)[-1, -1] ^= 1
    return changed


def shuffled(data: Any, **more: Any) -> Any:
    return data.shuffle(ROWS, **more)


# --- the same


def test_the_same_in_order(data: Any) -> None:
    found = compare(data.batch(8), data.batch(8).prefetch(2))
    assert found == Equality(True, 8, True, True)
    assert str(found) == "the same, all 8 elements, in order"


@pytest.mark.parametrize("batch", [0, 8])
@pytest.mark.parametrize("ordered", [None, False])
def test_the_same_in_any_order(data: Any, batch: int, ordered: bool | None) -> None:
    one, other = shuffled(data), shuffled(data)
    if batch:
        one, other = one.batch(batch), other.batch(batch)
    found = compare(one, other, batched=bool(batch), ordered=ordered)
    assert (found.same, found.whole, found.ordered) == (True, True, False)
    assert ("the original comes in another order each time" in found.notes) == (ordered is None)


def test_the_same_rows_in_other_batches(data: Any) -> None:
    turned = data.skip(30).concatenate(data.take(30))
    assert compare(data.batch(8), turned.batch(8), preserves="set", batched=True).same
    assert not compare(data.batch(8), turned.batch(8), batched=True).same


def test_ragged_sparse_and_windows_are_compared(tf: Any, data: Any) -> None:
    def spread(row: dict[str, Any]) -> tuple[Any, Any]:
        count = row["number"] % 5
        return tf.RaggedTensor.from_row_lengths(tf.range(count), [count]), tf.sparse.from_dense(tf.range(count) % 2)

    made = data.map(spread)
    assert compare(made, made.prefetch(1)).same
    ragged = data.map(lambda row: spread(row)[0]).batch(7)
    assert compare(ragged, ragged, batched=True, ordered=False).same
    windows = data.map(lambda row: row["text"]).window(7)
    assert compare(windows, windows).same
    assert not compare(windows, data.map(lambda row: row["text"] + "!").window(7)).same


def test_two_that_are_empty(data: Any) -> None:
    assert compare(data.take(0), data.take(0)) == Equality(True, 0, True, True)


def test_both_fail_at_the_same_place(tf: Any, data: Any) -> None:
    broken = data.map(lambda row: tf.debugging.check_numerics(1.0 / tf.cast(7 - row["number"], tf.float32), "one"))
    found = compare(broken, broken.prefetch(1))
    assert found.same
    assert found.notes[0].startswith("the original fails after 7 elements: InvalidArgumentError")
    assert not compare(broken, broken.ignore_errors()).same


# --- planted faults


FAULTS: dict[str, Callable[[Any, Any], Any]] = {
    "a dropped element": lambda tf, data: data.take(10).concatenate(data.skip(11)),
    "a duplicated element": lambda tf, data: data.take(11).concatenate(data.skip(10)),
    "one in another's place": lambda tf, data: data.take(11).concatenate(data.skip(10).take(1)).concatenate(data.skip(12)),
    "a last bit": lambda tf, data: edited(tf, data, at(17, image=last_bit)),
    "a negative zero": lambda tf, data: edited(tf, data, at(17, image=lambda image: image * 0)),
    "a string": lambda tf, data: edited(tf, data, at(17, text=lambda text: text[:-2] + b"!\0")),
    "a zero byte": lambda tf, data: edited(tf, data, at(17, text=lambda text: text[:-1])),
    "another dtype": lambda tf, data: data.map(lambda row: row | {"number": tf.cast(row["number"], tf.int32)}),
    "a lost shape": lambda tf, data: data.map(
        lambda row: row | {"image": tf.ensure_shape(tf.numpy_function(lambda i: i, [row["image"]], tf.float32), [None, 3])}
    ),
    "another component": lambda tf, data: data.map(lambda row: row | {"more": row["number"]}),
    "a missing end": lambda tf, data: data.take(ROWS - 1),
}  # fmt: skip


HOW = ("exact", "rounding", "set", "unordered")


# A last bit is what rounding allows.
@pytest.mark.parametrize(
    ("fault", "how"), [(f, h) for f in FAULTS for h in HOW if (f, h) != ("a last bit", "rounding")]
)
def test_a_fault_is_found(tf: Any, data: Any, fault: str, how: Any) -> None:
    original, faulty = data, FAULTS[fault](tf, data)
    settings: dict[str, Any] = {"preserves": how}
    if how == "unordered":
        original, faulty, settings = shuffled(data), shuffled(faulty), {"ordered": False}
    if how == "rounding":
        settings["bound"] = Bound(1e-5, 1e-6)
    found = compare(original, faulty, **settings)
    assert found.difference is not None, str(found)
    assert not found.same
    batched = compare(original.batch(7), faulty.batch(7), batched=True, **settings)
    assert batched.difference is not None, str(batched)


def test_the_first_difference_is_described(tf: Any, data: Any) -> None:
    text = compare(data, FAULTS["a string"](tf, data)).difference
    assert text is not None
    assert str(text) == (
        "element 17, ['text']: 1 of 1 values differ: b'text 17\\x00' in the original, b'text 1!\\x00' in the other"
    )
    assert compare(data, FAULTS["a dropped element"](tf, data)).difference.index == 10  # type: ignore[union-attr]
    ends = compare(data, FAULTS["a missing end"](tf, data)).difference
    assert str(ends) == "element 59: not the same number of elements: it goes on in the original, it ends in the other"
    odd = compare(shuffled(data), shuffled(FAULTS["a string"](tf, data)), ordered=False).difference
    assert odd is not None
    assert odd.what == "1 rows are missing and 1 are too many or others"
    assert "b'text 17\\x00'" in odd.original
    assert "b'text 1!\\x00'" in odd.rewritten
    bit = compare(data, FAULTS["a last bit"](tf, data)).difference
    assert bit is not None
    assert (bit.index, bit.component, bit.what) == (17, "['image'][3, 2]", "1 of 12 values differ")


def test_swapped_elements_are_found_where_order_counts(data: Any) -> None:
    swapped = data.take(3).concatenate(data.skip(4).take(1)).concatenate(data.skip(3).take(1)).concatenate(data.skip(5))
    found = compare(data, swapped)
    assert found.difference is not None
    assert found.difference.index == 3
    assert compare(data, swapped, preserves="set").same


def test_another_batch_composition_is_found(data: Any) -> None:
    found = compare(data.batch(8), data.batch(8).unbatch().batch(10), batched=True, preserves="set")
    assert found.difference is not None
    assert str(found.difference) == ("batches of other sizes: 7 of 8, 1 of 4 in the original, 6 of 10 in the other")
    turned = data.skip(1).concatenate(data.take(1))
    assert compare(data.batch(8), turned.batch(8), batched=True).difference is not None


def test_ragged_row_lengths_are_found(tf: Any) -> None:
    def make(lengths: list[int]) -> Any:
        return tf.data.Dataset.from_tensor_slices(tf.RaggedTensor.from_row_lengths(tf.range(6), lengths))

    for batch in (0, 2):
        one, other = make([1, 2, 3, 0]), make([1, 2, 0, 3])
        if batch:
            one, other = (side.ragged_batch(batch) for side in (one, other))
        found = compare(one, other, batched=bool(batch))
        assert found.difference is not None
        assert found.difference.index == (2 if not batch else 1)
    # The same values, cut into rows at other places: other rows in any order, too.
    assert not compare(
        make([1, 2, 3]).ragged_batch(3), make([2, 1, 3]).ragged_batch(3), batched=True, ordered=False
    ).same


def test_padding_depends_on_the_batch_and_does_not_count_in_any_order(tf: Any) -> None:
    rows = [[1, 2, 3], [4], [5, 0, 6], [7, 8]]

    def make(order: list[int]) -> Any:
        picked = tf.ragged.constant([rows[n] for n in order], dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices(picked).map(lambda row: {"ids": row}).padded_batch(2)

    settings: dict[str, Any] = {"batched": True, "ordered": False, "preserves": "set"}
    assert compare(make([0, 1, 2, 3]), make([1, 3, 0, 2]), padding={"['ids']": 0}, **settings).same
    assert not compare(make([0, 1, 2, 3]), make([1, 3, 0, 2]), **settings).same
    rows[2] = [5, 6, 0]
    assert not compare(make([0, 1, 2, 3]), make([1, 3, 0, 0]), padding={"['ids']": 0}, **settings).same


# --- rounding


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("batch", [0, 8])
def test_rounding_is_measured(tf: Any, data: Any, ordered: bool, batch: int) -> None:
    near = data.map(lambda row: row | {"image": row["image"] * 3.0 / 3.0 + 1e-7})
    one, other = (data, near) if ordered else (shuffled(data), shuffled(near))
    if batch:
        one, other = one.batch(batch), other.batch(batch)
    settings: dict[str, Any] = {"preserves": "rounding", "ordered": ordered, "batched": bool(batch)}
    found = compare(one, other, bound=Bound(1e-6, 1e-6), **settings)
    assert found.same, str(found)
    assert 0 < found.errors.absolute < 5e-7
    far = compare(one, other, bound=Bound(1e-9, 1e-9), **settings)
    assert far.difference is not None
    assert "values differ" in str(far) or "no partner within the bound" in str(far)
    assert not compare(one, other, ordered=ordered, batched=bool(batch)).same


def test_rounding_matches_rows_that_are_otherwise_equal(tf: Any) -> None:
    values = np.random.default_rng(1).normal(size=(ROWS, 5)).astype(np.float32)
    one = tf.data.Dataset.from_tensor_slices(values)
    settings: dict[str, Any] = {"preserves": "rounding", "ordered": False, "bound": Bound(1e-6, 1e-6)}
    assert compare(one, tf.data.Dataset.from_tensor_slices(values[::-1] + np.float32(1e-7)), **settings).same
    wrong = values[::-1].copy()
    wrong[20, 3] += 0.01
    found = compare(one, tf.data.Dataset.from_tensor_slices(wrong), **settings)
    assert found.difference is not None
    assert found.difference.what.startswith("1 of 60 rows of the original have no partner")


def test_rows_of_which_a_projection_cannot_tell_the_order() -> None:
    # GIVEN two rows with the same projection, which rounding puts in another order
    weights = np.random.default_rng(0).standard_normal(2)
    a, b = np.zeros(2), np.array([weights[1], -weights[0]])
    one = Rows({b"": [a, b]}, 2)
    for off in (1e-9 * weights, -1e-9 * weights):
        count, example, errors = unmatched(one, Rows({b"": [b - off, a + off]}, 2), Bound(1e-6, 1e-6))
        assert (count, example) == (0, None)
        assert 0 < errors.absolute < 2e-9
    count, example, _ = unmatched(one, Rows({b"": [a, a]}, 2), Bound(1e-6, 1e-6))
    assert count == 1
    assert example is b


def test_nan_and_infinity(tf: Any) -> None:
    def make(*values: float) -> Any:
        return tf.data.Dataset.from_tensors(np.array(values))

    settings: dict[str, Any] = {"preserves": "rounding", "bound": Bound(1e-6, 1e-6)}
    nan, inf = float("nan"), float("inf")
    assert compare(make(nan, inf, -0.0, 1.0), make(nan, inf, 0.0, 1.0 + 1e-7), **settings).same
    assert compare(make(inf), make(1e300), **settings).difference is not None
    assert compare(make(nan), make(1.0), **settings).difference is not None
    assert compare(make(nan, -0.0), make(nan, -0.0)).same
    assert compare(make(-0.0), make(0.0)).difference is not None
    assert compare(make(1.0), make(1.0), **settings).errors == Errors()


# --- randomness


def noisy(tf: Any, data: Any) -> Any:
    return data.map(lambda row: row | {"image": row["image"] + tf.random.normal([4, 3])})


MASK = (0,)
"""The image."""


@pytest.mark.parametrize("order", [lambda data: data, shuffled])
@pytest.mark.parametrize("batch", [0, 8])
def test_randomness_that_stays_fresh_passes(tf: Any, data: Any, order: Any, batch: int) -> None:
    one = order(noisy(tf, data))
    other = noisy(tf, order(data.cache()))
    if batch:
        one, other = one.batch(batch), other.batch(batch)
    found = compare(one, other, mask=MASK, fresh=True, batched=bool(batch))
    assert found.same, str(found)
    assert found.fresh is not None
    assert found.fresh.rewritten["['image']"] == 0.0
    assert (found.fresh.frozen, found.fresh.unknown) == ((), ())
    assert "1 random components compared by dtype and shape only" in found.notes


@pytest.mark.parametrize("order", [lambda data: data, shuffled])
def test_cached_randomness_is_found(tf: Any, data: Any, order: Any) -> None:
    found = compare(order(noisy(tf, data)), order(noisy(tf, data).cache()), mask=MASK, fresh=True)
    assert not found.same
    assert str(found.difference) == (
        "['image']: no longer drawn anew every epoch: "
        "0.0% of rows come again in the original, 100.0% of rows come again in the other"
    )


def test_randomness_of_few_outcomes(tf: Any, data: Any) -> None:
    def flipped(rows: Any) -> Any:
        return rows.map(lambda row: row | {"image": tf.where(tf.random.uniform([]) < 0.5, row["image"], -row["image"])})

    assert compare(flipped(data), flipped(data.cache()), mask=MASK, fresh=True).same
    assert not compare(flipped(data), flipped(data).cache(), mask=MASK, fresh=True).same
    # Half of the rows frozen: 75 % come again where 50 % should.
    many = data.repeat(40)
    half = flipped(many.take(20 * ROWS)).cache().concatenate(flipped(many.skip(20 * ROWS)))
    assert not compare(flipped(many), half, mask=MASK, fresh=True).same


@pytest.mark.parametrize(
    "frozen", [lambda data: shuffled(data).cache(), lambda data: shuffled(data, seed=3, reshuffle_each_iteration=False)]
)
def test_a_frozen_shuffle_is_found(data: Any, frozen: Any) -> None:
    found = compare(shuffled(data), frozen(data), fresh=True)
    assert found.difference is not None
    assert found.difference.what == "order: no longer drawn anew every epoch"
    assert compare(shuffled(data), shuffled(data), fresh=True).same
    assert compare(frozen(data), frozen(data), ordered=False, fresh=True).same


def test_files_that_come_in_the_same_order_by_chance_are_not_called_frozen(tf: Any, data: Any) -> None:
    def halves(order: Any) -> Any:
        return order.flat_map(lambda half: data.skip(half * (ROWS // 2)).take(ROWS // 2))

    drawn = iter([[0, 1]] * 6 + [[1, 0]] * 100)
    by_chance = tf.data.Dataset.from_generator(lambda: next(drawn), output_signature=tf.TensorSpec((), tf.int64))
    assert compare(shuffled(data), halves(by_chance), fresh=True).same
    assert not compare(shuffled(data), halves(tf.data.Dataset.range(2).shuffle(2).cache()), fresh=True).same


def test_a_dozen_rows_tell_that_randomness_is_frozen(tf: Any, data: Any) -> None:
    few = data.take(12)
    assert not compare(noisy(tf, few), noisy(tf, few).cache(), mask=MASK, fresh=True).same


def test_too_few_rows_to_tell(tf: Any, data: Any) -> None:
    few = data.take(2)
    found = compare(shuffled(few), shuffled(few), fresh=True, ordered=False)
    assert found.same
    assert found.fresh is not None
    assert found.fresh.frozen == ()
    noise = compare(noisy(tf, few), noisy(tf, few).cache(), mask=MASK, fresh=True)
    assert noise.same
    assert noise.notes[-1] == "too few rows to tell whether ['image'] differ from epoch to epoch"


def test_random_components_without_a_mask_are_not_called_different(tf: Any, data: Any) -> None:
    found = compare(noisy(tf, data), noisy(tf, data))
    assert (found.same, found.known) == (False, False)
    assert "the original itself has other rows in each epoch" in str(found)


def test_the_types_of_random_components_count(tf: Any, data: Any) -> None:
    def cropped(least: int, most: int) -> Any:
        def crop(row: dict[str, Any]) -> dict[str, Any]:
            rows = tf.random.uniform([], least, most + 1, tf.int32)
            return row | {"image": tf.ensure_shape(row["image"][:rows], [None, 3])}

        return data.map(crop)

    assert compare(cropped(2, 2), cropped(2, 2), mask=MASK).same
    assert compare(cropped(2, 2), cropped(3, 3), mask=MASK).difference is not None
    assert compare(shuffled(cropped(2, 2)), shuffled(cropped(3, 3)), mask=MASK, ordered=False).difference is not None
    assert compare(cropped(1, 4), cropped(1, 4), mask=MASK).same


# --- samples


def test_a_sample_in_order_is_stated(data: Any) -> None:
    found = compare(data.repeat(), data.repeat(), max_elements=100)
    assert found == Equality(True, 100, False, True, notes=("a sample, as max_elements allowed no more",))
    assert str(found).startswith("the same, the first 100 elements, in order; a sample")


class Counted(SystemClock):
    """A clock that a dataset moves on, from whatever thread."""

    seconds = 0.0

    def now(self) -> float:
        return self.seconds


@pytest.mark.parametrize(("seconds", "known"), [(2.8, False), (40.0, True)])
def test_a_late_difference_tells_nothing_unless_the_original_was_seen_to_keep_its_order(
    tf: Any, seconds: float, known: bool
) -> None:
    clock = Counted()

    def numbers(other: int) -> Any:
        def made() -> Iterator[int]:
            for number in range(500):
                clock.seconds += 0.005
                yield other if number == 120 else number

        return tf.data.Dataset.from_generator(made, output_signature=tf.TensorSpec([], tf.int64))

    found = compare(numbers(120), numbers(-1), max_seconds=seconds, clock=clock)
    assert (found.same, found.known) == (False, known)
    assert ("whether the original has an order was not found out" in str(found)) is not known
    assert "-1" in str(found)
    assert "another order each time" not in str(found)


def test_a_sample_without_order_shows_nothing(data: Any) -> None:
    found = compare(shuffled(data), shuffled(data), max_elements=20, ordered=False)
    assert (found.same, found.known, found.whole) == (False, False, False)
    assert found.notes[-1] == "of a part of an epoch without order nothing follows"
    longer = compare(shuffled(data), shuffled(data.take(10)), max_elements=20, ordered=False)
    assert longer.difference is not None


def test_the_remainder_that_an_unordered_pipeline_drops(data: Any) -> None:
    one = shuffled(data).batch(8, drop_remainder=True)
    settings: dict[str, Any] = {"batched": True, "ordered": False}
    assert compare(one, one, leftover=4, **settings).same
    assert not compare(one, shuffled(data.skip(10)).batch(8, drop_remainder=True), leftover=4, **settings).same
    assert not compare(one, one, **settings).known


def test_time_ends_it(data: Any) -> None:
    found = compare(data.repeat(), data.repeat(), max_seconds=0.2)
    assert found.same
    assert not found.whole
    assert "a sample, as time allowed no more" in found.notes


def test_rows_in_any_order_may_be_rounded_where_that_is_said(tf: Any) -> None:
    one = tf.data.Dataset.from_tensor_slices(np.linspace(1, 2, 50, dtype=np.float32))
    other = one.map(lambda x: x * (1 + 1e-6)).shuffle(50, seed=1)
    assert compare(one, other, preserves="set", bound=Bound(1e-5, 1e-6)).same
    assert not compare(one, other, preserves="set").same
    assert not compare(one, one.map(lambda x: x * 1.001).shuffle(50), preserves="set", bound=Bound(1e-5, 1e-6)).same


def test_an_order_that_is_drawn_as_a_dataset_is_made_is_none(tf: Any) -> None:
    rows = np.arange(100)
    made = itertools.count(1)

    def drawn() -> Any:
        return tf.data.Dataset.from_tensor_slices(np.random.default_rng(next(made)).permutation(rows))

    assert compare(drawn(), drawn()).difference is not None
    found = compare(drawn(), drawn(), again=drawn)
    assert (found.same, found.ordered) == (True, False)
    assert found.notes[0] == "the original comes in another order each time"
    assert compare(drawn(), drawn().map(lambda row: row + 1), again=drawn).difference is not None


def test_where_no_order_is_promised_a_swap_is_no_difference(tf: Any) -> None:
    given, swapped = (tf.data.Dataset.from_tensor_slices(rows) for rows in ([0, 1, 2, 3], [1, 0, 2, 3]))
    assert compare(given, swapped).difference is not None
    found = compare(given, swapped, loose=True)
    assert (found.same, found.ordered, found.notes[0]) == (True, False, "the original promises no order")
    assert compare(given, given.skip(1), loose=True).difference is not None
