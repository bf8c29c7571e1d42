"""What follows from a record is computed once: a record does not change."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from pipeline_opt.record import Record

T = TypeVar("T")


def once(compute: Callable[[Record], T]) -> Callable[[Record], T]:
    """Keep the result for each record, as long as the record is there."""
    known: WeakKeyDictionary[Record, T] = WeakKeyDictionary()

    @functools.wraps(compute)
    def kept(record: Record) -> T:
        if record not in known:
            known[record] = compute(record)
        return known[record]

    return kept
