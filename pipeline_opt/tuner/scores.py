"""What two candidates' turns say of their speeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pipeline_opt.tuner.turns import Turn

Measure = Literal["all", "first_epoch", "later_epochs"]
"""Which part of a turn: all that was counted, its first epoch, or the epochs after it (caches are full then)."""


def log_ratios(a: Sequence[Turn], b: Sequence[Turn], measure: Measure = "all", job_epochs: int = 1) -> list[float]:
    """The logarithm of the throughput of `a` over that of `b`, for every round that says something of both.

    A turn that was cut off for its time did not take the same examples. It is taken to have reached its goal as it was cut
    off: in truth it would have been slower. So such a round counts where even then it is the slower of the two.

    Args:
        a: The one's turns.
        b: The other's.
        measure: Which part of them.
        job_epochs: Epochs of the job that "all" stands for: where turns are of fewer, those after the first count for the rest.
    """
    others = {turn.round: turn for turn in b}
    rates = ((_log_rate(turn, measure, job_epochs), others.get(turn.round)) for turn in a)
    found = [(own, _log_rate(turn, measure, job_epochs)) for own, turn in rates if turn is not None]
    logs = []
    for own, other in found:
        if own is None or other is None or (own[1] and other[1]):
            continue
        log = own[0] - other[0]
        if not (own[1] and log > 0) and not (other[1] and log < 0):
            logs.append(log)
    return logs


def _log_rate(turn: Turn, measure: Measure, job_epochs: int) -> tuple[float, bool] | None:
    """The logarithm of examples a second, and whether that is only the most that it can be; None where nothing is known."""
    parts = turn.counted if measure == "all" else turn.counted[:1] if measure == "first_epoch" else turn.counted[1:]
    stands_for_more = measure == "all" and turn.cut is None and 1 < len(parts) < job_epochs
    later = (job_epochs - 1) / (len(parts) - 1) if stands_for_more else 1.0
    weights = [later if number else 1.0 for number in range(len(parts))]
    examples = sum(weight * part.examples for weight, part in zip(weights, parts, strict=True))
    seconds = sum(weight * part.seconds for weight, part in zip(weights, parts, strict=True))
    cut = turn.cut is not None and not (measure == "first_epoch" and all(part.ended for part in parts))
    if cut:
        if turn.cut != "time" or turn.goal is None or measure != "all":
            return None
        examples, seconds = _bound(turn, examples, seconds, job_epochs)
    return (math.log(examples / seconds), cut) if examples and seconds > 0 else None


def _bound(turn: Turn, examples: float, seconds: float, job_epochs: int) -> tuple[float, float]:
    """Examples and seconds of a turn that was cut off, as if it had reached its goal then.

    Of a job of more epochs than were begun it knows nothing of those: they are taken to take no time, or no longer than the last
    one until it was cut off, for what a first epoch cached may be there in those after it.
    """
    goal, later = (turn.goal or 0) / turn.epochs, turn.counted[1:]
    if job_epochs == 1 or not later:
        return max(goal * job_epochs, examples), seconds
    first = turn.counted[0]
    return first.examples * job_epochs, first.seconds + (job_epochs - 1) * later[-1].seconds
