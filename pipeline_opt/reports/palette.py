"""One colour for each phase and cause, in every figure, table and page; told apart by the colour-blind as well.

The hues are those of Okabe and Ito (2008), "Color universal design".
"""

from __future__ import annotations

from typing import Final

PHASE_COLORS: Final = {"extract": "#0072B2", "transform": "#E69F00", "load": "#009E73", "train": "#CC79A7"}

CAUSE_COLORS: Final = {
    **PHASE_COLORS,
    "fill": "#56B4E9",
    "refill": "#F0E442",
    "teardown": "#D55E00",
    "overhead": "#8C8C8C",
    "unattributed": "#C4C4C4",
}
"""Of the parts of a run's time: training, and the causes of waiting."""

SERIES_COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
"""Of things beside one another that are no phases, neighbours far apart; one beyond the last begins again."""

NEUTRAL: Final = "#8C8C8C"
"""For what has no phase, or is not known."""


def phase_color(phase: str) -> str:
    """The phase's colour; grey for one that is not known."""
    return PHASE_COLORS.get(phase, NEUTRAL)


def cause_color(cause: str) -> str:
    """The colour of a stall's cause, or of training; grey for one that is not known."""
    return CAUSE_COLORS.get(cause, NEUTRAL)


def ink(background: str) -> str:
    """Black or white, whichever reads better on `background` (relative luminance as in WCAG 2)."""
    red, green, blue = (_linear(int(background[i : i + 2], 16) / 255) for i in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#FFFFFF"


def tint(color: str, strength: float) -> str:
    """`color` mixed with white; `strength` 1 leaves it, 0 is white."""
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - part) * strength):02X}" for part in parts)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
