"""How much a pipeline holds at the most: the growth of the process where the consumer is slower, so that buffers are full."""

from __future__ import annotations

import gc
import time
from collections import deque
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

    Of several epochs one is taken as it comes, which fills caches. In the last one the consumer is slow all the time: AUTOTUNE
    makes a prefetch twice as large whenever it was full and then empty.

    Args:
        build: Builds the dataset, so that its caches are empty.
        epochs: The job's.
        limit_s: Seconds after which it is ended, once its buffers are full.
    """
    gc.collect()
    dataset = build()
    give_back()
    # The system keeps the peak, which from now on is what the process has.
    Path("/proc/self/clear_refs").write_text("5")
    start = _peak_bytes()
    if epochs > 1:
        # No name keeps the last one.
        deque(dataset, maxlen=0)
    batches = _taken_slowly(dataset, time.monotonic() + limit_s)
    return Fullest(_peak_bytes() - start, batches)


def _taken_slowly(dataset: tf.data.Dataset, until: float) -> int:
    """How many batches a slow consumer took after the first ones."""
    step, slow, began = 0.0, 0, time.monotonic()
    for count, _batch in enumerate(dataset, start=1):
        if count == 1:
            # Without the first one, before which a shuffle may have been filled.
            began = time.monotonic()
        elif count == QUICK:
            step = SLOWER * (time.monotonic() - began) / (QUICK - 1)
        time.sleep(step)
        slow = max(0, count - QUICK)
        if slow >= FILLING and time.monotonic() > until:
            break
    return slow


def _peak_bytes() -> int:
    """The most memory that the process had since its peak was set back."""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
