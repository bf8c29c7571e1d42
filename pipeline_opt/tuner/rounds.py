"""How long the turns of the next round may be."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

MORE_LEAD: Final = 1.25
"""What comes out of buffers is not known exactly; so much more than was found is left out."""

FEW_WHOLE: Final = 3
"""Rounds of whole epochs that tell more than any number of slices: what was made while others ran is not in them."""

NOT_COUNTED: Final = 0.25
"""The part of a round that may be spent on pauses, and as much again on leads that are as long for all."""


@dataclass(frozen=True)
class Pace:
    """What is known of a candidate's speed.

    Args:
        rate: Examples a second once its buffers are empty.
        fill_s: Seconds to its first batch.
        buffered: Examples that it makes while it is idle.
        job_s: Seconds that all epochs took, with teardown, where they were measured.
    """

    rate: float
    fill_s: float = 0.0
    buffered: int = 0
    job_s: float | None = None

    @property
    def refill_s(self) -> float:
        """Seconds after which it surely no longer works on after its turn."""
        return self.lead / self.rate

    @property
    def lead(self) -> int:
        """Examples after which its buffers are surely empty."""
        return math.ceil(MORE_LEAD * self.buffered)

    def epochs_s(self, epochs: int, examples: int | None) -> float:
        """Seconds that a number of epochs takes; 0 where it cannot be known."""
        if self.job_s is not None:
            return self.job_s
        return 0.0 if examples is None else epochs * (examples / self.rate + self.fill_s)


@dataclass(frozen=True)
class Round:
    """What everyone does in a round.

    Args:
        whole: Whether it is whole epochs.
        goal: Examples to count; None where that many epochs hold an unknown number.
        lead: Examples that come before and do not count; None where each has its own lead.
        longest_pause_s: Seconds to wait before a turn at the most.
    """

    whole: bool
    goal: int | None = None
    lead: int | None = 0
    longest_pause_s: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """What is settled for all rounds.

    Args:
        min_rounds: Rounds before anyone drops out.
        max_rounds: Rounds after which it is over.
        epochs: Epochs of a turn.
        epoch_examples: Examples of an epoch, where it is known.
        whole: Whether turns are whole epochs in any case.
        job_epochs: Epochs of the job; a turn may have fewer.
    """

    min_rounds: int
    max_rounds: int
    epochs: int = 1
    epoch_examples: int | None = None
    whole: bool = False
    job_epochs: int = 1

    def next_round(self, done: int, remaining_s: float, paces: Collection[Pace]) -> Round | None:
        """The next round; None where the rounds or the time are used up.

        Whole epochs are run where several epochs make up the job, as a cache pays only then, or where there is time for
        a few rounds of them. Otherwise the time left is shared out evenly among the rounds left, and a round's among all
        so that everyone takes the same examples: who is slow takes most of it until it drops out. Leads are as long for all,
        so that all stay at the same place in the data, unless that would take too long for those who buffer little. Rounds
        are longer, and fewer, where pauses and leads would take up much of them.
        """
        left = self.max_rounds - done
        if left <= 0 or remaining_s <= 0 or not paces:
            return None
        epochs_s = sum(pace.epochs_s(self.epochs, self.epoch_examples) for pace in paces)
        fits = epochs_s * max(min(self.min_rounds, FEW_WHOLE) - done, 1) <= remaining_s
        if self.whole or self.epochs > 1 or (self.epoch_examples is not None and fits):
            enough = done == 0 or epochs_s <= remaining_s
            goal = None if self.epoch_examples is None else self.epochs * self.epoch_examples
            return Round(True, goal) if enough else None
        return self._slices(remaining_s, left, self.min_rounds - done, paces)

    def _slices(self, remaining_s: float, left: int, missing: int, paces: Collection[Pace]) -> Round | None:
        refills_s = sum(pace.refill_s for pace in paces)
        needed_s = (refills_s + sum(pace.lead / pace.rate for pace in paces)) / NOT_COUNTED
        round_s = max(remaining_s / left, min(needed_s, remaining_s / max(missing, 1)))
        pause_s = max(pace.refill_s for pace in paces)
        if refills_s > NOT_COUNTED * round_s:
            pause_s = NOT_COUNTED * round_s / len(paces)
        pauses_s = sum(min(pace.refill_s, pause_s) for pace in paces)
        each_s = sum(1 / pace.rate for pace in paces)
        longest = max(pace.lead for pace in paces)
        common = longest * each_s <= NOT_COUNTED * round_s
        leads_s = longest * each_s if common else sum(pace.lead / pace.rate for pace in paces)
        affordable = (remaining_s - pauses_s - leads_s) / each_s
        wanted = (round_s - pauses_s - leads_s) / each_s
        # What counts is as long as what is left out, if need be in fewer rounds.
        goal = min(max(wanted, leads_s / each_s, 1), affordable)
        if goal < (max(leads_s / each_s, 1) if missing <= 0 else 1):
            return None
        if self.epoch_examples is not None:
            goal = min(goal, max(self.epoch_examples - longest, 1))
        return Round(False, int(goal), longest if common else None, pause_s)
