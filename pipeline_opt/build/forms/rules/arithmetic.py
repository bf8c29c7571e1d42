"""Whole numbers of rows: lengths and places, int64, with what is known of them."""

from __future__ import annotations

from typing import Any

from pipeline_opt.build.forms.facts import Sum, greatest, least, product
from pipeline_opt.build.forms.values import Dense, Same, Scalar, known_or, sum_of
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def zero() -> Scalar:
    """0 for all rows."""
    return Same(tf.constant(0, tf.int64))


def minus(one: Scalar, other: Scalar) -> Scalar:
    """The difference."""
    return known_or(sum_of(one).plus(sum_of(other), -1), _int64(one) - _int64(other))


def times(one: Scalar, other: Scalar) -> Scalar:
    """The product, of the type of the factors."""
    return known_or(product(sum_of(one), sum_of(other)), one.tensor * other.tensor)


def smaller(one: Scalar, other: Scalar) -> Scalar:
    """The smaller one."""
    return known_or(least(sum_of(one), sum_of(other)), tf.minimum(_int64(one), _int64(other)))


def larger(one: Scalar, other: Scalar) -> Scalar:
    """The larger one."""
    return known_or(greatest(sum_of(one), sum_of(other)), tf.maximum(_int64(one), _int64(other)))


def bounded(place: Scalar, lengths: Dense) -> Scalar:
    """A bound of a slice as a place from 0 to the length: below 0 it counts from the end."""
    known = sum_of(place)
    if known.low >= 0:
        return smaller(place, lengths)
    if known.high < 0:
        return larger(known_or(known.plus(sum_of(lengths)), _int64(place) + lengths.tensor), zero())
    tensor = _int64(place)
    counted = tf.where(tensor < 0, tf.maximum(tensor + lengths.tensor, 0), tensor)
    return smaller(Dense(counted, greatest(Sum(0), sum_of(Dense(counted)))), lengths)


def _int64(value: Scalar) -> Any:
    return tf.cast(value.tensor, tf.int64)
