"""The form `crop_window`: a window of a JPEG decoded alone is the window of the whole, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from forms_images import KINDS, all_ops, jpeg, jpegs, png, windows

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.image_checks import same_results
from pipeline_opt.build.forms.image_crop import crop_window
from pipeline_opt.build.traced import traced

pytestmark = pytest.mark.tf

CONTENTS = tf.TensorSpec([], tf.string)


def decoded(contents: Any, **settings: Any) -> Any:
    return tf.io.decode_jpeg(contents, **{"channels": 3, **settings})


def fixed(contents: Any) -> Any:
    return decoded(contents)[3:20, 5:]


def from_the_end(contents: Any) -> Any:
    image = decoded(contents, channels=0)
    return image[-12:-3, -500:-2, ::-1], tf.size(image), tf.rank(image)


def drawn(contents: Any) -> Any:
    return tf.image.random_crop(decoded(contents), [20, 20, 3])


def drawn_by_seed(contents: Any) -> Any:
    image = decoded(contents, ratio=2)
    size = tf.shape(image)
    return tf.image.stateless_random_crop(image, [size[0] // 2, size[1] // 2, 3], seed=[1, size[0]])


def drawn_box(contents: Any) -> Any:
    image = decoded(contents)
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        tf.shape(image), tf.zeros([1, 0, 4]), area_range=(0.05, 1.0), use_image_if_no_bounding_boxes=True
    )
    crop = tf.slice(tf.cast(image, tf.float32) - [1.0, 2.0, 3.0], begin, size)
    crop.set_shape([None, None, 3])
    return crop


def central(contents: Any) -> Any:
    return tf.image.central_crop(tf.image.convert_image_dtype(decoded(contents), tf.float32), 0.5)


def cropped_or_padded(contents: Any) -> Any:
    image = tf.io.decode_image(contents, 3)
    image.set_shape([None, None, 3])
    image = tf.image.convert_image_dtype(image, tf.float32)
    return tf.image.resize_with_crop_or_pad(image, 40, 40) - tf.constant([0.1, 0.2, 0.3])


def boxed(contents: Any) -> Any:
    image = tf.io.decode_image(contents, expand_animations=False)
    top = tf.random.uniform([], 0, 8, tf.int32)
    return tf.image.crop_to_bounding_box(image, top, 2, 20, 20)


def sometimes_brighter(contents: Any) -> Any:
    image = decoded(contents)[:20, :20]
    return tf.cond(tf.random.uniform([]) < 0.5, lambda: tf.image.random_brightness(image, 0.3), lambda: image)


ACCEPTED = (
    *(fixed, from_the_end, drawn, drawn_by_seed, drawn_box, central, cropped_or_padded, boxed),
    sometimes_brighter,
)


@pytest.mark.parametrize("function", ACCEPTED, ids=lambda f: f.__name__)
def test_the_window_is_the_same_and_decoded_alone(function: Any) -> None:
    given = traced(function, CONTENTS)
    form = crop_window(given)
    assert not isinstance(form, Refused), form.reason
    assert "DecodeAndCropJpeg" in all_ops(form)
    agreement = same_results(given, form, [*jpegs(1, 35, 44), png(50, 60)])
    assert agreement.mismatch is None
    assert agreement.count == 36
    assert tf.data.Dataset.from_tensors(b"").map(form).element_spec == given.gives


SETTINGS = (
    {"channels": 0},
    {"channels": 1},
    {"channels": 3, "fancy_upscaling": False},
    {"channels": 3, "dct_method": "INTEGER_ACCURATE"},
    {"channels": 3, "ratio": 2},
    {"channels": 0, "ratio": 8, "fancy_upscaling": False},
)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_any_window_of_any_jpeg(settings: dict[str, Any]) -> None:
    def window(contents: Any, place: Any) -> Any:
        image = tf.io.decode_jpeg(contents, **settings)
        return tf.slice(image, [place[0], place[1], 0], [place[2], place[3], -1]), tf.shape(image, tf.int64)

    rng = np.random.default_rng(7)
    elements = []
    for kind in (k for k in KINDS if k != "cmyk" or settings["channels"] != 1):
        for height, width in rng.integers(1, 90, (8, 2)):
            ratio = settings.get("ratio", 1)
            sides = [-(-int(side) // ratio) for side in (height, width)]
            data = jpeg(rng, kind, int(height), int(width))
            elements += [(data, np.array(place, np.int32)) for place in windows(rng, *sides, 4)]
    given = traced(window, (CONTENTS, tf.TensorSpec([4], tf.int32)))
    form = crop_window(given)
    assert not isinstance(form, Refused)
    assert same_results(given, form, elements).mismatch is None


def test_what_is_no_whole_jpeg_fails_or_is_decoded_as_before() -> None:
    data = jpegs(3, 7)
    broken = [
        b"",
        data[0][:200],
        data[0][:-2],
        data[1] + b"\0",
        data[5][:-2],
        png(30, 30),
        b"\xff\xd8\xff\xd9",
        data[2][:-300],
    ]
    given = traced(fixed, CONTENTS)
    form = crop_window(given)
    assert not isinstance(form, Refused)
    assert same_results(given, form, broken).mismatch is None


def test_a_window_outside_of_the_image_fails_as_before() -> None:
    def window(contents: Any, place: Any) -> Any:
        return tf.slice(decoded(contents), [place[0], place[1], 0], [place[2], place[3], 3])

    data = jpegs(4, 1, 40, 41)[0]
    places = [
        (0, 0, 41, 40),
        (39, 39, 2, 1),
        (-1, 0, 5, 5),
        (40, 0, 1, 1),
        (50, 50, 1, 1),
        (40, 40, 0, 0),
        (3, 3, 0, 9),
        (0, 0, 40, 40),
    ]
    given = traced(window, (CONTENTS, tf.TensorSpec([4], tf.int32)))
    form = crop_window(given)
    assert not isinstance(form, Refused)
    assert same_results(given, form, [(data, np.array(place, np.int32)) for place in places]).mismatch is None


def test_seeded_draws_go_on_as_before() -> None:
    def function(contents: Any) -> Any:
        return tf.image.random_crop(decoded(contents), [20, 20, 3], seed=5), tf.random.uniform([], seed=6)

    data = tf.data.Dataset.from_tensor_slices(jpegs(5, 20)).repeat(2)
    given = traced(function, CONTENTS)
    form = crop_window(given)
    for (one, draw), (other, same) in zip(data.map(given), data.map(form), strict=True):
        assert np.array_equal(one, other)
        assert float(draw) == float(same)


def resized_before(contents: Any) -> Any:
    return tf.image.random_crop(tf.image.resize(decoded(contents), [64, 64]), [20, 20, 3])


def flipped_before(contents: Any) -> Any:
    return tf.image.random_flip_left_right(decoded(contents))[:20, :20]


def also_whole(contents: Any) -> Any:
    image = decoded(contents)
    return image[:20, :20], image


def of_its_pixels(contents: Any) -> Any:
    image = decoded(contents)
    return image[tf.cast(image[0, 0, 0], tf.int32) // 9 :, :20]


def cropped_twice(contents: Any) -> Any:
    image = decoded(contents)
    return image[:20, :20], image[5:25, 5:25]


def only_channels(contents: Any) -> Any:
    return decoded(contents)[..., ::-1]


def every_second(contents: Any) -> Any:
    return decoded(contents)[:20:2, :20]


def one_row(contents: Any) -> Any:
    return decoded(contents)[3]


def of_a_png(contents: Any) -> Any:
    return tf.io.decode_png(contents)[:20, :20]


def as_float(contents: Any) -> Any:
    return tf.io.decode_image(contents, 3, tf.float32, expand_animations=False)[:20, :20]


def truncated(contents: Any) -> Any:
    return decoded(contents, try_recover_truncated=True)[:20, :20]


def of_a_batch(contents: Any) -> Any:
    spec = tf.TensorSpec([20, 20, 3], tf.uint8)
    return tf.map_fn(lambda one: decoded(one)[:20, :20], contents[None], fn_output_signature=spec)


REFUSED = (
    (resized_before, "takes the whole image"),
    (flipped_before, "StatelessIf"),
    (also_whole, "DecodeJpeg: the whole image is given, too"),
    (of_its_pixels, "2 times"),
    (cropped_twice, "cropped 2 times"),
    (only_channels, "keeps all rows and columns"),
    (every_second, "skips or turns"),
    (one_row, "no window"),
    (of_a_png, "it decodes no JPEG"),
    (as_float, "gives no uint8"),
    (truncated, "what is truncated"),
    (of_a_batch, "only in a function that it calls"),
)


@pytest.mark.parametrize(("function", "reason"), REFUSED, ids=lambda v: getattr(v, "__name__", ""))
def test_refused(function: Any, reason: str) -> None:
    form = crop_window(traced(function, CONTENTS))
    assert isinstance(form, Refused)
    assert reason in form.reason
