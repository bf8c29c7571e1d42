"""Which pipeline is returned: a rewritten one only where it was shown to be faster than both that there were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipeline_opt.tuner.bootstrap import LEVEL, Interval
from pipeline_opt.tuner.trials import Contest

GIVEN: Final = "given"
AUTOTUNE: Final = "autotune"
"""Names of the two pipelines that there are in any case: as it was given, and with AUTOTUNE on every knob."""

FEWEST: Final = 3
"""Rounds without which nothing is said to be better than what was given."""

LIKELY: Final = 0.8
"""How sure it must be that AUTOTUNE's pipeline is faster than the one given for it to be returned in its place: nobody asked for
the one rather than the other, and neither is left unless there are rounds that speak for it."""


@dataclass(frozen=True)
class Decision:
    """What to return.

    Args:
        name: The candidate, or one of the two that there were before.
        changed: Whether it is a candidate.
        over_given: Its throughput over that of the pipeline given; None where it is that one, or that one did not run.
        over_autotune: Likewise over plain AUTOTUNE.
        sentence: The reason, for people.
        level: The confidence of every candidate's interval, at which they hold together.
    """

    name: str
    changed: bool
    over_given: Interval | None
    over_autotune: Interval | None
    sentence: str
    level: float = LEVEL


def decide(
    contest: Contest,
    candidates: Sequence[str],
    *,
    given: str = GIVEN,
    autotune: str = AUTOTUNE,
    level: float = LEVEL,
) -> Decision:
    """The fastest candidate that beats both the pipeline given and plain AUTOTUNE, or else the better of those two.

    It beats them if its whole interval lies above 1. The fastest of several is likely to have been lucky, so the intervals are as
    wide as it takes for the level to hold for all candidates that were in it at the end together (Bonferroni). The rounds that
    those that beat them share tell which is the fastest. A baseline that failed or took more memory than it may need not be
    beaten, and is not returned if the other one is sound.

    Args:
        contest: What was measured, the baselines among it.
        candidates: Names of the plans to choose from.
        given: Name of the pipeline as it was given.
        autotune: Name of it with AUTOTUNE on every knob.
        level: The confidence that what is returned is faster.
    """
    sound, over, strict = _over(contest, candidates, given, autotune, level)
    best = contest.fastest(_beating(over))
    if best is not None:
        return replace(_won(best, over[best], given, autotune, contest), level=strict)
    return replace(_unchanged(contest, list(over), over, sound, given, autotune, level), level=strict)


def winners(contest: Contest, candidates: Sequence[str], *, level: float = LEVEL) -> list[str]:
    """The candidates that beat both baselines, as `decide` has it, the fastest over them first."""
    return _beating(_over(contest, candidates, GIVEN, AUTOTUNE, level)[1])


def _beating(over: dict[str, dict[str, Interval]]) -> list[str]:
    won = [name for name, found in over.items() if _least(found, "low") > 1]
    return sorted(won, key=lambda name: -_least(over[name], "value"))


def _over(
    contest: Contest, candidates: Sequence[str], given: str, autotune: str, level: float
) -> tuple[list[str], dict[str, dict[str, Interval]], float]:
    """The baselines that are to be beaten, what every candidate is over each of them, and at which level."""
    running = [name for name in candidates if name not in contest.dropped]
    sound = [name for name in (given, autotune) if _is_sound(contest, name)]
    strict = 1 - (1 - level) / max(len(running), 1)
    return sound, {n: {base: contest.ratio(n, base, level=strict) for base in sound} for n in running}, strict


def _is_sound(contest: Contest, name: str) -> bool:
    dropped = contest.dropped.get(name)
    return dropped is None or dropped.reason == "slower"


def _least(over: dict[str, Interval], field: str) -> float:
    values = [float(getattr(found, field)) for found in over.values() if found.rounds]
    return min(values, default=0.0) if len(values) == len(over) else 0.0


def _won(name: str, over: dict[str, Interval], given: str, autotune: str, contest: Contest) -> Decision:
    said = " and ".join(f"{found.value:.2f}x of {base} {_range(found)}" for base, found in over.items())
    out = "".join(f"; {contest.dropped[base].why}" for base in (given, autotune) if base not in over)
    return Decision(name, True, over.get(given), over.get(autotune), f"{name} is faster: {said}{out}")


def _unchanged(
    contest: Contest,
    running: list[str],
    over: dict[str, dict[str, Interval]],
    sound: list[str],
    given: str,
    autotune: str,
    level: float,
) -> Decision:
    between = contest.ratio(autotune, given, level=level)
    better = given if sound == [given] or not sound else autotune if sound == [autotune] else ""
    if not better:
        better = (
            autotune if between.rounds >= FEWEST and contest.ratio(autotune, given, level=LIKELY).low > 1 else given
        )
    best = max(running, key=lambda name: _least(over[name], "value"), default=None)
    if best is None:
        why = "no candidate was left"
    elif not all(found.rounds for found in over[best].values()) or not sound:
        why = f"{best} was not measured beside it"
    else:
        base, found = min(over[best].items(), key=lambda item: item[1].low)
        why = f"{best} was not shown to be faster than {base}: {found.value:.2f}x {_range(found)}"
    against = f"; {autotune} is {between.value:.2f}x of {given} {_range(between)}" if between.rounds else ""
    over_given = between if better == autotune and between.rounds else None
    kept = f"{given} is returned unchanged" if better == given else f"{autotune} is returned, with no other change"
    return Decision(better, False, over_given, None, f"{kept}: {why}{against}")


def _range(found: Interval) -> str:
    return f"{found.ends}, {found.rounds} round{'' if found.rounds == 1 else 's'}"
