"""When to open a trace window, and for how long, so that tracing stays a small part of the run.

From the events of the windows so far follows how long the next one may be and when the run is long enough to pay for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EVENT_COST_S: Final = 1e-5
"""Core-seconds that one event costs the pipeline, written and collected: 4e-6 among cheap elements, 1e-5 among images."""

SHARE: Final = 0.02
"""The share of the run's core-seconds that tracing may take."""

WINDOW_EVENTS: Final = 10_000
"""Events that a window is sized for at the most."""

FIRST_EVENTS: Final = 15_000
"""Events after which the first window closes: it sees the pipeline fill and some steps in steady state."""

FEWEST_EVENTS: Final = 2_000
"""Events that a window is sized for at the least: what a smaller one sees is mostly its edges."""

PART: Final = 1 / 6
"""The part of what a run has paid for so far that a window is sized for: a run of ten seconds has several, too."""

EVENTS_PER_ELEMENT: Final = 40
"""An assumption until the first window has been counted."""

FULL_EVENTS: Final = 3_000_000
"""Where tracing a whole run stops: beyond it the trace no longer fits a few hundred megabytes."""

MOST_EVENTS: Final = 2_000_000
"""Events of all windows together after which no further one opens, however long the run: they are read at its end."""

WITHOUT_STEP_S: Final = 1.0
"""How long the first window stays open while no step ends: the filling of a large buffer is not traced whole."""

FIRST_S: Final = 1.5
LONGEST_S: Final = 2.0
SHORTEST_S: Final = 0.05
FEWEST_STEPS: Final = 2


@dataclass
class Pacing:
    """Decides between two steps whether to open or to close a window.

    Args:
        mode: `auto`, `full` or `off`.
        cores: Cores that the process may use.
        blind: Whether the first window has just closed without a step in it; the next one then opens at any price.
        expected_s: How long the run will take, where the caller knows.
    """

    mode: str
    cores: float
    expected_s: float | None = None
    spent_s: float = 0.0
    rate: float | None = None
    per_element: float = EVENTS_PER_ELEMENT
    first_done: bool = False
    blind: bool = False
    _opened_s: float = 0.0
    _size: float = WINDOW_EVENTS
    _steps: int = 0
    _elements: int = 0

    def opened(self, now_s: float) -> None:
        """Take note that a window opened."""
        self._opened_s, self._steps, self._elements = now_s, 0, 0
        self._size = self._size_at(now_s)

    def closed(self) -> None:
        """Take note that the window closed."""
        self.blind = self._steps == 0 and not self.first_done
        self.first_done = True

    def counted(self, events: int, seconds: float) -> None:
        """Take note of how many events a window held."""
        self.spent_s += events * EVENT_COST_S
        if seconds > 0 and events:
            self.rate = events / seconds
        if self._elements and events:
            self.per_element = events / self._elements

    def should_close(self, now_s: float, elements: int) -> bool:
        """Whether to close the open window after one more step of `elements` elements; `now_s` is run time."""
        self._steps += 1
        self._elements += elements
        length_s = now_s - self._opened_s
        events = max((self.rate or 0.0) * length_s, self._elements * self.per_element)
        if self.mode == "full":
            return events > FULL_EVENTS
        if self._steps < FEWEST_STEPS:
            return length_s > LONGEST_S
        if not self.first_done:
            return self._first_should_close(now_s, events)
        return length_s >= self._length_s(self._size) or events >= 2 * self._size

    def overdue(self, now_s: float, elements: int) -> bool:
        """Whether to close the open window although no step has ended in the meantime.

        Args:
            now_s: Run time.
            elements: That the busiest stage has made in the run so far.
        """
        if self.mode == "full":
            return elements * self.per_element > FULL_EVENTS
        longest_s = LONGEST_S if self.first_done or self._steps else WITHOUT_STEP_S
        return now_s - self._opened_s >= longest_s

    def should_open(self, now_s: float) -> bool:
        """Whether the run, `now_s` long by now, can pay for another window."""
        if self.mode != "auto" or not self.first_done or self.rate is None or self.spent_s > MOST_EVENTS * EVENT_COST_S:
            return False
        if self.blind:
            # A run that spends long on filling has to be seen at work once, too.
            return True
        predicted_s = self._length_s(self._size_at(now_s)) * self.rate * EVENT_COST_S
        return self.spent_s + predicted_s <= self._budget_s(now_s)

    def _first_should_close(self, now_s: float, events: float) -> bool:
        short = self.expected_s is not None and self.expected_s <= FIRST_S
        return events > FIRST_EVENTS or (now_s > FIRST_S and not short)

    def _budget_s(self, now_s: float) -> float:
        """Core-seconds that tracing may have taken by now."""
        return SHARE * now_s * self.cores

    def _size_at(self, now_s: float) -> float:
        """Events that a window which opens now is sized for."""
        if self.blind or not self.first_done:
            return WINDOW_EVENTS
        return min(WINDOW_EVENTS, max(FEWEST_EVENTS, PART * self._budget_s(now_s) / EVENT_COST_S))

    def _length_s(self, events: float) -> float:
        """How long a window of so many events is."""
        return min(LONGEST_S, max(SHORTEST_S, events / (self.rate or events)))
