"""What a plan will do, by operational analysis: the busiest resource bounds the throughput.

With software pipelining, every resource works at the same time on other elements, and the one that needs the most time for an
element sets the pace (the utilization law: Denning and Buzen, "The Operational Analysis of Queueing Network Models", 1978).
Resources are the cores together, every chain of stages that one thread runs, every parallel stage's calls, and the storage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import Steps, epoch_counts, flows, repetitions, source_flow
from pipeline_opt.optimizer.loads import Load, Walk, has_prefetch, tunes_itself
from pipeline_opt.optimizer.memory import peak_bytes
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import Cache, Shuffle, Skip, Stage, Unbatch

Counts = list[float]

__all__ = ["Load", "Prediction", "has_prefetch", "predict", "tunes_itself"]


@dataclass(frozen=True)
class Prediction:
    """What a plan is predicted to do.

    Args:
        rows_per_s: In a first epoch.
        steady_rows_per_s: In later epochs, with what caches hold.
        bottleneck: The resource that sets the pace of the first epoch.
        loads: Seconds of every resource for a row, in the first epoch.
        peak_bytes: The most that caches, buffers and the consumer hold.
        seconds: Seconds of a row over all epochs of the job, with its share of making the iterators: what the optimizer makes
            small.
        first_batch_s: Seconds to the first element: making the iterator, opening files, filling shuffles, and making it.
        undrained_s: As `seconds`, were it nothing to take elements of a pipeline that is only drained: where the loop is the
            limit, this tells plans apart. A training step is in it.
    """

    rows_per_s: float
    steady_rows_per_s: float
    bottleneck: str
    loads: tuple[Load, ...]
    peak_bytes: float
    seconds: float
    first_batch_s: float = 0.0
    undrained_s: float = 0.0

    @property
    def utilization(self) -> float:
        """The share of the first epoch in which the consumer works, from 0 to 1."""
        consumer = sum(load.seconds for load in self.loads if load.name == "consumer")
        return consumer * self.rows_per_s


def predict(plan: Plan, facts: Facts) -> Prediction:
    """Predict what a plan does."""
    steps = flows(plan, facts)
    walk = Walk(plan, facts, cached=False, steps=steps)
    first = walk.run()
    again = Walk(plan, facts, cached=True, steps=steps) if has_cache(plan) else walk
    slowest = slowest_later = _slowest(first)
    if again is not walk:
        slowest_later = _slowest(again.run())
    filling, passes = _passes(plan, facts)
    later, counts = passes - filling, epoch_counts(plan, facts, steps=steps)
    start = facts.start_s + _opening_s(plan, facts)
    starts = facts.epochs * start / _rows_of_a_pass(plan, facts, steps, counts)
    return Prediction(
        1.0 / max(slowest.seconds, 1e-12),
        1.0 / max(slowest_later.seconds, 1e-12),
        slowest.name,
        tuple(first),
        peak_bytes(plan, facts, steps),
        starts + filling * slowest.seconds + later * slowest_later.seconds,
        start + _first_batch(plan, facts, steps, counts, walk, first),
        starts + filling * walk.undrained_s + later * again.undrained_s,
    )


def _slowest(loads: Iterable[Load]) -> Load:
    return max(loads, key=lambda load: load.seconds)


def has_cache(plan: Plan) -> bool:
    """Whether a later epoch takes something from a cache."""
    inner = plan.source.plans if isinstance(plan.source, Combination) else ()
    return any(isinstance(stage, Cache) for stage in plan.stages) or any(map(has_cache, inner))


def _passes(plan: Plan, facts: Facts) -> tuple[int, int]:
    """How often the job goes through the data with caches empty, and in all: repeats before a cache fill it."""
    stages = plan.stages
    before = max((at for at, stage in enumerate(stages) if isinstance(stage, Cache)), default=0)
    in_all = facts.epochs * max(repetitions(stages), 1)
    return min(max(repetitions(stages[:before]), 1), in_all), in_all


def _opening_s(plan: Plan, facts: Facts) -> float:
    """Seconds to open the first file."""
    known = facts.stage(plan.source.kind)
    return 0.0 if known is None else known.open_s


def _rows_of_a_pass(plan: Plan, facts: Facts, steps: Steps, counts: Counts | None) -> float:
    """Rows that one pass through the data gives; infinite where it is not known."""
    if not counts:
        return math.inf
    out = steps[-1][2] if steps else source_flow(plan, facts)
    return max(counts[-1] * out.rows, 1.0) / max(repetitions(plan.stages), 1)


def _first_batch(
    plan: Plan, facts: Facts, steps: Steps, counts: Counts | None, walk: Walk, loads: Iterable[Load]
) -> float:
    """Seconds from an open file to the first element: every shuffle is filled, and then one element is made."""
    seconds = 0.0
    for at, (stage, taken, _) in enumerate(steps):
        wanted = _elements_ahead(stage, math.inf if counts is None else counts[at], taken.rows)
        seconds += wanted / max(taken.elements, 1e-12) * walk.paces.get(stage.name, 0.0)
    out = steps[-1][2] if steps else source_flow(plan, facts)
    work = _slowest(load for load in loads if load.name != "consumer")
    return seconds + out.rows * work.seconds


def _elements_ahead(stage: Stage, count: float, rows: float) -> float:
    """Elements, of so many rows each, that a stage takes before it gives one, but for that one itself."""
    match stage:
        case Shuffle(buffer_size=size):
            return min(size, count)
        case Skip(count=skipped):
            return min(skipped, count)
        case Unbatch():
            return 1.0 - 1.0 / rows
    return 0.0
