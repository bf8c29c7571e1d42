"""A few elements at each place of a pipeline, kept in memory, and how long a stage takes for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from pipeline_opt.clock import Clock
from pipeline_opt.lazy import lazy_module
from pipeline_opt.tuner.rows import rows_of

tf = lazy_module("tensorflow")

MOST_ELEMENTS: Final = 512
MOST_BYTES: Final = 96 << 20
MOST_S: Final = 0.6
"""How long elements are gathered at one place."""
TIMED_S: Final = 0.04
"""How long a measurement lasts, about."""
REPEATS: Final = 2
GROWTH: Final = 32.0
SLOW_S: Final = 0.6
"""A measurement that takes so long is not repeated."""
TAKEN: Final = 50
"""Elements that a loop in Python takes, to see how long that takes."""
AHEAD: Final = 2
"""Elements that are prefetched for the loop."""
MOST_TIMED: Final = 1 << 22
ALL: Final = 1 << 20
"""More elements than a stage makes of a few, unless it makes elements without end."""


class Samples(NamedTuple):
    """Elements at one place of a pipeline.

    Attributes:
        dataset: They, in memory, once.
        elements: How many.
        bytes: Bytes of one, in the mean.
        rows: Rows in one, in the mean: the first dimension, where `batched`.
    """

    dataset: Any
    elements: int
    bytes: float
    rows: float


def gathered(dataset: Any, clock: Clock, *, batched: bool, most: int = MOST_ELEMENTS) -> Samples:
    """Take a few elements of a dataset and keep them.

    Args:
        dataset: Where from.
        clock: Ends it when it takes long.
        batched: Whether an element is a batch.
        most: Elements at the most.
    """
    kept, started, sizes, rows = dataset.take(most).cache(), clock.now(), list[int](), list[int]()
    whole = True
    for element in plain(kept):
        sizes.append(element_bytes(element))
        rows.append(rows_of(element) if batched else 1)
        if sum(sizes) > MOST_BYTES or clock.now() - started > MOST_S:
            whole = False
            break
    count = len(sizes)
    if not whole:
        # What fits into the time is read once more.
        kept = in_memory(dataset, count)
    return Samples(kept, count, sum(sizes) / max(count, 1), sum(rows) / max(count, 1))


def in_memory(dataset: Any, count: int) -> Any:
    """The first elements of a dataset, made once: those of a cache that was not filled are made again each time."""
    kept = dataset.take(count).cache()
    for _ in plain(kept.skip(count)):
        pass
    return kept


def element_bytes(element: Any) -> int:
    """Bytes of an element's content; of strings, of their text."""
    total = 0
    for tensor in tf.nest.flatten(element, expand_composites=True):
        if not hasattr(tensor, "numpy"):
            continue
        if tensor.dtype == tf.string:
            total += int(tf.reduce_sum(tf.strings.length(tensor)))
        elif tensor.dtype not in (tf.variant, tf.resource):
            total += int(tf.size(tensor)) * tensor.dtype.size
    return total


class Taken(NamedTuple):
    """What it took to drain some elements.

    Attributes:
        wall_s: Seconds that passed.
        cpu_s: Core-seconds that the process used. They are the same however busy the machine is otherwise.
    """

    wall_s: float
    cpu_s: float


def cpu_each(dataset: Any, clock: Clock) -> float:
    """Core-seconds for an element of a dataset that never ends, drained on the spot, without anything that TensorFlow adds.

    The least of several measurements: what else the process does only ever adds to one.
    """
    count, took = 1, drained(dataset, 1, clock)
    while took.wall_s < TIMED_S / 2 and count < MOST_TIMED:
        # What one element takes at first is mostly the start of the iterator: grow by steps.
        count = min(MOST_TIMED, math.ceil(count * min(TIMED_S / max(took.wall_s, 1e-6), GROWTH)))
        took = drained(dataset, count, clock)
    again = REPEATS if took.wall_s < SLOW_S else 0
    return min(t.cpu_s for t in [took, *(drained(dataset, count, clock) for _ in range(again))]) / count


def cost_per_input(stage: Callable[[Any], Any], taken: Samples, clock: Clock) -> Taken:
    """What a stage, and handing it its elements, takes for an element that it takes.

    For stages that may give fewer elements than they take, or none: asked for a number of elements they might never end.

    Args:
        stage: From a dataset to one with the stage behind it.
        taken: Elements that it takes.
        clock: Measures.
    """

    def took(passes: int) -> Taken:
        return drained(stage(taken.dataset.repeat(passes)), ALL, clock)

    passes, last = 1, took(1)
    while last.wall_s < TIMED_S / 2 and passes * taken.elements < MOST_TIMED:
        passes = math.ceil(passes * min(TIMED_S / max(last.wall_s, 1e-6), GROWTH))
        last = took(passes)
    again, count = REPEATS if last.wall_s < SLOW_S else 0, passes * taken.elements
    runs = [last, *(took(passes) for _ in range(again))]
    return Taken(min(run.wall_s for run in runs) / count, min(run.cpu_s for run in runs) / count)


def started(dataset: Any, clock: Clock) -> float:
    """Seconds to make an iterator of a dataset, of which nothing is taken: TensorFlow optimises it anew for each."""

    def once() -> float:
        begun = clock.now()
        iterator = iter(dataset)
        seconds = clock.now() - begun
        del iterator
        return seconds

    first = once()
    return min([first, *(once() for _ in range(REPEATS if first < SLOW_S else 0))])


def taking_each(dataset: Any, clock: Clock) -> float:
    """Core-seconds in which a loop in Python takes an element of a dataset from a prefetch, beside what making it takes."""
    iterator = iter(plain(dataset.repeat().prefetch(AHEAD)))
    next(iterator)

    def once() -> float:
        begun = clock.cpu()
        for _ in range(TAKEN):
            next(iterator)
        return clock.cpu() - begun

    return max(min(once() for _ in range(1 + REPEATS)) / TAKEN - cpu_each(dataset.repeat(), clock), 0.0)


def drained(dataset: Any, count: int, clock: Clock) -> Taken:
    """Take so many elements, none of which reaches Python."""
    iterator = iter(plain(dataset.take(count).skip(count)))
    started, used = clock.now(), clock.cpu()
    for _ in iterator:
        pass
    return Taken(clock.now() - started, clock.cpu() - used)


def one_thread(dataset: Any) -> Any:
    """The dataset with one thread for every op."""
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    return dataset.with_options(options)


def plain(dataset: Any) -> Any:
    """The dataset without anything that TensorFlow adds."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)
