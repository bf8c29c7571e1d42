"""The transforms that stand in a plan until the user gives others.

Each is for one element, takes tensors and plain keyword values, and uses nothing but `tf`, since its source is written
into the Python code that a plan becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def decode_image(encoded: Any, *label: Any, height: int = 224, width: int = 224) -> Any:
    """Decode a JPEG, PNG, GIF or BMP image, resize it (bilinear), and scale it to [0, 1].

    Args:
        encoded: Scalar string: the image's file.
        *label: Whatever comes with it, passed on.
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        The image, float32 of shape (height, width, 3), followed by the label if there was one.
    """
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image = tf.image.resize(image, (height, width)) / 255.0
    image.set_shape((height, width, 3))
    return (image, *label) if label else image


def parse_example(record: Any, *, schema: Mapping[str, str], height: int = 224, width: int = 224) -> Any:
    """Parse a `tf.train.Example`, decoding the images in it.

    Args:
        record: Scalar string: the serialized example.
        schema: For each feature its type (`int64`, `float32`, `string` or `image`), a rule, and a length: `exactly`
            that many values; `optional`, zeros where the feature is missing; `at_most`, cut or filled up with zeros.
        height: Rows of a decoded image.
        width: Columns of a decoded image.

    Returns:
        A dictionary: scalars for length 1 (`at_most` aside), else vectors; images as `decode_image` gives them.
    """
    features = {}
    for name, spec in schema.items():
        kind, rule, length = spec.split()
        dtype = tf.string if kind == "image" else tf.as_dtype(kind)
        shape = [] if length == "1" else [int(length)]
        if rule == "at_most":
            features[name] = tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True)
        elif rule == "optional":
            features[name] = tf.io.FixedLenFeature(shape, dtype, default_value=tf.zeros(shape, dtype))
        else:
            features[name] = tf.io.FixedLenFeature(shape, dtype)
    parsed = tf.io.parse_single_example(record, features)
    for name, spec in schema.items():
        kind, rule, length = spec.split()
        if rule == "at_most":
            values = parsed[name][: int(length)]
            filler = tf.zeros([int(length) - tf.shape(values)[0]], values.dtype)
            parsed[name] = tf.ensure_shape(tf.concat([values, filler], 0), [int(length)])
        if kind == "image":
            image = tf.io.decode_image(parsed[name], channels=3, expand_animations=False)
            image = tf.image.resize(image, (height, width)) / 255.0
            image.set_shape((height, width, 3))
            parsed[name] = image
    return parsed


def split_and_hash(line: Any, *, buckets: int = 32768, max_tokens: int = 128) -> Any:
    """Split a line of text at white space and hash its words.

    Args:
        line: Scalar string.
        buckets: Number of different token ids; 0 stands for no word.
        max_tokens: Length of the result: longer lines are cut, shorter ones filled up with 0.

    Returns:
        Token ids, int64 of shape (max_tokens,).
    """
    words = tf.strings.split(line)[:max_tokens]
    tokens = tf.strings.to_hash_bucket_fast(words, buckets - 1) + 1
    tokens = tf.pad(tokens, [[0, max_tokens - tf.shape(tokens)[0]]])
    return tf.ensure_shape(tokens, [max_tokens])


def parse_csv(line: Any, *, columns: Sequence[str], types: Sequence[str], delimiter: str = ",") -> Any:
    """Parse a line of comma-separated values.

    Args:
        line: Scalar string.
        columns: Names of the columns.
        types: Their types: `int64`, `float32` or `string`; with `?` after it, a value may be missing: NaN or "".
        delimiter: What separates the values.

    Returns:
        A dictionary of scalars by column name.
    """
    defaults = []
    for kind in types:
        dtype = tf.as_dtype(kind.rstrip("?"))
        filler = "" if dtype == tf.string else float("nan")
        defaults.append(tf.constant([filler] if kind.endswith("?") else [], dtype))
    return dict(zip(columns, tf.io.decode_csv(line, defaults, field_delim=delimiter), strict=True))
