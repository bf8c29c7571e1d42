"""What the next request meets: drawn from the shape, one after another, by a seeded source."""

from __future__ import annotations

import random
import threading
from typing import NamedTuple

from pipeline_opt.storage.shape import Shape


class Drawn(NamedTuple):
    """What one request meets.

    Attributes:
        shape: As it was when the request came.
        ttfb_s: Seconds until the first byte.
        fault: What fails, or None.
        early: Whether a reset comes before the answer, else within it.
    """

    shape: Shape
    ttfb_s: float
    fault: str | None
    early: bool


class Conditions:
    """Draws for requests in the order in which they come; the shape can be changed while they do.

    Args:
        shape: How the storage behaves.
        seed: The same seed and order of requests give the same draws.
        late_s: How much later clients see what happens here: times to first byte are drawn shorter by that.
    """

    def __init__(self, shape: Shape, seed: int, late_s: float = 0.0) -> None:
        self._shape = shape
        self._late_s = late_s
        self._source = random.Random(seed)
        self._lock = threading.Lock()

    def change(self, shape: Shape) -> None:
        """Requests from now on meet this shape."""
        with self._lock:
            self._shape = shape

    def draw(self) -> Drawn:
        """What the next request meets."""
        with self._lock:
            shape, source = self._shape, self._source
            ttfb_s = max(0.0, shape.draw_ttfb_s(source) - self._late_s)
            return Drawn(shape, ttfb_s, shape.draw_fault(source), source.random() < 0.5)
