"""Pipelines cut to a few elements of their sources, so that whole epochs of them can be compared.

Slices of a long epoch tell nothing where buffers hold most of a slice: where batches take long, and where many rows come at once,
as of chunks that are taken apart again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import epoch_counts, last_flow
from pipeline_opt.optimizer.model import predict
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import Rebatch, Repeat, Shuffle, Take, Unbatch

LONG_BATCH_S = 0.02
"""A batch that takes longer is one of too few in a turn for its buffers to be told apart from its work."""
ROUNDS = 8
"""How often everyone is to run an epoch in the time that there is.

Rounds differ by 4 to 20 % whether turns take half a second or two, so that more of them tell more. And the end of an iterator on
which AUTOTUNE works takes a second after a turn of a second or more, and next to nothing after shorter ones.
"""


def elements_to_keep(given: Plan, plans: Iterable[Plan], facts: Facts, seconds: float) -> float | None:
    """How many elements of its source a pipeline is to be cut to; infinity for all; None where it is not run by whole epochs.

    Args:
        given: The pipeline that was given.
        plans: All that are compared.
        facts: What is known of it.
        seconds: The time for all.
    """
    out, pace = last_flow(given, facts), predict(given, facts).rows_per_s
    compared = tuple(plans)
    if pace <= 0 or (out.rows / pace < LONG_BATCH_S and not any(map(_comes_in_bursts, compared))):
        return None
    each_s = sum(1 / max(predict(plan, facts).rows_per_s, 1e-12) for plan in compared)
    count = math.ceil(seconds / ROUNDS / each_s / max(out.rows_in_all, 1e-9))
    buffers = [stage.buffer_size for stage in given.stages if isinstance(stage, Shuffle)]
    endless = any(isinstance(stage, Repeat) and stage.count is None for stage in given.stages)
    # A buffer that holds all that is left would be filled once and for all.
    if endless or any(size > count for size in buffers if given.reader is None):
        return None
    counts = epoch_counts(given, facts)
    return math.inf if counts is not None and counts[0] <= count else count


def _comes_in_bursts(plan: Plan) -> bool:
    """Whether many rows are there at once, when the last of them is."""
    return any(isinstance(stage, Unbatch | Rebatch) for stage in plan.stages)


def shortened(plan: Plan, elements: float) -> Plan:
    """The plan with only the first elements of its source, or of each of its sources."""
    if elements == math.inf:
        return plan
    if isinstance(plan.source, Combination):
        parts = tuple(shortened(part, elements) for part in plan.source.plans)
        return dataclasses.replace(plan, source=dataclasses.replace(plan.source, plans=parts))
    at = plan.stages.index(plan.reader) + 1 if plan.reader is not None else 0
    return plan.with_stages((*plan.stages[:at], Take(count=int(elements)), *plan.stages[at:]))
