"""Functions as a user has them in a module of his own: it knows nothing of pipeline_opt."""

from __future__ import annotations

import tensorflow as tf


def double(number):
    return number * 2


def scale(number, factor, offset=0):
    return number * factor + offset


def is_even(number):
    return number % 2 == 0


def up_to(number):
    return tf.data.Dataset.range(number)


def length(text):
    return tf.strings.length(text)


def letters(line):
    return tf.strings.bytes_split(line)


def letter_count(letters):
    return tf.shape(letters)[0]


def first_five(dataset):
    return dataset.take(5)


def make_numbers(count=3):
    return tf.data.Dataset.range(count)


class Steps:
    @staticmethod
    def negate(number):
        return -number
