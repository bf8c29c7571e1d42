"""The forms `crop_first`, `cast_late` and `float_resize`: less work in front of, or in, what makes images smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from forms_images import kinds_of_ops

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.image_checks import same_results
from pipeline_opt.build.forms.image_order import cast_late, crop_first
from pipeline_opt.build.forms.image_resize import float_resize
from pipeline_opt.build.traced import traced

pytestmark = pytest.mark.tf


def images(count: int = 12, height: int = 40, width: int = 50, channels: int = 3) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, channels), dtype=np.uint8) for _ in range(count)]


SPEC = tf.TensorSpec([None, None, 3], tf.uint8)


def scaled(image: Any) -> Any:
    return ((tf.cast(image, tf.float32) / 255.0 - [0.1, 0.2, 0.3]) / [0.4, 0.5, 0.6])[3:20, 5:]


def converted(image: Any) -> Any:
    return tf.image.convert_image_dtype(image, tf.float32)[:9] + tf.random.uniform([])


def chosen_integers(image: Any) -> Any:
    return tf.sign(tf.nn.relu(tf.maximum(tf.cast(image, tf.int32) - 9, -3)))[:9]


def by_a_scalar_of_all(image: Any) -> Any:
    wide = tf.cast(image, tf.float32)
    return (wide - tf.reduce_mean(tf.cast(image, tf.float32)))[:9, :9]


@pytest.mark.parametrize("function", [scaled, converted, chosen_integers, by_a_scalar_of_all], ids=lambda f: f.__name__)
def test_crops_come_first(function: Any) -> None:
    given = traced(function, SPEC)
    form = crop_first(given)
    assert not isinstance(form, Refused), form.reason
    ops = kinds_of_ops(form)
    assert ops.index("StridedSlice") < max(place for place, op in enumerate(ops) if op == "Cast")
    assert same_results(given, form, images()).mismatch is None


CHOOSING = {
    "maximum": lambda x: tf.maximum(x, 0.0),
    "minimum": lambda x: tf.minimum(x, 0.0),
    "clip": lambda x: tf.clip_by_value(x, 0.0, 9.0),
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "sign": tf.sign,
}


@pytest.mark.parametrize("choosing", CHOOSING)
def test_what_chooses_between_zeros_of_two_signs_stays_in_front(choosing: str) -> None:
    """The zero that it chooses may depend on the place in the array: on black images all are -0.0 here."""

    def function(image: Any) -> Any:
        return CHOOSING[choosing](tf.cast(image, tf.float32) * -1.0)[1:, 1:]

    form = crop_first(traced(function, SPEC))
    assert isinstance(form, Refused)
    assert "no work on single pixels" in form.reason
    given = traced(lambda image: (CHOOSING[choosing](tf.cast(image, tf.float32) * -1.0) / 3.0)[1:, 1:], SPEC)
    form = crop_first(given)
    assert not isinstance(form, Refused)
    assert kinds_of_ops(form)[-1] == "RealDiv"
    assert same_results(given, form, [np.zeros([17, 19, 3], np.uint8), *images()]).exact


def test_what_tensorflow_would_fold_is_kept_apart() -> None:
    """`x * a * b` is run as `x * (a * b)`: with the crop between them gone the last bits would change."""

    def function(image: Any) -> Any:
        return (tf.cast(image, tf.float32) * 0.1)[3:20, 5:] * 0.3

    given = traced(function, SPEC)
    form = crop_first(given)
    assert not isinstance(form, Refused)
    assert kinds_of_ops(form) == ["StridedSlice", "Cast", "Mul", "Snapshot", "Mul"]
    assert same_results(given, form, images()).mismatch is None


def parted(image: Any) -> Any:
    once = tf.cast(image, tf.float32) * 0.1
    return (once * 0.3)[3:20, 5:], once


def with_exp(image: Any) -> Any:
    return tf.exp(tf.cast(image, tf.float32))[:10]


def to_integers(image: Any) -> Any:
    return tf.cast(tf.cast(image, tf.float32) * 9.0, tf.uint8)[:10]


def by_itself(image: Any) -> Any:
    return (tf.cast(image, tf.float32) * tf.ones_like(image, tf.float32))[:10]


def fewer_channels(image: Any) -> Any:
    return (tf.cast(image, tf.float32) - [1.0, 2.0, 3.0])[:10, :10, :2]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (parted, "TensorFlow makes one op of"),
        (with_exp, "no work on single pixels"),
        (to_integers, "no work on single pixels"),
        (by_itself, "no work on single pixels"),
        (fewer_channels, "no work on single pixels"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_crop_first_refuses(function: Any, reason: str) -> None:
    form = crop_first(traced(function, SPEC))
    assert isinstance(form, Refused)
    assert reason in form.reason


def test_casts_come_late() -> None:
    def function(image: Any) -> Any:
        moved = tf.transpose(tf.image.flip_left_right(tf.cast(image, tf.float32)), [1, 0, 2])
        return tf.reshape(moved, [-1, 3])[tf.newaxis] / 255.0

    given = traced(function, SPEC)
    form = cast_late(given)
    assert not isinstance(form, Refused)
    ops = kinds_of_ops(form)
    assert ops.index("Cast") > max(ops.index(op) for op in ("ReverseV2", "Transpose", "Reshape"))
    assert same_results(given, form, images()).mismatch is None


@pytest.mark.parametrize("kind", [tf.uint8, tf.int32], ids=lambda k: k.name)
def test_cast_late_refuses_what_is_not_wider(kind: Any) -> None:
    form = cast_late(traced(lambda image: tf.cast(image, kind)[:, ::-1], tf.TensorSpec([None, None, 3], tf.int32)))
    assert isinstance(form, Refused)


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(40, 50, 3), (None, None, 3)], ids=str)
def test_small_integers_are_resized_as_floats(method: str, shape: tuple[int | None, ...]) -> None:
    given = traced(
        lambda image: tf.image.resize(image, [33, 21], method=method) / 255.0, tf.TensorSpec(shape, tf.uint8)
    )
    form = float_resize(given)
    assert not isinstance(form, Refused)
    assert ("Cast" in kinds_of_ops(form)) == (None not in shape)
    sizes = [(40, 50)] if None not in shape else [(40, 50), (7, 9), (200, 150)]
    for height, width in sizes:
        assert same_results(given, form, images(6, height, width)).mismatch is None


def test_large_images_are_resized_as_they_are() -> None:
    spec = tf.TensorSpec([200, 150, 3], tf.uint8)
    given = traced(lambda image: tf.image.resize(tf.cast(image, tf.float32), [20, 20]), spec)
    form = float_resize(given)
    assert not isinstance(form, Refused)
    assert "Cast" not in kinds_of_ops(form)
    assert same_results(given, form, images(6, 200, 150)).mismatch is None


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda image: tf.image.resize(tf.cast(image, tf.float32), [20, 20]), "not known to be much larger"),
        (lambda image: tf.image.resize(image, [20, 20], method="nearest"), "no image of small integers"),
        (lambda image: tf.image.resize(image, [20, 20], antialias=True), "no image of small integers"),
        (lambda image: tf.image.resize(tf.cast(image, tf.int32), [20, 20]), "no image of small integers"),
        (lambda image: tf.image.resize(tf.cast(image, tf.float32) / 255.0, [20, 20]), "no image of small integers"),
    ],
)
def test_float_resize_refuses(call: Any, reason: str) -> None:
    form = float_resize(traced(tf.autograph.experimental.do_not_convert(call), SPEC))
    assert isinstance(form, Refused)
    assert reason in form.reason
