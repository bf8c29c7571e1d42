"""One candidate's turns: batches taken from its iterator against a clock, with an eye on the process's memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any, Final, Literal

import numpy as np
import psutil

from pipeline_opt.clock import Clock
from pipeline_opt.profiler.feeds import release_frames

Cut = Literal["time", "memory", "stopped", "error"]
"""Why a turn ended before its goal."""

LOOK_EVERY_S: Final = 0.01
"""How often the memory of the process is looked at, as a look costs some 20 us."""

SHORT: Final = 0.5
"""The part of a goal below which what comes until the data ends does not count: much of it may have been made before."""

MOST_ARRIVALS: Final = 20_000
_FEW: Final = 4
_AT_ONCE: Final = 0.5


@dataclass(frozen=True)
class Stretch:
    """Batches taken one after another from one iterator.

    Args:
        examples: How many examples they held.
        seconds: From `iter()`, or from the first call where the iterator was open before, to the last batch. The wait in which
            the end of the data is found is not in it.
        first_s: Seconds of these until the first batch of a new iterator (its fill); None where it was open before.
        first_examples: Examples of that first batch.
        ended: Whether the data ended.
    """

    examples: int
    seconds: float
    first_s: float | None = None
    first_examples: int = 0
    ended: bool = False


@dataclass(frozen=True)
class Turn:
    """What a candidate did in a round.

    Args:
        round: Its number, from 1.
        counted: The stretches that count: one, or one an epoch.
        goal: Examples that were to be counted; None where it was a whole number of epochs of unknown length.
        lead: What was taken before and does not count.
        teardown_s: Seconds in which iterators, and the dataset with its caches, were let go, but for what was let go aside; in
            no stretch.
        rss_growth: Bytes by which the process was larger at the most than before this candidate was opened. Memory that
            others have freed and the allocator kept is used without growth, so this is the least that it took.
        cut: Why it ended early; None if it did not.
        epochs: Epochs that were to be counted; 1 for a slice.
    """

    round: int
    counted: tuple[Stretch, ...]
    goal: int | None = None
    lead: tuple[Stretch, ...] = ()
    teardown_s: float = 0.0
    rss_growth: int = 0
    cut: Cut | None = None
    epochs: int = 1

    @property
    def examples(self) -> int:
        """Examples counted."""
        return sum(stretch.examples for stretch in self.counted)

    @property
    def seconds(self) -> float:
        """Seconds in which they came."""
        return sum(stretch.seconds for stretch in self.counted)

    @property
    def first_batch_s(self) -> float | None:
        """Seconds until the first batch, where this turn began with a new iterator."""
        return next((stretch.first_s for stretch in (*self.lead, *self.counted)), None)


def buffered(arrivals: Sequence[tuple[int, float]], rate: float) -> int:
    """Examples with which a turn began that had been made before it, while the iterator was idle.

    What comes out of buffers comes faster than it is made. So they are empty where the next few batches take more than half as
    long as the quickest in the second half; the quickest, as a machine that gets slower meanwhile must not look like a buffer.

    Args:
        arrivals: After each batch, the examples until then and the seconds since the turn began.
        rate: Examples a second that the candidate makes, as far as it is known: all that can be gone by where there are few
            batches, or more than half of them were buffered.
    """
    examples, seconds = np.array([(0, 0.0), *arrivals]).T
    few = max(1, min(_FEW, len(arrivals) // 4))
    each = (seconds[few:] - seconds[:-few]) / np.maximum(examples[few:] - examples[:-few], 1)
    later = float(each[len(each) // 2 :].min()) if len(arrivals) >= 2 * _FEW else 1 / rate
    empty = np.flatnonzero(each >= _AT_ONCE * max(later, 0.5 / rate))
    if not len(empty):
        return int(examples[-1])
    # Half of the few are still at once where they begin to take more than half as long.
    return int(examples[empty[0] + few // 2]) if empty[0] else 0


def resident() -> int:
    """Bytes of memory that the process has now."""
    return int(psutil.Process().memory_info().rss)


class Runner:
    """Holds a candidate's iterator and takes turns.

    Args:
        make: Makes its dataset; called anew for whatever must not find what was cached before.
        elements_of: Examples in a batch.
        clock: Where time comes from.
        rss: Bytes of memory that the process has now.
        memory_bytes: Growth at which a turn is broken off; None: never.
        stop: Asked between batches whether to stop.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        elements_of: Callable[[Any], int],
        clock: Clock,
        rss: Callable[[], int],
        memory_bytes: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._make = make
        self._elements_of = elements_of
        self._clock = clock
        self._rss = rss
        self._memory = math.inf if memory_bytes is None else memory_bytes
        self._stop = stop
        self._dataset: Any = None
        self._iterator: Iterator[Any] | None = None
        self._ending: list[Thread] = []
        self._before = self._peak = self._looked = 0.0
        self._arrivals: list[tuple[int, float]] = []
        self._began = 0.0
        self._teardown_s = 0.0
        self._cut: Cut | None = None
        self.held = 0
        self.error: Exception | None = None
        self.arrivals: tuple[tuple[int, float], ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether an iterator is kept open."""
        return self._iterator is not None

    def take_slice(self, number: int, lead: int, goal: int | None, limit_s: float, enough_s: float = math.inf) -> Turn:
        """Go on where the last turn ended, with a new iterator where there is none.

        Args:
            number: The round's.
            lead: Examples to take before those that count. Where the data ends meanwhile, it is begun anew. Of a new iterator
                it is one batch at the least.
            goal: Examples to count; None: as many as come within `enough_s`, and one batch at the least. Where the data ends
                long before, what came is lead, and it is counted from their beginning.
            limit_s: Seconds after which it is cut off, between two batches.
            enough_s: See `goal`; from where the lead ends.
        """
        deadline = self._begin(limit_s)
        lead = lead if self.is_open else max(lead, 1)
        before: list[Stretch] = []
        while (left := lead - sum(stretch.examples for stretch in before)) > 0 and self._cut is None:
            before.append(self._take(left, deadline))
            if before[-1].ended:
                self.close()
            if not before[-1].examples:
                break
        counted = [] if self._cut is not None else [self._count(goal, deadline, enough_s)]
        if counted and counted[0].ended and self._cut is None and counted[0].examples < SHORT * (goal or 1):
            before.append(counted.pop())
            counted = [self._count_anew(goal, deadline, enough_s, before)]
        return self._end(number, tuple(counted), goal, tuple(before))

    def _count(self, goal: int | None, deadline: float, enough_s: float) -> Stretch:
        stretch = self._take(math.inf if goal is None else goal, deadline, enough_s)
        if stretch.ended:
            self.close()
        return stretch

    def _count_anew(self, goal: int | None, deadline: float, enough_s: float, before: list[Stretch]) -> Stretch:
        """What counts, from the beginning of the data behind the first batch; with it, where that is all of them."""
        first = self._take(1, deadline)
        stretch = self._count(goal, deadline, enough_s)
        if not stretch.examples:
            return first
        before.append(first)
        return stretch

    def take_epochs(self, number: int, epochs: int, goal: int | None, limit_s: float) -> Turn:
        """Go through the data from the beginning, with a dataset of its own, so that caches are empty at first.

        Args:
            number: The round's.
            epochs: How many times, each with a new iterator.
            goal: Examples that there will be in all, where it is known.
            limit_s: Seconds after which it is cut off, between two batches.
        """
        self.close()
        deadline = self._begin(limit_s)
        counted = []
        for _ in range(epochs):
            counted.append(self._take(math.inf, deadline))
            self._close_iterator(aside=epochs == 1 and counted[0].ended)
            if self._cut is not None:
                break
        self._close_dataset()
        return replace(self._end(number, tuple(counted), goal, ()), epochs=epochs)

    def close(self) -> None:
        """Let go of the iterator and of the dataset; both may block, and are timed as teardown."""
        self._close_iterator()
        self._close_dataset()
        while self._ending:
            self._ending.pop().join()

    def _close_dataset(self) -> None:
        start = self._clock.now()
        self._dataset = None
        self._teardown_s += self._clock.now() - start

    def _close_iterator(self, *, aside: bool = False) -> None:
        """Let go of the iterator; of one that ended on another thread, as TensorFlow does nothing but wait there for AUTOTUNE."""
        start = self._clock.now()
        ended, self._iterator, self.held = [self._iterator], None, 0
        if aside:
            self._ending.append(Thread(target=ended.clear, daemon=True))
            self._ending[-1].start()
        else:
            ended.clear()
        self._teardown_s += self._clock.now() - start

    def _begin(self, limit_s: float) -> float:
        self._teardown_s, self._cut, self._arrivals = 0.0, None, []
        self._before = self._rss() - self.held
        self._peak = self._looked = 0.0
        self._began = self._clock.now()
        return self._began + limit_s

    def _end(self, number: int, counted: tuple[Stretch, ...], goal: int | None, lead: tuple[Stretch, ...]) -> Turn:
        growth = self._rss() - self._before
        self._peak = max(self._peak, growth)
        if self._cut in ("memory", "error"):
            self.close()
        self.held = max(0, int(growth)) if self.is_open else 0
        fresh = any(stretch.first_s is not None for stretch in (*lead, *counted))
        self.arrivals = () if fresh else tuple(self._arrivals)
        return Turn(number, counted, goal, lead, self._teardown_s, max(0, int(self._peak)), self._cut)

    def _take(self, goal: float, deadline: float, enough_s: float = math.inf) -> Stretch:
        """Batches until there are `goal` examples or enough time has passed, the data ends, or the turn is cut."""
        now, elements_of = self._clock.now, self._elements_of
        fresh, examples, first, first_s, ended = self._iterator is None, 0, 0, None, False
        start = last = now()
        base = self._arrivals[-1][0] if self._arrivals else 0
        try:
            if self._iterator is None:
                self._dataset = self._make() if self._dataset is None else self._dataset
                start = last = now()
                self._iterator = iter(self._dataset)
            while examples < goal and last - start < enough_s and self._cut is None:
                batch = next(self._iterator)
                last = now()
                examples += elements_of(batch)
                if fresh and first_s is None:
                    first, first_s = examples, last - start
                if len(self._arrivals) < MOST_ARRIVALS:
                    self._arrivals.append((base + examples, last - self._began))
                self._look(last, deadline if examples < goal else math.inf)
        except StopIteration as error:
            release_frames(error)
            ended = True
        except Exception as error:  # noqa: BLE001  a candidate's failure is part of the result
            release_frames(error)
            self._cut, self.error = "error", error
        return Stretch(examples, last - start, first_s, first, ended)

    def _look(self, moment: float, deadline: float) -> None:
        """See between two batches whether the turn has to end."""
        if moment - self._looked >= LOOK_EVERY_S or not self._looked:
            self._looked = moment
            self._peak = max(self._peak, self._rss() - self._before)
        if self._peak > self._memory:
            self._cut = "memory"
        elif self._stop():
            self._cut = "stopped"
        elif moment >= deadline:
            self._cut = "time"
