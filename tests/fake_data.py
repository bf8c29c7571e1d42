"""Iterators whose elements take a known time to come, on a fake clock."""

from __future__ import annotations

from typing import Any

import numpy as np
from fake_clock import FakeClock

BYTES = 100


class Data:
    """An iterator whose elements take `each` seconds to come, and whose end takes `end` seconds."""

    def __init__(self, clock: FakeClock, sizes: list[int], each: float = 2.0, end: float = 0.5) -> None:
        self.clock, self.sizes, self.each, self.end = clock, list(sizes), each, end

    def __iter__(self) -> Data:
        return self

    def __next__(self) -> np.ndarray:
        if not self.sizes:
            self.clock.sleep(self.end)
            raise StopIteration
        self.clock.sleep(self.each)
        return np.zeros((self.sizes.pop(0), BYTES), np.uint8)


class FailingData(Data):
    def __next__(self) -> np.ndarray:
        if not self.sizes:
            self.clock.sleep(self.each)
            raise ValueError("bad record\nin line 2")
        return super().__next__()


class TranslatingData(Data):
    """Ends as tf.data's iterator does: the error that it raises hides another one, whose frames know the iterator."""

    def fetch(self) -> np.ndarray:
        if not self.sizes:
            raise IndexError
        return super().__next__()

    def __next__(self) -> np.ndarray:
        try:
            return self.fetch()
        except IndexError:
            raise StopIteration from None


def measure(batch: Any) -> tuple[int, int]:
    return len(batch), batch.nbytes


def spans(start: np.ndarray, end: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(start.tolist(), end.tolist(), strict=True))
