"""What tf.data itself takes for an element on this machine."""

from __future__ import annotations

from typing import Any, Final

from pipeline_opt.clock import Clock
from pipeline_opt.lazy import lazy_module
from pipeline_opt.optimizer.calls import CALLS_A_CORE
from pipeline_opt.optimizer.facts import Overheads
from pipeline_opt.tuner.samples import cpu_each

tf = lazy_module("tensorflow")

_ROWS: Final = 64
_WIDE: Final = 4096


_KNOWN: dict[int, Overheads] = {}


def overheads(clock: Clock, cores: int) -> Overheads:
    """Measure it, once in a process for a number of cores: about a second.

    Args:
        clock: Measures.
        cores: Those that a pipeline may use: as many calls AUTOTUNE has under way.
    """
    if cores not in _KNOWN:
        _KNOWN[cores] = _measured(clock, cores)
    return _KNOWN[cores]


def _measured(clock: Clock, cores: int) -> Overheads:
    one = tf.data.Dataset.range(_ROWS).cache()
    for _ in one:
        pass
    endless = one.repeat()
    base = cpu_each(endless, clock)
    call = cpu_each(endless.map(_same), clock) - base
    parallel = cpu_each(endless.map(_same, num_parallel_calls=cores), clock) - base
    many = cpu_each(endless.map(_same, num_parallel_calls=CALLS_A_CORE * cores), clock) - base
    read, alone = (cpu_each(_nested(endless, n, n), clock) - cpu_each(_nested(endless, n, None), clock) for n in (2, 1))
    switch = cpu_each(endless.prefetch(_ROWS), clock) - base
    row = cpu_each(endless.batch(_ROWS), clock) / _ROWS - base
    wide = tf.data.Dataset.from_tensors(tf.zeros([_WIDE], tf.uint8)).cache().repeat()
    wide_row = cpu_each(wide.batch(_ROWS), clock) / _ROWS
    least = 1e-8
    return Overheads(
        max(base, least),
        max(call, least),
        max(parallel, least),
        max(min(many, parallel), least),
        max(read, least),
        max(alone, read, least),
        max(switch, least),
        max(row, least),
        max((wide_row - row) / _WIDE, 1e-12),
    )


def _same(element: Any) -> Any:
    # A function that only passes its arguments on is never called.
    return element + 1


def _nested(endless: Any, inputs: int, calls: int | None) -> Any:
    files = tf.data.Dataset.range(inputs).repeat()
    return files.interleave(lambda _: endless.take(1 << 14), cycle_length=inputs, num_parallel_calls=calls)
