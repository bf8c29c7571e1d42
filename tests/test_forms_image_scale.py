"""The form `scaled_decode`: another image, so only where the user asks for it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from forms_images import jpegs, png
from PIL import Image

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.image_checks import same_results
from pipeline_opt.build.forms.image_scale import scaled_decode
from pipeline_opt.build.traced import traced

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

CONTENTS = tf.TensorSpec([], tf.string)


def small(contents: Any) -> Any:
    return tf.image.resize(tf.cast(tf.io.decode_jpeg(contents, 3), tf.float32), [20, 20])


def smooth(height: int, width: int) -> bytes:
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 255 // height, columns * 255 // width, rows * 0 + 90], -1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


def test_a_smooth_image_comes_out_nearly_the_same() -> None:
    given = traced(small, CONTENTS)
    form = scaled_decode(given)
    assert not isinstance(form, Refused)
    agreement = same_results(given, form, [smooth(100, 90), smooth(170, 400)])
    assert not agreement.exact
    assert 0 < agreement.absolute < 12


def test_what_is_not_much_larger_or_no_jpeg_is_decoded_whole() -> None:
    given = traced(small, CONTENTS)
    form = scaled_decode(given)
    assert not isinstance(form, Refused)
    assert (
        same_results(given, form, [*jpegs(1, 7, 10, 39), png(100, 100), smooth(39, 500), b"no image"]).mismatch is None
    )


def also_whole(contents: Any) -> Any:
    image = tf.io.decode_jpeg(contents, 3)
    return tf.image.resize(image, [20, 20]), image


def to_any_size(contents: Any) -> Any:
    size = tf.random.uniform([2], 10, 20, tf.int32)
    return tf.image.resize(tf.io.decode_jpeg(contents, 3), size)


def cropped_before(contents: Any) -> Any:
    return tf.image.resize(tf.io.decode_jpeg(contents, 3)[:40, :40], [20, 20])


def antialiased(contents: Any) -> Any:
    return tf.image.resize(tf.io.decode_jpeg(contents, 3), [20, 20], antialias=True)


@pytest.mark.parametrize("function", [also_whole, to_any_size, cropped_before, antialiased], ids=lambda f: f.__name__)
def test_refused(function: Any) -> None:
    assert isinstance(scaled_decode(traced(function, CONTENTS)), Refused)
