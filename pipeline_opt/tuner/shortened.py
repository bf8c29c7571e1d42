"""Pipelines whose batches take long, cut to a few elements of their sources, so that whole epochs of them can be compared."""

from __future__ import annotations

import dataclasses
import math

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import last_flow
from pipeline_opt.optimizer.model import predict
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import Repeat, Shuffle, Take

LONG_BATCH_S = 0.02
"""A batch that takes longer is one of too few in a turn for its buffers to be told apart from its work."""
EPOCH_S = 1.0
"""What an epoch of the shortened pipeline is to take."""


def elements_to_keep(plan: Plan, facts: Facts) -> int | None:
    """How many elements of its source a pipeline is to be cut to; None where it is compared as it is.

    Args:
        plan: The pipeline that was given.
        facts: What is known of it.
    """
    out, pace = last_flow(plan, facts), predict(plan, facts).rows_per_s
    if pace <= 0 or out.rows / pace < LONG_BATCH_S:
        return None
    count = math.ceil(EPOCH_S * pace / max(out.rows_in_all, 1e-9))
    buffers = [stage.buffer_size for stage in plan.stages if isinstance(stage, Shuffle)]
    endless = any(isinstance(stage, Repeat) and stage.count is None for stage in plan.stages)
    # A buffer that holds all that is left would be filled once and for all.
    return None if endless or any(size > count for size in buffers if plan.reader is None) else count


def shortened(plan: Plan, elements: int) -> Plan:
    """The plan with only the first elements of its source, or of each of its sources."""
    if isinstance(plan.source, Combination):
        parts = tuple(shortened(part, elements) for part in plan.source.plans)
        return dataclasses.replace(plan, source=dataclasses.replace(plan.source, plans=parts))
    at = plan.stages.index(plan.reader) + 1 if plan.reader is not None else 0
    return plan.with_stages((*plan.stages[:at], Take(count=elements), *plan.stages[at:]))
