"""Where more streams stop adding anything, and where they take away: pure functions of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline_opt.storage.measured import StreamRate

ENOUGH: Final = 0.9
"""The share of the most that was moved at which the knee is reached: what noise leaves of a plateau."""

GAIN: Final = 1.05
"""A doubling that adds less is none."""

LOST: Final = 0.85
"""Below this share of the most, more streams have made it slower."""


LEAST_S: Final = 0.1


def knee_of(rates: Sequence[StreamRate]) -> int | None:
    """The smallest number of streams that move 90 % of the most; None where the most may lie beyond what was tried."""
    ordered = sorted((rate for rate in rates if rate.bytes_per_s > 0), key=lambda rate: rate.streams)
    if len(ordered) < 2:
        return None
    most = max(rate.bytes_per_s for rate in ordered)
    knee = next(rate.streams for rate in ordered if rate.bytes_per_s >= ENOUGH * most)
    return knee if knee < ordered[-1].streams else None


def slower_from(rates: Sequence[StreamRate]) -> int | None:
    """The number of streams from which on all were clearly slower than fewer had been; None if none.

    Windows of less than `LEAST_S` say nothing of that.
    """
    ordered = sorted((rate for rate in rates if rate.seconds >= LEAST_S), key=lambda rate: rate.streams)
    most = max((rate.bytes_per_s for rate in ordered), default=0.0)
    found = None
    for rate in reversed(ordered):
        if rate.bytes_per_s >= LOST * most:
            break
        found = rate.streams
    return found if found is not None and found > ordered[0].streams else None


def is_flat(rates: Sequence[StreamRate]) -> bool:
    """Whether the last two doublings gave nothing."""
    ordered = [rate.bytes_per_s for rate in sorted(rates, key=lambda rate: rate.streams)]
    return len(ordered) >= 3 and max(ordered[-2:]) < GAIN * max(ordered[:-2])
