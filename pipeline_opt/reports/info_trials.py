"""What the trials of a tuning come to: for each candidate its turns, and how fast it was beside the pipeline given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline_opt.reports import units
from pipeline_opt.tuner.bootstrap import Interval
from pipeline_opt.tuner.decision import AUTOTUNE, GIVEN
from pipeline_opt.tuner.optimize import STRICT, Tuning
from pipeline_opt.tuner.scores import log_ratios
from pipeline_opt.tuner.trials import Candidate, Contest, Dropped
from pipeline_opt.tuner.turns import Stretch, Turn

LARGEST: Final = 1000.0
"""An interval's end beyond that says only that nothing is known there."""


class TrialRow(NamedTuple):
    """One candidate.

    `rates` are the examples a second of each whole turn, `rate` their geometric mean. `ratios` is how fast it was beside
    the pipeline given in each round that both took part in, `over` their mean with its interval; None without such a round.
    """

    name: str
    is_used: bool
    rates: tuple[float, ...]
    rate: float | None
    ratios: tuple[float, ...]
    over: Interval | None
    dropped: Dropped | None


class TrialsInfo(NamedTuple):
    """Everyone who took part, the pipeline given first; `reason` says why there is nothing to draw, if so."""

    rows: tuple[TrialRow, ...]
    rounds: int
    seconds: float
    job_epochs: int
    level: float
    reason: str | None


def trials_info(tuning: Tuning) -> TrialsInfo:
    """The trials that decided, in the order of the contest."""
    contest, level = tuning.contest, tuning.decision.level
    used = "" if tuning.left_out is not None else tuning.decision.name
    rows = tuple(_row(contest, candidate, used, level) for candidate in contest.candidates)
    seen = any(row.rates or row.ratios for row in rows)
    reason = None if seen else "no turn was measured" if rows else "nothing was tried"
    return TrialsInfo(rows, contest.rounds, contest.seconds, contest.job_epochs, level, reason)


def range_text(found: Interval | None) -> str:
    """An interval's ends, `[1.20, 1.90]`; what nothing is known of is not written as a number."""
    if found is None or found.rounds < 2:
        return "" if found is None or not found.rounds else "[one round only]"
    high = units.ABSENT if found.high > LARGEST else f"{found.high:.2f}"
    return f"[{found.low:.2f}, {high}]"


def gain_text(found: Interval | None) -> str:
    """A ratio with its interval: `1.42x [1.20, 1.90]`."""
    if found is None or not found.rounds:
        return units.ABSENT
    return f"{units.ratio(found.value)} {range_text(found)}"


def mean_rate(rates: Sequence[float]) -> float | None:
    """The geometric mean, as ratios have it; None of nothing."""
    return math.exp(sum(map(math.log, rates)) / len(rates)) if rates else None


def _row(contest: Contest, candidate: Candidate, used: str, level: float) -> TrialRow:
    name = candidate.name
    rates = _rates(candidate.turns, contest.job_epochs)
    ratios, over = _over_given(contest, candidate, STRICT if name == AUTOTUNE else level)
    return TrialRow(name, name == used, rates, mean_rate(rates), ratios, over, candidate.dropped)


def _over_given(contest: Contest, candidate: Candidate, level: float) -> tuple[tuple[float, ...], Interval | None]:
    given = next((each for each in contest.candidates if each.name == GIVEN), None)
    if given is None or candidate.name == GIVEN:
        return (), None
    logs = log_ratios(candidate.turns, given.turns, job_epochs=contest.job_epochs)
    over = contest.ratio(candidate.name, GIVEN, level=level)
    return tuple(map(math.exp, logs)), over if over.rounds else None


def _rates(turns: Sequence[Turn], job_epochs: int) -> tuple[float, ...]:
    """Examples a second of the turns that were not cut off, over all epochs of the job."""
    whole = [turn for turn in turns if turn.cut is None]
    # Beside who makes one example a second, so that epochs count here as they do in every other ratio.
    ones = [Turn(turn.round, (Stretch(1, 1.0),)) for turn in whole]
    return tuple(map(math.exp, log_ratios(whole, ones, job_epochs=job_epochs)))
