"""Names of variants and of a job's phases."""

from __future__ import annotations

from typing import Final

VARIANTS: Final = ("naive", "given", "autotune", "heuristic", "by_hand", "ours", "oracle")
BASES: Final = ("given", "autotune")
"""What others are held against; measured whatever is asked for."""
PHASES: Final = ("first", "steady", "job")
"""Of a job's examples a second: the first epoch's, a later one's, and all."""
