"""The most memory that a plan's caches and buffers hold."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import Flow, Steps, epoch_counts, flows, inside, source_flow, within
from pipeline_opt.optimizer.loads import places, tunes_itself
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import (
    AUTO,
    Batch,
    Batching,
    Cache,
    FlatMap,
    Interleave,
    Map,
    Options,
    Prefetch,
    Rebatch,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Stage,
    Take,
    Unbatch,
    inner_stages,
)

PLACE_BYTES = 24
"""What a shuffle sets aside for each place of its buffer (CONTRIBUTING.md); assumed of an element of a cache, too."""
NAME_BYTES = 256
"""A file's name; assumed."""
PASSING = (Shuffle, Prefetch, Options, Repeat, Take, Skip, Shard)
"""Stages that hand on the elements that they take."""
EULER = 0.5772
"""What 1 + 1/2 + ... + 1/n has beyond the logarithm of n."""
TAKEN = 2
"""Elements beside those that stages hold: a consumer has the last one until the next is there, of which the parts are there."""


def peak_bytes(plan: Plan, facts: Facts, steps: Steps) -> float:
    """Bytes that a plan holds at its fullest, with the consumer's element and what is being made."""
    out = steps[-1][2] if steps else source_flow(plan, facts)
    return held_bytes(plan, facts, steps) + TAKEN * out.bytes


def held_bytes(plan: Plan, facts: Facts, steps: Steps | None = None) -> float:
    """Bytes that caches, shuffles, prefetches and parallel stages hold at their fullest; infinity for a cache of unknown size.

    Args:
        plan: The plan.
        facts: What is known.
        steps: The plan's flows, if they were found out before.
    """
    held = 0.0
    if isinstance(plan.source, Combination):
        held = sum(held_bytes(part, within(facts, number)) for number, part in enumerate(plan.source.plans))
    steps = flows(plan, facts) if steps is None else steps
    buffers = any(isinstance(stage, Cache | Shuffle) for stage, _, _ in steps)
    counts = epoch_counts(plan, facts, steps=steps) if buffers else None
    reader, known, kept, cached = plan.reader, facts.stage(plan.source.kind), 1.0, False
    for at, (stage, taken, given) in enumerate(steps):
        kept = _kept_by_a_part(stage, taken, given) if isinstance(stage, Batching | Unbatch) else kept
        if reader is not None and stage is not reader:
            files = known.files if known is not None and known.files else math.inf
            held += min(stage.buffer_size, files) * NAME_BYTES if isinstance(stage, Shuffle) else 0.0
            continue
        reader = None
        own = dataclasses.replace(taken, row_bytes=0.0) if cached else taken
        held_here = _held(stage, own, given, math.inf if counts is None else counts[at], facts)
        held += held_here * (kept if isinstance(stage, Shuffle) else 1.0)
        # What a cache in memory has is the only copy of it, as long as it is handed on.
        cached = (isinstance(stage, Cache) and not stage.filename) or (cached and isinstance(stage, PASSING))
    return held + _together(plan, steps, facts)


def _together(plan: Plan, steps: Steps, facts: Facts) -> float:
    """Bytes that stages in a row hold beside what each would by itself; less than none where they share.

    TensorFlow has a parallel map write its rows into the batch behind it: they have no place of their own then, and as many
    batches are under way as its calls are spread over. And where a prefetch's own thread makes a batch, one place is empty.
    """
    rows = list(pairwise(step for step in steps if not isinstance(step[0], Options)))
    held, fused = 0.0, False
    for (before, _, made), (stage, _, given) in rows:
        own, fused = fused, False
        if isinstance(before, Map) and isinstance(stage, Batch) and _are_fused(plan, before, stage, facts):
            fused, calls = True, _calls(before.num_parallel_calls or AUTO, facts)
            held += (math.ceil(calls / stage.batch_size) - 1) * given.bytes
            held -= calls * made.bytes if before.num_parallel_calls else 0.0
        elif isinstance(stage, Prefetch) and stage.buffer_size and isinstance(before, Batching):
            own = own or (isinstance(before, Batch) and before.num_parallel_calls is not None)
            held -= 0.0 if own else given.bytes
    return held


def _are_fused(plan: Plan, before: Map, batch: Batch, facts: Facts) -> bool:
    """Whether TensorFlow makes one stage of a parallel map and a batch."""
    said = [stage for stage in plan.stages if isinstance(stage, Options)]
    on = all(each.default_optimizations is not False and each.map_and_batch_fusion is not False for each in said)
    parallel = before.num_parallel_calls is not None or (
        tunes_itself(plan) and facts.of(before.function).purity == "pure"
    )
    return on and parallel and batch.num_parallel_calls is None


def _kept_by_a_part(stage: Stage, taken: Flow, given: Flow) -> float:
    """What elements keep in memory that wait in a shuffle behind a stage that makes batches, in parts of what they hold.

    What `rebatch` cuts shares the memory of what it was cut from, for as long as any part of that waits. Of an element that
    was cut into n parts, which leave a shuffle by chance, that is as long as the last of n: 1 + 1/2 + ... + 1/n times as
    long as one of them (CONTRIBUTING.md).
    """
    parts = taken.bytes / given.bytes if isinstance(stage, Rebatch) and given.bytes else 1.0
    return max(1.0, math.log(parts) + EULER + 0.5 / parts) if parts > 1 else 1.0


def cache_bytes(plan: Plan, at: int, facts: Facts) -> float:
    """Bytes of what a cache holds that stands before the stage at some place; infinity where an epoch's length is not known."""
    counts = epoch_counts(plan, facts)
    if counts is None:
        return math.inf
    given = flows(plan, facts)[at - 1][2] if at else source_flow(plan, facts)
    return counts[at] * (given.bytes + PLACE_BYTES)


def _held(stage: Stage, taken: Flow, given: Flow, count: float, facts: Facts) -> float:
    """Bytes that a stage holds, which takes a number of elements in an epoch."""
    match stage:
        case Cache(filename=""):
            return count * (taken.bytes + PLACE_BYTES) if count else 0.0
        case Shuffle(buffer_size=size):
            return min(size, count) * (taken.bytes + PLACE_BYTES)
        case Prefetch(buffer_size=size):
            return (math.ceil(facts.cores) if size == AUTO else size) * taken.bytes
        case Map(num_parallel_calls=int() as calls):
            # Calls that are done keep what they gave, those that run what they took.
            return _calls(calls, facts) * given.bytes + min(_calls(calls, facts), math.ceil(facts.cores)) * taken.bytes
        case Batch(num_parallel_calls=int() as calls):
            return _calls(calls, facts) * given.bytes
        case Interleave():
            inputs = places(stage, facts)
            return inputs * (stage.block_length * given.bytes + _inside(stage, taken, facts))
        case FlatMap():
            return _inside(stage, taken, facts)
        case Unbatch():
            return taken.bytes
        case Rebatch():
            return taken.bytes + given.bytes
        case Batching():
            return given.bytes
    return 0.0


def _inside(stage: Stage, taken: Flow, facts: Facts) -> float:
    """Bytes that the stages inside another one hold for one of its inputs."""
    ends = inside(stage, taken, facts)
    steps = zip(inner_stages(stage), ends, ends[1:], strict=False)
    return sum(_held(inner, before, given, math.inf, facts) for inner, before, given in steps)


def _calls(given: int, facts: Facts) -> float:
    return math.ceil(facts.cores) if given == AUTO else given
