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
from pipeline_opt.optimizer.flow import epoch_counts, flows, last_flow, repetitions, within
from pipeline_opt.optimizer.model import predict
from pipeline_opt.plan import Combination, Plan, Zip
from pipeline_opt.stages import Rebatch, Repeat, Shuffle, Skip, Stage, Take, Unbatch

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
LEAST_BATCHES = 4
"""What every stage is to give in an epoch at the least, whatever the time."""
MOST_EPOCHS = 2
"""Epochs of a turn; the second stands for those after it."""
MOST_SHUFFLED = 0.1
"""The part of an epoch that a shuffle may hold where slices are compared."""


@dataclass(frozen=True)
class Part:
    """How much of its data a pipeline is cut to.

    Args:
        elements: The first so many of its source; infinity for all.
        share: The part of an epoch that this is; None where it is not known how long one is.
    """

    elements: float = math.inf
    share: float | None = 1.0


def part_to_compare(given: Plan, plans: Iterable[Plan], facts: Facts, seconds: float) -> Part | None:
    """The part of the data of which whole epochs are to be run; None where there is none.

    Of a job of several epochs they are run in any case, as a cache pays only in later ones; and where whole epochs are short
    enough, as what is made while another one has its turn is not in them.

    Args:
        given: The pipeline that was given.
        plans: All that are compared.
        facts: What is known of it.
        seconds: The time for all.
    """
    out, predicted, compared = last_flow(given, facts), predict(given, facts), tuple(plans)
    pace, counts = predicted.rows_per_s, epoch_counts(given, facts)
    long = pace > 0 and out.rows / pace >= LONG_BATCH_S
    asked = facts.epochs > 1 or long or any(_comes_in_bursts(plan) or _holds_much(plan, facts) for plan in compared)
    if pace <= 0 or any(isinstance(stage, Repeat) and stage.count is None for stage in given.stages):
        return None
    each_s = sum(1 / max(predict(plan, facts).rows_per_s, 1e-12) for plan in compared)
    rows, least = max(out.rows_in_all, 1e-9), max(_least(plan, facts) for plan in compared)
    turn_s = max(TURN_S, FILLED * predicted.first_batch_s)
    fits = seconds / each_s / rows / min(facts.epochs, MOST_EPOCHS)
    kept = max(least, min(fits / FEW_ROUNDS, turn_s * pace / rows))
    if counts is None or not math.isfinite(counts[-1]):
        return _of_unknown(given, compared, math.ceil(kept / repetitions(given.stages)), facts) if asked else None
    # Elements of the source, with those that are repeated and without those that are skipped.
    count = counts[-1] / max(out.elements, 1e-12)
    if not asked and count > fits / FEW_ROUNDS:
        return None
    if count <= max(kept, fits / WHOLE_ROUNDS):
        return Part()
    return Part(math.ceil(counts[0] * kept / count), kept / count)


def _of_unknown(given: Plan, compared: Iterable[Plan], kept: int, facts: Facts) -> Part | None:
    """The part where nobody knows how long an epoch is: what is skipped might be all of it."""
    if any(isinstance(stage, Skip) for stage in given.stages):
        return None
    # A buffer that holds all that is left would be filled once and for all: slices are better, where there can be some.
    large = any(stage.buffer_size > kept for plan in compared for stage, _ in _shuffles(plan, facts))
    return None if large and facts.epochs == 1 else Part(kept, None)


def _least(plan: Plan, facts: Facts) -> float:
    """Elements of the source of which every stage gives some."""
    return LEAST_BATCHES * max((1 / max(given.elements, 1e-9) for _, _, given in flows(plan, facts)), default=1.0)


def _comes_in_bursts(plan: Plan) -> bool:
    """Whether many rows are there at once, when the last of them is."""
    parts = plan.source.plans if isinstance(plan.source, Combination) else ()
    return any(isinstance(stage, Unbatch | Rebatch) for stage in plan.stages) or any(map(_comes_in_bursts, parts))


def _holds_much(plan: Plan, facts: Facts) -> bool:
    """Whether a shuffle holds much of an epoch."""
    return any(
        count is not None and stage.buffer_size > MOST_SHUFFLED * count for stage, count in _shuffles(plan, facts)
    )


def _shuffles(plan: Plan, facts: Facts) -> Iterator[tuple[Shuffle, float | None]]:
    """All shuffles of elements, with how many each takes in an epoch, if that is known; those of files hold none."""
    for number, part in enumerate(plan.source.plans if isinstance(plan.source, Combination) else ()):
        yield from _shuffles(part, within(facts, number))
    counts = epoch_counts(plan, facts)
    for at, stage in enumerate(plan.stages):
        if isinstance(stage, Shuffle) and at >= _opened(plan):
            yield stage, None if counts is None else counts[at]


def _opened(plan: Plan) -> int:
    """How many stages there are until elements of files are there."""
    return plan.stages.index(plan.reader) + 1 if plan.reader is not None else 0


def shortened(plan: Plan, part: Part, facts: Facts) -> Plan:
    """The plan with only a part of its data, of which its shuffles hold, and it skips and takes, as large a share as before."""
    if part.elements == math.inf:
        return plan
    at, source, first = _opened(plan), plan.source, [Take(count=int(part.elements))]
    if isinstance(source, Combination):
        parts = enumerate(source.plans)
        cut = (shortened(one, _inner(source, one, part, within(facts, n)), within(facts, n)) for n, one in parts)
        source, first = dataclasses.replace(source, plans=tuple(cut)), []
    stages = (*plan.stages[:at], *first, *(_smaller(stage, part) for stage in plan.stages[at:]))
    return dataclasses.replace(plan, source=source, stages=()).with_stages(stages)


def _inner(source: Combination, plan: Plan, part: Part, facts: Facts) -> Part:
    """What a plan inside a source is cut to: of each the same share, or as many; one without an end is left as it is."""
    counts = epoch_counts(plan, facts)
    if counts is None or not math.isfinite(counts[0]):
        return Part() if not isinstance(source, Zip) else part
    if part.share is not None:
        return dataclasses.replace(part, elements=math.ceil(part.share * counts[0]))
    among = 1 if isinstance(source, Zip) else len(source.plans)
    return dataclasses.replace(part, elements=math.ceil(part.elements / among))


def _smaller(stage: Stage, part: Part) -> Stage:
    match stage, part.share:
        case Shuffle(buffer_size=size), None:
            return dataclasses.replace(stage, buffer_size=min(size, math.ceil(MOST_SHUFFLED * part.elements)))
        case Shuffle(buffer_size=size), float() as share:
            return dataclasses.replace(stage, buffer_size=max(1, round(share * size)))
        case Skip(count=count) | Take(count=count), float() as share if count > 0:
            return dataclasses.replace(stage, count=math.ceil(share * count))
    return stage
