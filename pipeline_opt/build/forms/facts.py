"""What is known of a whole number that differs from row to row: a sum of unknowns, each within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LONGEST: Final = 2**30
"""The most values that a row is taken to have."""


@dataclass(frozen=True, eq=False)
class Unknown:
    """A number of which only the bounds are known; equal to itself alone."""

    low: int
    high: int


@dataclass(frozen=True)
class Sum:
    """A constant and multiples of unknowns."""

    constant: int = 0
    terms: Mapping[Unknown, int] = field(default_factory=dict)

    @property
    def low(self) -> int:
        """The least that it can be."""
        return self.constant + sum(n * (x.low if n > 0 else x.high) for x, n in self.terms.items())

    @property
    def high(self) -> int:
        """The most that it can be."""
        return self.constant + sum(n * (x.high if n > 0 else x.low) for x, n in self.terms.items())

    @property
    def known(self) -> int | None:
        """The number itself, where it can be only one."""
        return self.low if self.low == self.high else None

    def plus(self, other: Sum, times: int = 1) -> Sum:
        """The sum of this and `times` the other, in which unknowns may cancel."""
        terms = dict(self.terms)
        for one, count in other.terms.items():
            terms[one] = terms.get(one, 0) + times * count
        return Sum(self.constant + times * other.constant, {x: n for x, n in terms.items() if n})

    def within(self, low: int, high: int) -> Sum:
        """The same, or only these bounds where it may lie outside of them: there a sum of integers of a type wraps around."""
        return self if low <= self.low and self.high <= high else unknown(low, high)


def unknown(low: int, high: int) -> Sum:
    """A number of which nothing but bounds is known."""
    return Sum(low) if low == high else Sum(0, {Unknown(low, high): 1})


def product(one: Sum, other: Sum) -> Sum:
    """The product of two."""
    if one.known is not None:
        return Sum().plus(other, one.known)
    if other.known is not None:
        return Sum().plus(one, other.known)
    corners = [a * b for a in (one.low, one.high) for b in (other.low, other.high)]
    return unknown(min(corners), max(corners))


def least(one: Sum, other: Sum) -> Sum:
    """The smaller of two."""
    if one == other or one.high <= other.low:
        return one
    if other.high <= one.low:
        return other
    return unknown(min(one.low, other.low), min(one.high, other.high))


def greatest(one: Sum, other: Sum) -> Sum:
    """The larger of two."""
    if one == other or one.low >= other.high:
        return one
    if other.low >= one.high:
        return other
    return unknown(max(one.low, other.low), max(one.high, other.high))
