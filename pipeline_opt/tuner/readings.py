"""Datasets read for comparison: up to so many elements, until some moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipeline_opt.clock import Clock
from pipeline_opt.profiler.feeds import release_frames

End = Literal["data", "elements", "time", "error"]


@dataclass(frozen=True)
class Limits:
    """How much is read: `max_elements` elements, none after the moment `until`."""

    clock: Clock
    until: float
    max_elements: int

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self.until - self.clock.now()

    def part(self, share: float) -> Limits:
        """The same with a part of the time that is left."""
        return Limits(self.clock, self.until - (1 - share) * max(self.left_s, 0.0), self.max_elements)


class Reading:
    """The elements of a dataset, with how they ended.

    An error is an end like another, as a pipeline that fails has to fail again once it is rewritten.
    """

    def __init__(self, dataset: Any, limits: Limits) -> None:
        self._dataset, self._limits = dataset, limits
        self.count = 0
        self.end: End | None = None
        self.error = ""

    def __iter__(self) -> Iterator[Any]:
        try:
            iterator = iter(self._dataset)
            while True:
                if self.count and self._limits.left_s <= 0:
                    self.end = "time"
                    return
                element = next(iterator, self)
                if element is self:
                    self.end = "data"
                    return
                if self.count >= self._limits.max_elements:
                    self.end = "elements"
                    return
                self.count += 1
                yield element
        except GeneratorExit:
            raise
        except Exception as error:  # noqa: BLE001  whatever a user's function raises
            release_frames(error)
            self.end, self.error = "error", f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"

    @property
    def whole(self) -> bool:
        """Whether it was read to its end."""
        return self.end in ("data", "error")
