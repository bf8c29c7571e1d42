"""How much a pipeline holds at the most: the growth of the process where the consumer is slower, so that buffers are full."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tensorflow as tf

from pipeline_opt.tuner.allocator import give_back

QUICK: Final = 3
"""Batches that are taken as they come,"""
SLOWER: Final = 3.0
"""and how many times as long the consumer takes for each from then on."""
FILLING: Final = 6
"""Batches that a slower consumer takes before buffers are surely full."""


@dataclass(frozen=True)
class Fullest:
    """What a job held.

    Args:
        grown_bytes: By how much the process grew at the most.
        batches: How many the slower consumer took in an epoch.
    """

    grown_bytes: int
    batches: int

    @property
    def is_full(self) -> bool:
        """Whether there were enough for buffers to be full."""
        return self.batches >= FILLING


def fullest(build: Callable[[], tf.data.Dataset], epochs: int, limit_s: float) -> Fullest:
    """What a job holds at the most.

    The consumer is slow all the time: AUTOTUNE makes a prefetch twice as large whenever it was full and then empty.

    Args:
        build: Builds the dataset, so that its caches are empty.
        epochs: The job's.
        limit_s: Seconds after which a job of one epoch is ended, once its buffers are full; caches need whole ones.
    """
    gc.collect()
    dataset = build()
    give_back()
    # The system keeps the peak, which from now on is what the process has.
    Path("/proc/self/clear_refs").write_text("5")
    start = _peak_bytes()
    until = time.monotonic() + (limit_s if epochs == 1 else math.inf)
    step, slow = 0.0, 0
    for _ in range(epochs):
        iterator, began = iter(dataset), time.monotonic()
        for count, _batch in enumerate(iterator, start=1):
            if count == 1:
                # Without the first one, before which a shuffle may have been filled.
                began = time.monotonic()
            elif count == QUICK:
                step = SLOWER * (time.monotonic() - began) / (QUICK - 1)
            time.sleep(step)
            slow = max(slow, count - QUICK)
            if slow >= FILLING and time.monotonic() > until:
                break
        del iterator
    return Fullest(_peak_bytes() - start, slow)


def _peak_bytes() -> int:
    """The most memory that the process had since its peak was set back."""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
