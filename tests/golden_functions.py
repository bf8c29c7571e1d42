"""The functions that golden plans name, so that they can be built: `m:decode` is `decode` here."""

from __future__ import annotations

import tensorflow as tf


def decode(record):
    image = tf.io.decode_jpeg(record, channels=3)[4:12, 6:20]
    return tf.reverse(tf.cast(image, tf.float32), [1])


def crop(record):
    return tf.io.decode_jpeg(record, channels=3)[:4, :4]


def augment(record):
    image = tf.io.decode_jpeg(record, channels=3)[4:12, 6:20] if record.dtype == tf.string else record
    return tf.cast(image, tf.float32) + tf.random.uniform([]), tf.size(record)


def to_float(record):
    return tf.cast(tf.io.decode_jpeg(record, channels=3), tf.float32) * 2.0


def mask(record):
    return tf.strings.length(record)


def join(image, length):
    return image, length


def windows(record):
    return tf.data.Dataset.range(3).map(lambda number: number + tf.cast(tf.strings.length(record), tf.int64))


def parse(record):
    return tf.strings.length(record), tf.strings.substr(record, 0, 2)


def split(record):
    return tf.strings.bytes_split(tf.strings.as_string(tf.strings.length(record)))


def spans(record):
    places = tf.range(tf.strings.length(record) % 5)
    return places, {"twice": tf.stack([places * 2, places], 1)}


def number_of(value):
    return tf.cast(tf.strings.length(value) if value.dtype == tf.string else value, tf.float32)


def scale(value):
    return number_of(value) * 2.0


def normalise(value):
    return number_of(value) - tf.reduce_min(number_of(value))


def fetch(record):
    return tf.strings.length(record)


def a(record):
    return tf.strings.length(record) + 1


def b(length):
    return length * 3


def keep(*value):
    return tf.reduce_sum(tf.cast(number_of(value[-1]), tf.int32)) % 3 > 0


def ignore_errors(dataset):
    return dataset.ignore_errors()


def load(record):
    image = tf.ensure_shape(tf.io.decode_jpeg(record, channels=3)[4:12, 6:20], [8, 14, 3])
    return tf.cast(image, tf.float32) * 2.0, tf.strings.length(record)
