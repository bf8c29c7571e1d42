"""What `pipeline_opt.optimize` makes of a dataset: the only place that calls it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

import pipeline_opt as po


@dataclass(frozen=True)
class Tuned:
    """A tuned pipeline.

    Args:
        build: Makes its dataset, with empty caches.
        seconds: What tuning took.
        told: What was changed, in words.
        unchanged: Whether it is the very pipeline that was given.
    """

    build: Callable[[], tf.data.Dataset]
    seconds: float
    told: str
    unchanged: bool = False


def tuned(dataset: tf.data.Dataset, epochs: int, budget_s: float, memory_bytes: int | None) -> Tuned:
    """Optimize a dataset."""
    start = time.perf_counter()
    best = po.optimize(dataset, epochs=epochs, budget_s=budget_s, memory_bytes=memory_bytes)
    seconds = time.perf_counter() - start
    return Tuned(best.pipeline.build, seconds, str(best.explain()), unchanged=not best.changed)
