"""How figures look, without touching matplotlib's global state for longer than a call."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, ParamSpec

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

P = ParamSpec("P")

TEXT: Final = "#1b1f24"
MUTED: Final = "#5f6b76"
LINE: Final = "#c9d1d9"
NOT_TRACED: Final = (0.55, 0.55, 0.55, 0.18)
WIDTH_IN: Final = 11.0
LEFT: Final = 0.085
RIGHT: Final = 0.868
"""Edges of the time axes, in shares of the width; what is right of them is for labels."""

STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": TEXT,
    "text.parse_math": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": TEXT,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
}
"""`text.parse_math` is off since names come from users, and a `$` in one is no formula."""

_THEMED: Final = {TEXT: "currentColor", MUTED: "var(--muted, #5f6b76)", LINE: "var(--line, #c9d1d9)"}


def local_style(**more: Any) -> AbstractContextManager[None]:
    """Matplotlib's defaults with `STYLE` on top, whatever the user has set, until the context ends."""
    return matplotlib.style.context(["default", {**STYLE, **more}])


def styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw with `STYLE`, and leave the user's own settings as they were."""

    @functools.wraps(plot)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with local_style():
            return plot(*args, **kwargs)

    return wrapped


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure on a canvas of its own; nothing to close."""
    figure = Figure(figsize=(width_in, height_in))
    FigureCanvasAgg(figure)
    return figure


def empty_figure(reason: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = new_figure(1.0)
    figure.text(0.5, 0.5, reason, ha="center", va="center", color=MUTED, fontsize=10)
    return figure


def note(axes: Axes, text: str, *, x: float = 0.0, above_pt: float = 4.0, **kwargs: Any) -> None:
    """Small text above the axes, `above_pt` points from their top edge, at `x` of their width."""
    settings: dict[str, Any] = {"fontsize": 8.0, "color": MUTED, "va": "bottom", **kwargs}
    axes.annotate(text, (x, 1.0), (0, above_pt), xycoords="axes fraction", textcoords="offset points", **settings)


def beside(axes: Axes, y: float, text: str, *, below_pt: float = 0.0, **kwargs: Any) -> None:
    """Small text to the right of the axes, at `y` in their data's units or `below_pt` points below that."""
    settings: dict[str, Any] = {"fontsize": 8.0, "color": TEXT, "va": "center", "annotation_clip": False, **kwargs}
    across = axes.get_yaxis_transform()
    axes.annotate(text, (1.0, y), (8, -below_pt), xycoords=across, textcoords="offset points", **settings)


def text_width_pt(text: str, fontsize: float) -> float:
    """About how wide a text of digits and small letters is, in points."""
    return 0.62 * len(text) * fontsize


def shortened(text: str, length: int) -> str:
    """The text with its middle left out if it is too long, since names that begin alike often end differently."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"


def to_png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as PNG."""
    out = io.BytesIO()
    with local_style():
        figure.savefig(out, format="png", dpi=dpi)
    return out.getvalue()


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` element for a page: transparent, its text in the page's own colour.

    Args:
        figure: What to draw.
        name: A word that no other figure of the page has; ids inside the element begin with it.
    """
    out = io.StringIO()
    with local_style(**{"svg.hashsalt": name}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :].strip()
    for color, themed in _THEMED.items():
        text = text.replace(color, themed)
    text = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]).replace("\n", ""), text)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    return re.sub(r' (?:width|height)="[^"]*pt"', "", text, count=2)
