"""What the tuner says of the forms that it finds: equal results, ops that round otherwise, and reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from forms_images import jpegs

from pipeline_opt.build.forms import derive
from pipeline_opt.build.traced import traced
from pipeline_opt.clock import SystemClock
from pipeline_opt.optimizer.facts import Overheads
from pipeline_opt.optimizer.rules import chunks
from pipeline_opt.tuner import forms
from pipeline_opt.tuner.forms import FormFinder
from pipeline_opt.tuner.samples import gathered, in_memory

pytestmark = pytest.mark.tf

LONG_S = 1.0
"""Work for which forms are worth a look."""
VECTORS = np.random.default_rng(0).normal(size=(20, 40)).astype("float32")


def finder(function: Any, values: Any) -> FormFinder:
    dataset, clock = tf.data.Dataset.from_tensor_slices(values), SystemClock()
    taken = gathered(dataset, clock, batched=False)
    return FormFinder(traced(function, dataset.element_spec), taken, clock, Overheads())


def test_ops_that_may_round_otherwise_are_in_the_evidence() -> None:
    found = finder(lambda x: tf.exp(x) - tf.reduce_mean(x), VECTORS).of_batches(None)["batched"]
    assert found.preserves == "rounding"
    assert "Exp, Mean may round otherwise" in found.evidence


def test_a_form_of_exact_ops_is_exact() -> None:
    found = finder(lambda x: x * 2.0 - 1.0, VECTORS).of_batches(None)["batched"]
    assert (found.preserves, found.refused) == ("exact", None)
    assert found.evidence.endswith("elements are equal bit for bit")


def test_a_form_of_a_function_that_always_fails_is_refused() -> None:
    def failing(x: Any) -> Any:
        tf.debugging.assert_less(x, x)
        return x

    found = finder(failing, np.arange(20)).of_batches(None)["batched"]
    assert "nothing to compare" in str(found.refused)


def test_rows_of_several_lengths_at_once_and_taken_apart() -> None:
    found, apart = finder(lambda line: tf.strings.split(line), ["a b", "", "c", "d e f"]).of_chunks(8.0)
    assert found.keys() == {"ragged", "ragged+flat"}
    assert {(form.preserves, form.refused) for form in found.values()} == {("exact", None)}
    assert apart is not None
    assert apart.cpu_s >= 0
    refused, nothing = finder(lambda x: tf.unique(x)[0], VECTORS).of_chunks(8.0)
    assert "Unique" in str(refused[chunks.FORM].refused)
    assert nothing is None


def test_rows_that_are_no_sequences_are_not_end_to_end() -> None:
    found, _ = finder(lambda line: tf.strings.length(line), ["a b", "", "c"]).of_chunks(8.0)
    assert found["ragged"].refused is None
    assert "no sequences" in str(found["ragged+flat"].refused)


def test_chunks_are_measured_at_the_size_at_which_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[int, ...]] = set()

    def measured(dataset: Any, clock: Any) -> float:
        seen.add(tuple(next(iter(dataset)).shape))
        return 1.0

    monkeypatch.setattr(forms, "cpu_each", measured)
    numbers = finder(lambda x: tf.fill([50_000], x), np.arange(20.0, dtype="float32"))
    found, apart = numbers.of_chunks(200_000.0)
    assert found[chunks.FORM].refused is None
    assert apart is not None
    rows = chunks.chunk_rows(4.0, 200_000.0)
    assert rows == chunks.LEAST_ROWS
    assert seen == {(rows,), (rows, 50_000), (50_000,)}


def test_what_is_kept_in_memory_is_made_once() -> None:
    made: list[int] = []

    def counted(number: Any) -> Any:
        made.append(int(number))
        return number

    numbers = tf.data.Dataset.range(9).map(lambda n: tf.numpy_function(counted, [n], tf.int64))
    kept = in_memory(numbers, 4)
    for count in (1, 3, 9):
        assert [int(n) for n in kept.repeat().take(count)] == [0, 1, 2, 3, 0, 1, 2, 3, 0][:count]
    assert made == [0, 1, 2, 3]


def test_a_form_for_chunks_is_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[str] = []

    def counted(function: Any, name: str, **told: Any) -> Any:
        derived.append(name)
        return derive(function, name, **told)

    monkeypatch.setattr(forms, "derive", counted)
    assert finder(lambda x: x + 1.0, VECTORS).of_chunks(8.0)[0][chunks.FORM].refused is None
    assert derived == ["ragged", "flat"]


def test_forms_in_place_one_after_another() -> None:
    def function(contents: Any) -> Any:
        image = tf.image.random_crop(tf.io.decode_jpeg(contents, 3), [20, 20, 3])
        return tf.image.flip_left_right(tf.cast(image, tf.float32)) / 255.0

    found = finder(function, jpegs(1, 14)).in_place(LONG_S)
    assert found["crop_window"].preserves == "exact"
    assert "no work on single pixels" in str(found["crop_first"].refused)
    assert found["crop_window+cast_late"].refused is None


def test_parts_that_there_are_not_have_a_reason() -> None:
    found = finder(lambda contents: tf.io.decode_jpeg(contents, 3), jpegs(1, 14)).parts(LONG_S)
    assert {name: facts.refused for name, facts in found.items()} == {
        "pure_part": "nothing in it is random or has a state",
        "small_part": "nothing at its end is only a cast, a scaling, one-hot or padding",
    }


def test_both_parts_are_found() -> None:
    def function(contents: Any) -> Any:
        image = tf.image.resize(tf.io.decode_jpeg(contents, 3), [20, 20])
        return tf.image.random_flip_left_right(image)

    found = finder(function, jpegs(1, 14)).parts(LONG_S)
    assert found["pure_part"].refused is found["random_part"].refused is None
    assert found["pure_part"].bytes_out == 20 * 20 * 3 * 4


def test_the_end_of_a_function_that_can_be_computed_for_batches() -> None:
    def scaled(contents: Any) -> Any:
        return tf.image.resize(tf.io.decode_jpeg(contents, 3), [8, 8]) / 255.0

    found = finder(scaled, np.array(jpegs(1, 20))).of_ends(8)
    assert found.keys() == {"row_part", "row_part+looped", "batch_part+batched"}
    assert [form.refused for form in found.values()] == [None, None, None]
    assert found["row_part"].bytes_out == found["row_part+looped"].bytes_out == 8 * 8 * 3 * 4
    assert "nothing in it is computed for one" in str(finder(lambda x: x + 1, VECTORS).of_ends(8)["row_part"].refused)
