"""Draw the overlap figure: lanes over time, one panel for each variant."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from pipeline_opt.accounting.intervals import union
from pipeline_opt.reports import units
from pipeline_opt.reports.batches import Block
from pipeline_opt.reports.info_overlap import Lane, OverlapInfo, Panel
from pipeline_opt.reports.palette import ink, phase_color, tint
from pipeline_opt.reports.phases import HOST
from pipeline_opt.reports.plots_strip import draw_strips, strips_height_in
from pipeline_opt.reports.plots_style import (
    LEFT,
    MUTED,
    NOT_TRACED,
    RIGHT,
    TEXT,
    WIDTH_IN,
    beside,
    empty_figure,
    new_figure,
    note,
    styled,
    text_width_pt,
)
from pipeline_opt.reports.spans import coverage

LANE_IN: Final = 0.36
HEAD_IN: Final = 0.62
FOOT_IN: Final = 0.75
BAR: Final = 0.76
"""Height of a lane's blocks, where lanes are 1 apart."""
BESIDE_PT: Final = 5.5
"""How far from the middle of its lane the busy share of training stands, and as far below it the idle time."""
EXACT: Final = 500
"""Up to so many spans of a lane are drawn as they are; more or thinner ones as the busy share of each of `COLUMNS`."""
COLUMNS: Final = 300
HATCH: Final[dict[str, Any]] = {"facecolor": "none", "edgecolor": MUTED, "hatch": "/////", "linewidth": 0}


@styled
def plot_overlap(info: OverlapInfo) -> Figure:
    """Panels above one another on one time axis; below them, where it is longer, each whole run as a strip."""
    if info.reason is not None:
        return empty_figure(info.reason)
    foot = FOOT_IN + strips_height_in(info)
    heights = [HEAD_IN + LANE_IN * len(panel.lanes) for panel in info.panels]
    total = sum(heights) + foot + 0.15
    figure = new_figure(total)
    scale, unit = units.axis_unit(info.length_s)
    top, shared = total - 0.1, None
    for panel, height in zip(info.panels, heights, strict=True):
        box = (LEFT, (top - height) / total, RIGHT - LEFT, LANE_IN * len(panel.lanes) / total)
        axes = figure.add_axes(box, sharex=shared)
        shared = shared or axes
        _Painter(axes, panel, info.length_s, scale).draw()
        axes.tick_params(labelbottom=panel is info.panels[-1])
        top -= height
    axes.set_xlim(0, info.length_s * scale)
    axes.set_xlabel(f"{unit} from the start of the {'run' if info.whole else 'span shown'}", fontsize=8.5)
    figure.legend(handles=_legend(info), loc="upper right", bbox_to_anchor=(RIGHT, (foot - 0.42) / total), ncols=4)
    draw_strips(figure, info)
    return figure


def _legend(info: OverlapInfo) -> list[Artist]:
    handles: list[Artist] = []
    if any(panel.idle_s is not None for panel in info.panels):
        handles.append(Patch(**HATCH, label="accelerator idle"))
    if any(panel.idle_s is None for panel in info.panels):
        handles.append(Line2D([], [], marker="v", color=TEXT, markersize=4, linestyle="", label="batch handed over"))
    if any(lane.untraced for panel in info.panels for lane in panel.lanes):
        handles.append(Patch(facecolor=NOT_TRACED, label="not traced"))
    handles.append(Patch(facecolor=tint(MUTED, 0.3), label="work for one batch, filled where a thread worked"))
    return handles


class _Painter(NamedTuple):
    """Draws one panel; `scale` turns seconds into the unit of the time axis."""

    axes: Axes
    panel: Panel
    length_s: float
    scale: float

    def draw(self) -> None:
        axes, panel = self.axes, self.panel
        rows = [-row for row in range(len(panel.lanes))]
        for y, lane in zip(rows, panel.lanes, strict=True):
            self.draw_lane(lane, y)
        if panel.idle_s is not None:
            self.draw_idle(rows[-1])
        else:
            times = [self.x(time) for _, time in panel.delivered]
            axes.plot(times, [0.5] * len(times), "v", color=TEXT, markersize=3.5, clip_on=False)
        if panel.span[1] - panel.figures.wall_s > 0.01 * self.length_s:
            self.draw_end(rows[-1] / 2)
        axes.set_ylim(rows[-1] - 0.55, 0.55)
        axes.set_yticks(rows, [lane.phase for lane in panel.lanes])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        note(axes, panel.variant, above_pt=15, fontsize=11, color=TEXT, fontweight="bold")
        note(axes, _figures(panel), x=1.0, above_pt=15, fontsize=9, color=TEXT, ha="right")
        note(axes, _what_is_shown(panel), above_pt=4)

    def x(self, time_s: float) -> float:
        return (time_s - self.panel.span[0]) * self.scale

    def box(self, start_s: float, end_s: float, y: int, **style: Any) -> Rectangle:
        return Rectangle((self.x(start_s), y - BAR / 2), (end_s - start_s) * self.scale, BAR, **style)

    def label(self, text: str, start_s: float, end_s: float, y: int, **style: Any) -> None:
        middle = self.x((start_s + end_s) / 2)
        self.axes.text(middle, y, text, ha="center", va="center", clip_on=True, **style)

    def fits(self, text: str, seconds: float, fontsize: float) -> bool:
        room_pt = seconds / self.length_s * (RIGHT - LEFT) * WIDTH_IN * 72
        return room_pt > text_width_pt(text, fontsize) + 3

    def draw_lane(self, lane: Lane, y: int) -> None:
        color, host = phase_color(lane.phase), lane.phase in HOST
        boxes = [self.box(block.start_s, block.end_s, y) for block in lane.blocks]
        if host:
            self.axes.add_collection(PatchCollection(boxes, facecolor=tint(color, 0.22), edgecolor="none"))
            self.draw_busy(lane, y)
        edge = tuple(0.6 * part for part in to_rgb(color))
        face = "none" if host else color
        self.axes.add_collection(PatchCollection(boxes, facecolor=face, edgecolor=edge, linewidth=0.7))
        for block in lane.blocks:
            self.draw_number(block, y, color)
        for start, end in lane.untraced:
            self.axes.add_patch(self.box(start, end, y, facecolor=NOT_TRACED, edgecolor="none"))
            if self.fits("not traced", end - start, 8):
                self.label("not traced", start, end, y, fontsize=8, color=MUTED)
        untraced = sum(end - start for start, end in lane.untraced)
        traced = min(self.panel.span[1], self.panel.figures.wall_s) - self.panel.span[0] - untraced
        if traced > 0:
            above_pt = BESIDE_PT if lane.phase == "train" else 0.0
            beside(self.axes, y, f"busy {units.percent(100 * lane.busy_s / traced)}", below_pt=-above_pt, color=MUTED)

    def draw_busy(self, lane: Lane, y: int) -> None:
        """The spans in which a thread worked; where they are too many to see, a bar as high as the busy share."""
        spans = [span for block in lane.blocks for span in block.busy]
        color, low, high = phase_color(lane.phase), *self.panel.span
        seconds = [end - start for start, end in spans]
        if len(spans) <= EXACT and (not spans or np.median(seconds) >= (high - low) / 600):
            bars = [(self.x(start), (end - start) * self.scale) for start, end in spans]
            self.axes.broken_barh(bars, (y - BAR / 2, BAR), facecolor=color, edgecolor="none")
            return
        edges = np.linspace(low, high, COLUMNS + 1)
        share = coverage(union([start for start, _ in spans], [end for _, end in spans]), edges)
        heights = y - BAR / 2 + BAR * share
        self.axes.stairs(heights, (edges - low) * self.scale, baseline=y - BAR / 2, fill=True, color=color)

    def draw_number(self, block: Block, y: int, color: str) -> None:
        start, end = max(block.start_s, self.panel.span[0]), min(block.end_s, self.panel.span[1])
        text = f"{block.number:,}"
        sizes = [size for size in (8.0, 6.5) if self.fits(text, end - start, size)]
        if not sizes:
            return
        busy = sum(stop - begin for begin, stop in block.busy)
        solid = busy > 0.9 * (block.end_s - block.start_s)
        around = None if solid else {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.2}
        ink_color = ink(color) if solid else "#000000"
        self.label(text, start, end, y, fontsize=sizes[0], color=ink_color, bbox=around)

    def draw_idle(self, y: int) -> None:
        around = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
        for start, end in self.panel.idle:
            self.axes.add_patch(self.box(start, end, y, **HATCH))
            text = units.seconds(end - start)
            if self.fits(text, end - start, 7.5):
                self.label(text, start, end, y, fontsize=7.5, color="#000000", bbox=around)
        total = f"idle {units.seconds(self.panel.idle_s)} = {units.percent(self.panel.idle_percent)}"
        beside(self.axes, y, total, below_pt=BESIDE_PT, fontsize=7.5, fontweight="bold")

    def draw_end(self, y: float) -> None:
        at = self.x(self.panel.figures.wall_s)
        self.axes.axvline(at, color=MUTED, linewidth=1.0, linestyle=(0, (4, 2)))
        text = f"done at {units.seconds(self.panel.figures.wall_s)}"
        self.axes.annotate(text, (at, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5)


def _figures(panel: Panel) -> str:
    figures = panel.figures
    parts = ["no consumer"] if panel.idle_s is None else []
    if figures.utilization_percent is not None:
        parts.append(f"accelerator utilization (AU) {units.percent(figures.utilization_percent)}")
    parts.append(f"wall {units.seconds(figures.wall_s)}")
    if figures.elements_per_s is not None:
        parts.append(units.rate(figures.elements_per_s))
    return "  ·  ".join(parts)


def _what_is_shown(panel: Panel) -> str:
    numbers = [number for number, _ in panel.delivered]
    if len(numbers) == panel.figures.steps:
        parts = [units.plural(panel.figures.steps, "step")]
    elif not numbers:
        parts = [f"no step ends here, of {panel.figures.steps:,}"]
    else:
        last = f" to {numbers[-1]:,}" if len(numbers) > 1 else ""
        parts = [f"step{'s' if last else ''} {numbers[0]:,}{last} of {panel.figures.steps:,}"]
    if panel.span[0] > 0:
        parts.append(f"from {units.seconds(panel.span[0])} on")
    if panel.figures.traced_share < 0.995:
        share = units.percent(100 * panel.figures.traced_share)
        parts.append(f"traced: {share} of the run" if panel.figures.traced_share else "not traced")
    if panel.partial:
        parts.append("partial run")
    return "  ·  ".join(parts)
