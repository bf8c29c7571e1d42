"""One trial: a dataset drained as a job would, with no consumer, epoch after epoch."""

from __future__ import annotations

import gc
import math
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import psutil
import tensorflow as tf

Clock = Callable[[], float]

RESERVE: Final = 2 << 30
"""Bytes of memory that a trial leaves free, or it is stopped."""
_LOOK_S: Final = 0.02


class OutOfMemory(Exception):
    """A trial was stopped, as it would have taken the machine's last memory."""


class NoElements(Exception):
    """An epoch gave nothing, so there is no rate."""


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    Args:
        marks: After every batch, the examples so far and the seconds since `iter()` was called.
        teardown_s: What the end of the iterator took: no part of the epoch. With AUTOTUNE on it can block for seconds.
        cut: Whether the epoch was ended before its end.
    """

    marks: tuple[tuple[int, float], ...]
    teardown_s: float = 0.0
    cut: bool = False

    @property
    def elements(self) -> int:
        """Examples, not batches."""
        return self.marks[-1][0]

    @property
    def seconds(self) -> float:
        """From `iter()` to the last batch."""
        return self.marks[-1][1]

    @property
    def first_s(self) -> float:
        """From `iter()` to the first batch."""
        return self.marks[0][1]

    def seconds_to(self, elements: int) -> float:
        """When so many examples had come, evenly between two batches."""
        index = bisect_left(self.marks, elements, key=lambda mark: mark[0])
        if index == len(self.marks):
            raise ValueError(f"elements={elements} is out of range; valid: up to {self.elements}")
        before = self.marks[index - 1] if index else (0, 0.0)
        share = (elements - before[0]) / (self.marks[index][0] - before[0])
        return before[1] + share * (self.marks[index][1] - before[1])

    def rate(self, elements: int | None = None) -> float:
        """Examples a second, of the first so many."""
        count = self.elements if elements is None else elements
        return count / self.seconds_to(count)


@dataclass(frozen=True)
class Trial:
    """A job's epochs, and by how much the process grew in them, in bytes."""

    epochs: tuple[Epoch, ...]
    growth_bytes: int = 0

    @property
    def cut(self) -> bool:
        """Whether an epoch was cut."""
        return any(epoch.cut for epoch in self.epochs)

    def rates(self, elements: int | None = None) -> dict[str, float]:
        """Examples a second: of the first epoch; of a job of several also of a later one (their median), and of all."""
        first = self.epochs[0].rate(elements)
        if len(self.epochs) == 1:
            return {"first": first}
        steady = median(epoch.rate() for epoch in self.epochs[1:])
        whole = sum(epoch.elements for epoch in self.epochs) / sum(epoch.seconds for epoch in self.epochs)
        return {"first": first, "steady": steady, "job": whole}


class Memory:
    """How much the process has grown, looked at now and then.

    Memory that the process freed before and kept is taken again without growing: growth is at least what it says.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._start = self._process.memory_info().rss
        self._most = psutil.virtual_memory().available - RESERVE
        self._next = 0.0
        self.growth_bytes = 0

    def look(self, now: float) -> None:
        """Look, unless that was done a moment ago.

        Raises:
            OutOfMemory: There is hardly any memory left.
        """
        if now < self._next:
            return
        self._next = now + _LOOK_S
        self.growth_bytes = max(self.growth_bytes, self._process.memory_info().rss - self._start)
        if self.growth_bytes > self._most:
            raise OutOfMemory(f"stopped at {self.growth_bytes / 1e9:.1f} GB, with {RESERVE / 1e9:.1f} GB left")


def examples(batch: Any) -> int:
    """Examples of a batch: the length of its first component."""
    return int(tf.nest.flatten(batch)[0].shape[0])


def drain(dataset: tf.data.Dataset, limit_s: float, clock: Clock, memory: Memory | None = None) -> Epoch:
    """Take batches until the epoch ends, or until so many seconds have gone.

    Raises:
        NoElements: There was none.
        OutOfMemory: There is hardly any memory left.
    """
    marks, seen, cut = [], 0, False
    start = clock()
    iterator = iter(dataset)
    for batch in iterator:
        seen += examples(batch)
        now = clock()
        marks.append((seen, now - start))
        if memory is not None:
            memory.look(now)
        if now - start > limit_s:
            cut = True
            break
    if not marks:
        raise NoElements("the epoch gave nothing")
    batch = None
    ended = clock()
    del iterator
    return Epoch(tuple(marks), clock() - ended, cut)


def run(
    build: Callable[[], tf.data.Dataset], epochs: int, limit_s: float = math.inf, clock: Clock = time.perf_counter
) -> Trial:
    """Build a dataset anew, so that its caches are empty, and run a job's epochs. Building is no part of the time.

    Epochs are cut only where there is one: a cache is filled by a whole epoch.
    """
    gc.collect()
    dataset, memory = build(), Memory()
    limit = limit_s if epochs == 1 else math.inf
    found = tuple(drain(dataset, limit, clock, memory) for _ in range(epochs))
    return Trial(found, memory.growth_bytes)


def common_elements(trials: list[Trial]) -> int | None:
    """Examples that all trials of a round have had, if one of them was cut; else None."""
    if not any(trial.cut for trial in trials):
        return None
    return min(trial.epochs[0].elements for trial in trials)
