"""What the user asks of the optimizer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipeline_opt.bounds import MOST, MOST_BYTES, is_count
from pipeline_opt.errors import UsageError


@dataclass(frozen=True)
class Wishes:
    """What is asked, checked.

    Args:
        budget_s: Seconds that tuning may take, about.
        memory_bytes: Bytes that the pipeline may hold; None for half of what is free.
        epochs: Epochs that the job runs.
        step_s: Seconds that a training step takes for a batch; 0 to drain as fast as possible.
        step_rows: Examples of the batch that `step_s` is for: one of n takes `step_s * n / step_rows`. None: all take `step_s`.
        bits: Whether results have to be the same bit for bit.
        order_free: Whether the order of elements does not matter.
        seed: Draws the order of trials.

    Raises:
        UsageError: One is out of range.
    """

    budget_s: float = 60.0
    memory_bytes: int | None = None
    epochs: int = 1
    step_s: float = 0.0
    step_rows: int | None = None
    bits: bool = False
    order_free: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self._require("budget_s", _is_number(self.budget_s) and self.budget_s > 0, "seconds above 0")
        self._require("step_s", _is_number(self.step_s) and self.step_s >= 0, "seconds from 0")
        self._require(
            "step_rows", self.step_rows is None or is_count(self.step_rows, 1, MOST), "a whole number from 1, or None"
        )
        self._require("epochs", is_count(self.epochs, 1, MOST), "a whole number from 1")
        memory = self.memory_bytes
        self._require("memory_bytes", memory is None or is_count(memory, 1, MOST_BYTES), "bytes from 1, or None")
        self._require("seed", is_count(self.seed, 0, MOST), "a whole number from 0")
        for name in ("bits", "order_free"):
            self._require(name, isinstance(getattr(self, name), bool), "True or False")

    def _require(self, name: str, holds: bool, valid: str) -> None:
        if not holds:
            raise UsageError(f"{name}={getattr(self, name)!r} is out of range; valid: {valid}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
