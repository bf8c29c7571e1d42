"""Pipelines cut to a few elements of their sources, so that whole epochs of them can be compared.

Slices of a long epoch tell nothing where buffers hold most of a slice: where batches take long, where many rows come at once, as
of chunks that are taken apart again, and where a shuffle holds much of an epoch, so that what comes out was made long before.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import epoch_counts, last_flow
from pipeline_opt.optimizer.model import predict
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import Rebatch, Repeat, Shuffle, Stage, Take, Unbatch

LONG_BATCH_S = 0.02
"""A batch that takes longer is one of too few in a turn for its buffers to be told apart from its work."""
TURN_S = 0.7
"""How long the pipeline given is to take for an epoch, if there is time for it.

Rounds differ by 4 to 20 % whether turns take half a second or two, so that more of them tell more. And the end of an iterator on
which AUTOTUNE works takes a second after a turn of a second or more, and next to nothing after shorter ones.
"""
FILLED = 5
"""A turn takes so many times as long as its first batch at the least."""
FEW_ROUNDS = 4
"""How often everyone is to run an epoch in the time that there is, if turns have to be shorter for that."""
WHOLE_ROUNDS = 12
"""How often everyone has to be able to run a whole epoch in that time, or a part of it is taken for the sake of more rounds."""
MOST_EPOCHS = 2
"""Epochs of a turn; the second stands for those after it."""
MOST_SHUFFLED = 0.1
"""The part of an epoch that a shuffle may hold where slices are compared."""


@dataclass(frozen=True)
class Part:
    """How much of its data a pipeline is cut to.

    Args:
        elements: The first so many of each of its sources; infinity for all.
        share: The part of them that this is; None where it is not known how many there are.
    """

    elements: float = math.inf
    share: float | None = 1.0


def part_to_compare(given: Plan, plans: Iterable[Plan], facts: Facts, seconds: float) -> Part | None:
    """The part of the data of which whole epochs are to be run; None where they are not.

    Of a job of several epochs they are run in any case, as a cache pays only in later ones.

    Args:
        given: The pipeline that was given.
        plans: All that are compared.
        facts: What is known of it.
        seconds: The time for all.
    """
    out, predicted, compared = last_flow(given, facts), predict(given, facts), tuple(plans)
    pace = predicted.rows_per_s
    counts, sizes = epoch_counts(given, facts), [size for plan in compared for size in _buffers(plan)]
    count = counts[0] if counts is not None and math.isfinite(counts[0]) else None
    holds = count is not None and any(size > MOST_SHUFFLED * count for size in sizes)
    long = pace > 0 and out.rows / pace >= LONG_BATCH_S
    if pace <= 0 or not (facts.epochs > 1 or long or holds or any(map(_comes_in_bursts, compared))):
        return None
    if any(isinstance(stage, Repeat) and stage.count is None for stage in given.stages):
        return None
    each_s = sum(1 / max(predict(plan, facts).rows_per_s, 1e-12) for plan in compared)
    turn_s, rows = max(TURN_S, FILLED * predicted.first_batch_s), max(out.rows_in_all, 1e-9)
    fits = seconds / each_s / rows / min(facts.epochs, MOST_EPOCHS)
    kept = math.ceil(min(fits / FEW_ROUNDS, turn_s * pace / rows))
    if count is not None:
        return Part() if count <= max(kept, fits / WHOLE_ROUNDS) else Part(kept, kept / count)
    # A buffer that holds all that is left would be filled once and for all.
    return None if any(size > kept for size in sizes) else Part(kept, None)


def _comes_in_bursts(plan: Plan) -> bool:
    """Whether many rows are there at once, when the last of them is."""
    return any(isinstance(stage, Unbatch | Rebatch) for stage in plan.stages)


def _buffers(plan: Plan) -> Iterator[int]:
    """The buffers of all shuffles of elements; those of files hold none."""
    for part in plan.source.plans if isinstance(plan.source, Combination) else ():
        yield from _buffers(part)
    yield from (stage.buffer_size for stage in plan.stages[_opened(plan) :] if isinstance(stage, Shuffle))


def _opened(plan: Plan) -> int:
    """How many stages there are until elements of files are there."""
    return plan.stages.index(plan.reader) + 1 if plan.reader is not None else 0


def shortened(plan: Plan, part: Part) -> Plan:
    """The plan with only a part of its data, of which its shuffles hold as large a share as before."""
    if part.elements == math.inf:
        return plan
    at, source, first = _opened(plan), plan.source, [Take(count=int(part.elements))]
    if isinstance(source, Combination):
        source, first = dataclasses.replace(source, plans=tuple(shortened(one, part) for one in source.plans)), []
    stages = (*plan.stages[:at], *first, *(_smaller(stage, part) for stage in plan.stages[at:]))
    return dataclasses.replace(plan, source=source, stages=()).with_stages(stages)


def _smaller(stage: Stage, part: Part) -> Stage:
    if not isinstance(stage, Shuffle) or part.share is None:
        return stage
    return dataclasses.replace(stage, buffer_size=max(1, round(part.share * stage.buffer_size)))
