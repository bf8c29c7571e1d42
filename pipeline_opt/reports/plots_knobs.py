"""Draw what AUTOTUNE did over time."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline_opt.reports import units
from pipeline_opt.reports.info_knobs import KnobRow, KnobsInfo
from pipeline_opt.reports.palette import NEUTRAL, tint
from pipeline_opt.reports.plots_style import MUTED, TEXT, empty_figure, new_figure, shortened, styled

LEFT, RIGHT = 0.2, 0.9


@styled
def plot_knobs(info: KnobsInfo) -> Figure:
    """One small panel a knob on a common time axis: steps for values, an area for the fill of a buffer."""
    if info.reason is not None:
        return empty_figure(info.reason)
    height_in, foot_in = 0.62, 0.55 + 0.2 * bool(info.left_out)
    total = height_in * len(info.rows) + foot_in + 0.15
    figure = new_figure(total)
    for row, knob in enumerate(info.rows):
        bottom = total - 0.1 - (row + 1) * height_in
        axes = figure.add_axes((LEFT, (bottom + 0.08) / total, RIGHT - LEFT, (height_in - 0.16) / total))
        _draw_row(axes, knob)
        axes.set_xlim(0, info.end_s or 1.0)
        axes.tick_params(labelbottom=row == len(info.rows) - 1)
    axes.set_xlabel("seconds from the start of the run", fontsize=8.5)
    if info.left_out:
        figure.text(
            LEFT, 0.04, f"{units.plural(info.left_out, 'more knob')} that changed little", fontsize=8, color=MUTED
        )
    return figure


def _draw_row(axes: Axes, row: KnobRow) -> None:
    top = 1.0
    for line in row.lines:
        top = max(top, *line.value)
        if line.area:
            axes.fill_between(line.time_s, line.value, step="post", color=tint(row.color, 0.45), linewidth=0)
        else:
            color = row.color if row.color != NEUTRAL else TEXT
            axes.step(line.time_s, line.value, where="post", color=color, linewidth=1.8)
            if len(line.time_s) == 1:  # A run shorter than the time between samples: a line would show nothing.
                axes.plot(line.time_s, line.value, "o", color=color, markersize=4, clip_on=False)
    axes.set_ylim(0, 1.25 * top)
    axes.set_yticks([0, top], ["0", units.number(top)])
    axes.tick_params(axis="both", labelsize=7.5, length=2)
    axes.grid(axis="y")
    _label(axes, row.stage, row.knob)
    last = [f"{'filled' if line.area else 'last'} {units.number(line.value[-1])}" for line in row.lines]
    axes.annotate("\n".join(reversed(last)), (1.0, 0.5), (6, 0), xycoords="axes fraction", textcoords="offset points",
                  va="center", fontsize=8, color=TEXT, annotation_clip=False)  # fmt: skip


def _label(axes: Axes, stage: str, knob: str) -> None:
    """Left of the axes and of the numbers there."""
    for text, color, weight, above in ((shortened(stage, 20), TEXT, "bold", 6), (knob, MUTED, "normal", -6)):
        axes.annotate(text, (0.0, 0.5), (-46, above), xycoords="axes fraction", textcoords="offset points", ha="right",
                      va="center", fontsize=8, color=color, fontweight=weight, annotation_clip=False)  # fmt: skip
