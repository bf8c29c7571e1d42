"""The most memory that a plan's caches and buffers hold."""

from __future__ import annotations

import math

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import Flow, epoch_rows, flows, within
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import AUTO, Batch, Batching, Cache, Interleave, Map, Prefetch, Shuffle, Stage

PLACE_BYTES = 24
"""What a shuffle sets aside for each place of its buffer, and an element of a cache costs beside its bytes, at the least."""


def held_bytes(plan: Plan, facts: Facts) -> float:
    """Bytes that caches, shuffles, prefetches and parallel stages hold at their fullest; infinity for a cache of unknown size."""
    inner = 0.0
    if isinstance(plan.source, Combination):
        inner = sum(held_bytes(part, within(facts, number)) for number, part in enumerate(plan.source.plans))
    return inner + sum(_held(plan, stage, taken, given, facts) for stage, taken, given in flows(plan, facts))


def cache_bytes(plan: Plan, taken: Flow, facts: Facts) -> float:
    """Bytes of what a cache at some place holds; infinity where the length of an epoch is not known."""
    rows = epoch_rows(plan, facts)
    if rows is None:
        return math.inf
    out = list(flows(plan, facts))
    last = out[-1][2].rows_in_all if out else 1.0
    elements = rows / max(last, 1e-12) * taken.elements
    return elements * (taken.bytes + PLACE_BYTES)


def _held(plan: Plan, stage: Stage, taken: Flow, given: Flow, facts: Facts) -> float:
    match stage:
        case Cache(filename=""):
            return cache_bytes(plan, taken, facts)
        case Shuffle(buffer_size=size):
            return _at_most(plan, size, taken, facts) * (taken.bytes + PLACE_BYTES)
        case Prefetch(buffer_size=size):
            return (facts.cores if size == AUTO else size) * taken.bytes
        case Map(num_parallel_calls=int() as calls):
            return 2 * _calls(calls, facts) * given.bytes
        case Batch(num_parallel_calls=int() as calls):
            return _calls(calls, facts) * given.bytes
        case Interleave():
            return _calls(stage.cycle_length, facts) * stage.block_length * given.bytes
        case Batching():
            return given.bytes
    return 0.0


def _at_most(plan: Plan, size: int, taken: Flow, facts: Facts) -> float:
    """A buffer holds no more elements than there are."""
    known = facts.stage(plan.source.kind)
    return min(float(size), known.elements * taken.elements) if known and known.elements else float(size)


def _calls(given: int, facts: Facts) -> float:
    return math.ceil(facts.cores) if given == AUTO else given
