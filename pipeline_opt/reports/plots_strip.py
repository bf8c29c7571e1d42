"""Draw whole runs as strips, below the overlap figure's detail."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline_opt.reports.info_overlap import OverlapInfo, Panel, Strip
from pipeline_opt.reports.palette import phase_color
from pipeline_opt.reports.plots_style import LEFT, NOT_TRACED, RIGHT, TEXT, beside, note, shortened

STRIP_IN: Final = 0.62
GAP_IN: Final = 0.12
BELOW_IN: Final = 0.42


def strips_height_in(info: OverlapInfo) -> float:
    """Inches that the strips take; 0 if the panels show the whole runs already."""
    count = sum(panel.strip is not None for panel in info.panels)
    return 0.55 + (STRIP_IN + GAP_IN) * count if count else 0.0


def draw_strips(figure: Figure, info: OverlapInfo) -> None:
    """One strip a run on a common time axis, at the bottom of the figure: the stronger the colour, the busier."""
    panels = [panel for panel in info.panels if panel.strip is not None]
    height = figure.get_figheight()
    bottom = BELOW_IN + (STRIP_IN + GAP_IN) * (len(panels) - 1)
    for panel in panels:
        axes = figure.add_axes((LEFT, bottom / height, RIGHT - LEFT, STRIP_IN / height))
        if panel.strip is not None:
            _draw_strip(axes, panel, panel.strip)
        axes.set_xlim(0, max(each.figures.wall_s for each in panels))
        last = panel is panels[-1]
        axes.tick_params(labelbottom=last, bottom=last)
        if last:
            axes.set_xlabel("seconds from the start of the run", fontsize=8.5)
        if panel is panels[0]:
            note(axes, "the whole run: the stronger the colour, the busier the phase; framed: the span above")
        bottom -= STRIP_IN + GAP_IN


def _draw_strip(axes: Axes, panel: Panel, strip: Strip) -> None:
    phases, bins = list(strip.shares), len(next(iter(strip.shares.values())))
    image = np.zeros((len(phases), bins, 4))
    for row, phase in enumerate(phases):
        color = to_rgb(phase_color(phase))
        image[row] = [NOT_TRACED if share is None else (*color, share) for share in strip.shares[phase]]
    axes.imshow(image, extent=(0, panel.figures.wall_s, len(phases), 0), aspect="auto", interpolation="nearest")
    axes.set_yticks(np.arange(len(phases)) + 0.5, phases, fontsize=6)
    axes.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    frame = Rectangle((panel.span[0], 0), panel.span[1] - panel.span[0], len(phases), fill=False, edgecolor=TEXT)
    frame.set_clip_on(False)
    axes.add_patch(frame)
    beside(axes, len(phases) / 2, shortened(panel.variant, 18), fontweight="bold")
