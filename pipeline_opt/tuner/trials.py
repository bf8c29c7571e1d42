"""Candidates measured against each other in paired, interleaved rounds.

**Why iterators are kept open.** A long epoch cannot be run as a whole in every round. There are two ways to take turns of part
of one:

- A new iterator for every turn pays the fill every time and starts AUTOTUNE from nothing, which needs seconds to find its knobs.
  It is used where all iterators together would hold more memory than one may.
- An iterator that is kept open pays once. But an idle pipeline goes on until its buffers are full: its next turn begins with
  batches that it has for nothing, and whoever comes next shares the cores with it. Of two pipelines that did the same work on two
  cores, the one that prefetched 16 batches looked 2.3 times as fast as the one that prefetched 1 in turns of 25 batches, and 1.2
  times in turns of 100. Leaving out 32 batches first it was 0.98 and 0.91, about as with new iterators (0.97, 0.91).

So iterators are kept open, and both errors are measured and left out: a turn begins with a pause as long as the one before needs
to fill its buffers; then come as many examples as the fullest buffers among all hold (`turns.buffered` finds out); and only what
follows is timed. Everyone takes the same number of examples in a round, lead and all, so that they stay at the same place in the
data. Whole epochs, where there is time for them, need none of this.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final, Literal

from pipeline_opt.build.failures import translate
from pipeline_opt.clock import Clock
from pipeline_opt.errors import UsageError
from pipeline_opt.plan import Plan
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.tuner.bootstrap import LEVEL, Interval, interval
from pipeline_opt.tuner.rounds import Pace, Round, Schedule
from pipeline_opt.tuner.scores import Measure, log_ratios
from pipeline_opt.tuner.turns import Runner, Turn, buffered, resident

PROBE_SHARE: Final = 0.1
"""The part of the time in which the speed of all is found out, before anything counts."""

LONGEST_PROBE_S: Final = 1.0
PATIENCE: Final = 3.0
"""A turn is cut off after so many times what it was expected to take."""

Reason = Literal["slower", "memory", "error", "empty"]


@dataclass(frozen=True)
class Dropped:
    """Why a candidate is out: a word for programs, and a sentence."""

    reason: Reason
    why: str


@dataclass(frozen=True)
class Candidate:
    """What one candidate did. `probe` came before the rounds and does not count."""

    name: str
    probe: tuple[Turn, ...] = ()
    turns: tuple[Turn, ...] = ()
    dropped: Dropped | None = None


@dataclass(frozen=True)
class Contest:
    """What was measured.

    Args:
        candidates: Everyone, in the order given.
        seconds: What it took in all.
        rounds: Rounds that were begun.
        seed: What the order of turns, and the intervals, are drawn with.
        stopped: Whether it was ended from outside.
        job_epochs: Epochs of the job, which turns may have fewer of.
    """

    candidates: tuple[Candidate, ...]
    seconds: float
    rounds: int
    seed: int
    stopped: bool = False
    job_epochs: int = 1

    def joined(self, later: Contest) -> Contest:
        """The rounds of both. Who takes no part in the later one keeps its rounds, and drops out if it had dropped out before."""
        more = {candidate.name: candidate for candidate in later.candidates}
        candidates = tuple(_continued(one, more.get(one.name), self.rounds) for one in self.candidates)
        seconds, rounds = self.seconds + later.seconds, self.rounds + later.rounds
        return replace(self, candidates=candidates, seconds=seconds, rounds=rounds, stopped=later.stopped)

    def __getitem__(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.name == name)

    def ratio(self, a: str, b: str, measure: Measure = "all", level: float = LEVEL) -> Interval:
        """The throughput of `a` over that of `b`, from the rounds that both took part in.

        Args:
            a: The one, by name.
            b: The other.
            measure: Of all that was counted, of the first epoch of each turn, or of the epochs after it.
            level: The confidence of the interval.
        """
        return interval(log_ratios(self[a].turns, self[b].turns, measure, self.job_epochs), level=level, seed=self.seed)

    @property
    def whole(self) -> bool:
        """Whether rounds were of whole epochs."""
        turns = [turn for candidate in self.candidates for turn in candidate.turns if turn.cut is None]
        return bool(turns) and all(turn.counted and not turn.lead and turn.counted[-1].ended for turn in turns)

    @property
    def dropped(self) -> Mapping[str, Dropped]:
        """Who is out, and why."""
        return {c.name: c.dropped for c in self.candidates if c.dropped is not None}

    @property
    def best(self) -> str | None:
        """The fastest of those that are not out, by the rounds that they shared; None where none was measured."""
        return self.fastest([c.name for c in self.candidates if c.dropped is None and any(t.examples for t in c.turns)])

    def fastest(self, names: Sequence[str]) -> str | None:
        """The fastest of some, by the rounds that they shared, the first of those that shared none; None of none."""
        best = next(iter(names), None)
        for name in names[1:]:
            if best is not None and self.ratio(name, best).value > 1:
                best = name
        return best


def _continued(one: Candidate, more: Candidate | None, rounds: int) -> Candidate:
    if more is None:
        return one
    turns = tuple(replace(turn, round=rounds + turn.round) for turn in more.turns)
    return replace(one, turns=(*one.turns, *turns), dropped=more.dropped)


def contest(
    datasets: Mapping[str, Callable[[], Any]],
    *,
    seconds: float,
    clock: Clock,
    elements_of: Callable[[Any], int],
    epochs: int = 1,
    epoch_examples: int | None = None,
    whole: bool = False,
    job_epochs: int | None = None,
    min_rounds: int = 4,
    max_rounds: int = 12,
    seed: int = 0,
    memory_bytes: int | None = None,
    on_progress: Callable[[float, str], object] = lambda seconds, what: None,
    stop: Callable[[], bool] = lambda: False,
    rss: Callable[[], int] = resident,
    settle: Callable[[], object] = lambda: None,
    explain: Callable[[BaseException], BaseException] = lambda error: translate(error, Plan(OpaqueDataset())),
) -> Contest:
    """Measure datasets against each other, all in each round, in an order drawn anew every time.

    Who is clearly slower than the fastest drops out, and what is left of the time goes to the others. The time is kept to but for
    a wait for a batch that is under way: no thread that waits inside tf.data can be interrupted, so turns begin short and grow
    with what is known.

    Args:
        datasets: By name, what makes each: called anew for every iterator that must not find what was cached before.
        seconds: The time for all, making the datasets included.
        clock: Where time comes from.
        elements_of: Examples in a batch; candidates may batch differently.
        epochs: Epochs of a turn. With more than one, caches are empty at first.
        epoch_examples: Examples of an epoch, where it is known; what is found out by the way need not be.
        whole: Whether turns are whole epochs, however long: where epochs are of few batches, most of which buffers would hold
            between turns.
        job_epochs: Epochs of the job, where a turn has fewer: its later ones stand for the rest.
        min_rounds: Rounds before anyone drops out for being slow.
        max_rounds: Rounds at the most.
        seed: Draws the orders and resamples the intervals.
        memory_bytes: Growth of the process at which a turn is broken off and the candidate is out. It is looked at between
            batches: a buffer that fills before the first batch is seen only then.
        on_progress: Told the seconds that have passed and what is done, before every turn.
        stop: Asked between batches whether to stop.
        rss: Bytes of memory that the process has.
        settle: Called before the first turn of each, whose growth is then its own: it may give back what was freed before.
        explain: Says what an error that ended a candidate means.

    Raises:
        UsageError: An argument is out of range.
    """
    _check(datasets, seconds=seconds, epochs=epochs, min_rounds=min_rounds, max_rounds=max_rounds)
    runners = {name: Runner(make, elements_of, clock, rss, memory_bytes, stop) for name, make in datasets.items()}
    schedule = Schedule(min_rounds, max_rounds, epochs, epoch_examples, whole, job_epochs or epochs)
    running = _Running(runners, schedule, clock, seconds, seed, memory_bytes, on_progress, settle, explain)
    try:
        running.run()
    finally:
        for runner in runners.values():
            runner.close()
    return running.result()


def _check(datasets: Mapping[str, Any], **positive: float) -> None:
    if not datasets:
        raise UsageError("datasets is empty; valid: one candidate or more")
    for name, value in positive.items():
        if not value > 0:
            raise UsageError(f"{name}={value!r} is out of range; valid: a number above 0")


class _Running:
    """A contest under way.

    Candidates are looked at after every round, and whoever looks often enough sees a difference where there is none. So the level
    at which one drops out is that of all rivals and all looks together.
    """

    def __init__(
        self,
        runners: Mapping[str, Runner],
        schedule: Schedule,
        clock: Clock,
        seconds: float,
        seed: int,
        memory_bytes: int | None,
        on_progress: Callable[[float, str], object],
        settle: Callable[[], object],
        explain: Callable[[BaseException], BaseException],
    ) -> None:
        self._runners, self._schedule, self._clock, self._seconds = runners, schedule, clock, seconds
        self._memory_bytes, self._on_progress, self._settle, self._explain = memory_bytes, on_progress, settle, explain
        self._seed, self._random = seed, random.Random(seed)
        self._candidates = {name: Candidate(name) for name in runners}
        self._paces: dict[str, Pace] = {}
        self._buffered: dict[str, list[int]] = {}
        self._start = clock.now()
        self._rounds, self._refill_s, self._stopped, self._keeps = 0, 0.0, False, True

    @property
    def _elapsed_s(self) -> float:
        return self._clock.now() - self._start

    @property
    def _left_s(self) -> float:
        return self._seconds - self._elapsed_s

    @property
    def _alive(self) -> list[str]:
        return [name for name, candidate in self._candidates.items() if candidate.dropped is None]

    def result(self) -> Contest:
        """What was measured until now."""
        everyone = tuple(self._candidates.values())
        return Contest(everyone, self._elapsed_s, self._rounds, self._seed, self._stopped, self._schedule.job_epochs)

    def run(self) -> None:
        """The probe, then rounds until rounds, time or rivals are used up."""
        self._probe()
        if any(name not in self._paces for name in self._alive):
            # Stopped, or out of time, before everyone's speed was known: there is nothing to compare.
            return
        looks = max(self._schedule.max_rounds - self._schedule.min_rounds + 1, 1)
        level = 1 - (1 - LEVEL) / (max(len(self._runners) - 1, 1) * looks)
        while not self._stopped and len(self._alive) > (1 if self._rounds >= self._schedule.min_rounds else 0):
            paces = [self._paces[name] for name in self._alive]
            plan = self._schedule.next_round(self._rounds, self._left_s, paces)
            if plan is None:
                return
            self._rounds += 1
            self._run_round(plan)
            if self._rounds >= self._schedule.min_rounds:
                self._drop_slower(level)

    def _probe(self) -> None:
        """Find out everyone's speed, its fill, and, as it was idle while the others were probed, what it buffers.

        Where epochs are whole everyone goes through one, if there is time: no round finds files that the system does not hold
        yet, or memory that the process has not had before.
        """
        share_s = self._seconds / 2 / len(self._runners)
        short_s = min(LONGEST_PROBE_S, PROBE_SHARE * self._seconds / 2 / len(self._runners))
        for number in range(1 if self._schedule.epochs > 1 or self._schedule.whole else 2):
            for name in self._alive:
                if self._stopped or self._left_s <= 0:
                    return
                self._on_progress(self._elapsed_s, f"{name}: how fast it is")
                if number == 0:
                    self._settle()
                enough_s = share_s if self._schedule.whole else short_s
                turn = self._runners[name].take_slice(0, 0, None, min(share_s, self._left_s), enough_s)
                self._candidates[name] = replace(self._candidates[name], probe=(*self._candidates[name].probe, turn))
                self._judge(name, turn)
                self._learn_from_probe(name, turn, number)

    def _learn_from_probe(self, name: str, turn: Turn, number: int) -> None:
        stretches = [stretch for stretch in (*turn.lead, *turn.counted) if stretch.examples]
        if not stretches:
            if number == 0 and self._candidates[name].dropped is None:
                self._drop(name, Dropped("empty", f"{name} gave no elements"))
            return
        if number == 0:
            rate = stretches[-1].examples / max(stretches[-1].seconds, 1e-9)
            self._paces[name] = Pace(rate, stretches[0].first_s or 0.0)
        else:
            self._learn_buffered(name)
        if turn.counted and turn.counted[0].ended and number == 0 and self._schedule.epoch_examples is None:
            self._schedule = replace(self._schedule, epoch_examples=sum(stretch.examples for stretch in stretches))
        if self._schedule.epochs > 1:
            self._runners[name].close()
        self._keep_open()
        self._refill_s = self._paces[name].refill_s if self._runners[name].is_open else 0.0

    def _run_round(self, plan: Round) -> None:
        order = self._alive
        self._random.shuffle(order)
        if plan.whole:
            # Rounds of whole epochs and of slices are not alike: it goes on as it began.
            self._schedule = replace(self._schedule, whole=True)
            for runner in self._runners.values():
                runner.close()
            self._refill_s = 0.0
        for place, name in enumerate(order):
            if self._stopped or self._left_s <= 0:
                return
            self._on_progress(self._elapsed_s, f"round {self._rounds}, {name}")
            left = len(order) - place
            turn = self._take_epochs(name, plan, left) if plan.whole else self._take_slice(name, plan)
            self._candidates[name] = replace(self._candidates[name], turns=(*self._candidates[name].turns, turn))
            self._judge(name, turn)

    def _take_epochs(self, name: str, plan: Round, waiting: int) -> Turn:
        """A turn of whole epochs; cut off where the others who wait would not get their share of the time any more."""
        epochs, pace = self._schedule.epochs, self._paces[name]
        expected = pace.epochs_s(epochs, self._schedule.epoch_examples)
        limit = max(self._left_s / waiting, min(PATIENCE * expected, self._left_s - (waiting - 1) * expected))
        turn = self._runners[name].take_epochs(self._rounds, epochs, plan.goal, limit)
        if turn.cut is None and turn.examples:
            self._paces[name] = replace(pace, job_s=turn.seconds + turn.teardown_s)
            if self._schedule.epoch_examples is None:
                self._schedule = replace(self._schedule, epoch_examples=turn.examples // epochs)
        return turn

    def _take_slice(self, name: str, plan: Round) -> Turn:
        runner, pace, goal = self._runners[name], self._paces[name], plan.goal or 1
        self._clock.sleep_until(self._clock.now() + min(self._refill_s, plan.longest_pause_s))
        lead = pace.lead if plan.lead is None else plan.lead
        expected = (lead + goal) / pace.rate + (0.0 if runner.is_open else pace.fill_s)
        turn = runner.take_slice(self._rounds, lead, goal, min(self._left_s, PATIENCE * expected))
        if turn.examples:
            self._paces[name] = replace(pace, rate=turn.examples / max(turn.seconds, 1e-9))
        self._learn_buffered(name)
        self._keep_open()
        self._refill_s = self._paces[name].refill_s if runner.is_open else 0.0
        return turn

    def _keep_open(self) -> None:
        """Leave iterators open for their next turns, unless all of them together hold more than one may."""
        if self._memory_bytes is not None and sum(other.held for other in self._runners.values()) > self._memory_bytes:
            self._keeps = False
        for other in () if self._keeps else self._runners.values():
            other.close()

    def _learn_buffered(self, name: str) -> None:
        pace, arrivals = self._paces[name], self._runners[name].arrivals
        if arrivals:
            seen = self._buffered.setdefault(name, [])
            seen.append(buffered(arrivals, pace.rate))
            self._paces[name] = replace(pace, buffered=int(median(seen[-3:])))

    def _judge(self, name: str, turn: Turn) -> None:
        """Take a candidate out that failed or took too much memory."""
        runner = self._runners[name]
        if turn.cut == "stopped":
            self._stopped = True
        elif turn.cut == "memory":
            why = f"{name} made the process grow by {turn.rss_growth / 1e6:,.0f} MB; its budget is "
            self._drop(name, Dropped("memory", f"{why}{(self._memory_bytes or 0) / 1e6:,.0f} MB"))
        elif turn.cut == "error" and runner.error is not None:
            self._drop(name, Dropped("error", f"{name} failed: {self._explain(runner.error)}"))

    def _drop_slower(self, level: float) -> None:
        """Take those out whose ratio to the fastest lies below 1 as a whole."""
        now = self.result()
        if (best := now.best) is None:
            return
        for name in self._alive:
            found = now.ratio(name, best, level=level)
            if name != best and found.high < 1:
                said = f"{found.value:.2f} of its speed [{found.low:.2f}, {found.high:.2f}] after {found.rounds} rounds"
                self._drop(name, Dropped("slower", f"{name} is slower than {best}: {said}"))

    def _drop(self, name: str, dropped: Dropped) -> None:
        self._candidates[name] = replace(self._candidates[name], dropped=dropped)
        self._runners[name].close()
