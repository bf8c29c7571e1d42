"""How much a pipeline holds at the most: the growth of the process where the consumer is slow, so that all buffers fill."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from typing import Final

import psutil
import tensorflow as tf

from pipeline_opt.tuner.allocator import give_back

STILL_S: Final = 0.25
"""Buffers are full once the process has not grown for so long,"""
LONGEST_S: Final = 3.0
"""or after this."""
GROWN_BYTES: Final = 1 << 20
"""Less than this is no growth."""


def fullest(build: Callable[[], tf.data.Dataset], epochs: int, limit_s: float) -> int:
    """Bytes by which the process grows at the most in a job's epochs.

    After 1, 2, 4, 8, ... batches of an epoch, and after its last one, nothing is taken until all buffers are full.

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
    for _ in range(epochs):
        iterator = iter(dataset)
        for count, _batch in enumerate(iterator, start=1):
            if count & (count - 1) == 0:
                most = max(most, _filled(held))
            if time.monotonic() > until:
                break
            most = max(most, held())
        most = max(most, _filled(held))
        del iterator
    return most - start


def _filled(held: Callable[[], int]) -> int:
    """What is held once it does not grow any more."""
    most, since = held(), time.monotonic()
    end = since + LONGEST_S
    while time.monotonic() < min(end, since + STILL_S):
        time.sleep(STILL_S / 10)
        if held() > most + GROWN_BYTES:
            most, since = held(), time.monotonic()
    return most
