"""Pipelines whose batches take long, cut to a few elements of their sources, so that whole epochs of them can be compared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import epoch_counts, last_flow
from pipeline_opt.optimizer.model import predict
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import Repeat, Shuffle, Take

LONG_BATCH_S = 0.02
"""A batch that takes longer is one of too few in a turn for its buffers to be told apart from its work."""
ROUNDS = 4
"""How often everyone is to run an epoch in the time that there is."""


def elements_to_keep(given: Plan, plans: Iterable[Plan], facts: Facts, seconds: float) -> float | None:
    """How many elements of its source a pipeline is to be cut to; infinity for all; None where it is not run by whole epochs.

    Args:
        given: The pipeline that was given.
        plans: All that are compared.
        facts: What is known of it.
        seconds: The time for all.
    """
    out, pace = last_flow(given, facts), predict(given, facts).rows_per_s
    if pace <= 0 or out.rows / pace < LONG_BATCH_S:
        return None
    each_s = sum(1 / max(predict(plan, facts).rows_per_s, 1e-12) for plan in plans)
    count = math.ceil(seconds / ROUNDS / each_s / max(out.rows_in_all, 1e-9))
    buffers = [stage.buffer_size for stage in given.stages if isinstance(stage, Shuffle)]
    endless = any(isinstance(stage, Repeat) and stage.count is None for stage in given.stages)
    # A buffer that holds all that is left would be filled once and for all.
    if endless or any(size > count for size in buffers if given.reader is None):
        return None
    counts = epoch_counts(given, facts)
    return math.inf if counts is not None and counts[0] <= count else count


def shortened(plan: Plan, elements: float) -> Plan:
    """The plan with only the first elements of its source, or of each of its sources."""
    if elements == math.inf:
        return plan
    if isinstance(plan.source, Combination):
        parts = tuple(shortened(part, elements) for part in plan.source.plans)
        return dataclasses.replace(plan, source=dataclasses.replace(plan.source, plans=parts))
    at = plan.stages.index(plan.reader) + 1 if plan.reader is not None else 0
    return plan.with_stages((*plan.stages[:at], Take(count=int(elements)), *plan.stages[at:]))
