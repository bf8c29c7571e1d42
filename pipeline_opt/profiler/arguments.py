"""The arguments of a profile, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypedDict

from pipeline_opt.clock import Clock

TraceMode = Literal["auto", "full", "off"]


class ProfileArguments(TypedDict, total=False):
    """How long to run, and how closely to look.

    Args:
        steps: Steps to take.
        seconds: Seconds after which no further step begins.
        epochs: Times to go through the data. Without any limit it is one, or 20 seconds if the data is endless.
        max_seconds: As `seconds`, as a safeguard: a run that it ends is partial.
        warmup: Steps that rates leave out; the first one always is.
        trace: `auto` opens short trace windows over the run, `full` traces all of it, `off` leaves phases unknown.
        clock: Where time comes from.
        on_progress: Called between steps with the steps done and the seconds since the start.
    """

    steps: int | None
    seconds: float | None
    epochs: int | None
    max_seconds: float | None
    warmup: int
    trace: TraceMode
    clock: Clock | None
    on_progress: Callable[[int, float], None] | None
