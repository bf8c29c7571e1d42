"""Names of variants and of a job's phases, also as arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import Final

VARIANTS: Final = ("naive", "given", "autotune", "heuristic", "by_hand", "ours", "oracle")
BASES: Final = ("given", "autotune")
"""What others are held against; measured whatever is asked for."""
PHASES: Final = ("first", "steady", "job")
"""Of a job's examples a second: the first epoch's, a later one's, and all."""


def known_names(known: Collection[str]) -> Callable[[str], list[str]]:
    """What reads the names in an argument, with commas between them, and refuses one that is not known."""

    def parse(text: str) -> list[str]:
        unknown = sorted(set(text.split(",")) - set(known))
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; valid: {', '.join(known)}")
        return text.split(",")

    return parse
