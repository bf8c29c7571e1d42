"""How much a pipeline holds at the most: the growth of the process where the consumer is slower, so that buffers are full."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from typing import Final

import psutil
import tensorflow as tf

from pipeline_opt.tuner.allocator import give_back

QUICK: Final = 3
"""Batches that are taken as they come,"""
SLOWER: Final = 3.0
"""and how many times as long the consumer takes for each from then on."""
LONGEST_STEP_S: Final = 3.0


def fullest(build: Callable[[], tf.data.Dataset], epochs: int, limit_s: float) -> int:
    """Bytes by which the process grows at the most in a job's epochs.

    The consumer is slow all the time: AUTOTUNE makes a prefetch twice as large whenever it was full and then empty.

    Args:
        build: Builds the dataset, so that its caches are empty.
        epochs: The job's.
        limit_s: Seconds after which a job of one epoch is ended; caches need whole ones.
    """
    process = psutil.Process()

    def held() -> int:
        return int(process.memory_info().rss)

    gc.collect()
    dataset = build()
    give_back()
    start = most = held()
    until = time.monotonic() + (limit_s if epochs == 1 else math.inf)
    step = 0.0
    for _ in range(epochs):
        iterator, began = iter(dataset), time.monotonic()
        for count, _batch in enumerate(iterator, start=1):
            most = max(most, held())
            if count == 1:
                # Without the first one, before which a shuffle may have been filled.
                began = time.monotonic()
            elif count == QUICK:
                step = min(SLOWER * (time.monotonic() - began) / (QUICK - 1), LONGEST_STEP_S)
            time.sleep(step)
            most = max(most, held())
            if count > QUICK and time.monotonic() > until:
                break
        del iterator
    return most - start
