"""Draw the trials of a tuning: every turn a dot, every ratio with its interval."""

from __future__ import annotations

import math
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from pipeline_opt.reports import units
from pipeline_opt.reports.info_trials import TrialRow, TrialsInfo, gain_text
from pipeline_opt.reports.palette import NEUTRAL, SERIES_COLORS
from pipeline_opt.reports.plots_style import MUTED, TEXT, beside, empty_figure, new_figure, note, shortened, styled
from pipeline_opt.tuner.decision import GIVEN

ROW_IN: Final = 0.46
WORDS: Final = {"slower": "slower", "memory": "too much memory", "error": "failed", "empty": "no elements"}
"""Why a candidate is out, in a figure."""
WIDE: Final = 8.0
"""Ratios that lie so many times apart stand on a logarithmic axis."""
STEPS: Final = (1.0, 2.0, 5.0)
"""Where a logarithmic axis has its numbers, in each power of ten."""
ABOVE: Final = 0.17
"""How far above the middle of its row a ratio of one round stands, and the interval below it, where rows are 1 apart."""
USED, OTHER = SERIES_COLORS[0], SERIES_COLORS[4]


@styled
def plot_trials(info: TrialsInfo) -> Figure:
    """One row a candidate: on the left examples a second, on the right how that is beside the pipeline given."""
    if info.reason is not None:
        return empty_figure(info.reason)
    rows, compares = len(info.rows), any(row.ratios for row in info.rows)
    height = 0.95 + ROW_IN * rows
    figure = new_figure(height)
    box = (0.5 / height, ROW_IN * rows / height)
    speed = figure.add_axes((0.125, box[0], 0.3 if compares else 0.7, box[1]))
    _draw_rates(speed, info)
    if compares:
        over = figure.add_axes((0.49, box[0], 0.33, box[1]))
        _draw_ratios(over, info)
    return figure


def _draw_rates(axes: Axes, info: TrialsInfo) -> None:
    for y, row in _placed(info):
        axes.plot(row.rates, [y] * len(row.rates), "o", color=_color(row), markersize=4.5, alpha=0.55, mew=0)
        if row.rate is not None:
            axes.plot([row.rate], [y], "|", color=TEXT, markersize=15, mew=1.6)
        else:
            axes.annotate("no whole turn", (0, y), (5, 0), textcoords="offset points", va="center", color=MUTED)
    axes.set_xlim(0, 1.08 * max((rate for row in info.rows for rate in row.rates), default=1.0))
    axes.set_xlabel("examples per second, a dot for every turn")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.number(value)))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _finish(axes, info)
    axes.set_yticks([y for y, _ in _placed(info)], [_name(row) for row in info.rows])
    for label, row in zip(axes.get_yticklabels(), info.rows, strict=True):
        label.set_fontweight("bold" if row.is_used else "normal")
    note(axes, "bold: what is used; the bar is the mean", above_pt=5)


def _draw_ratios(axes: Axes, info: TrialsInfo) -> None:
    low, high = _limits(info)
    axes.axvline(1.0, color=MUTED, linewidth=1.0, linestyle=(0, (4, 2)))
    for y, row in _placed(info):
        axes.plot(row.ratios, [y + ABOVE] * len(row.ratios), "o", color=_color(row), markersize=4.5, alpha=0.55, mew=0)
        if row.over is not None:
            axes.plot([row.over.value], [y - ABOVE], "D", color=TEXT, markersize=4.5, mew=0)
        if row.over is not None and row.over.rounds > 1:
            ends = [max(row.over.low, low), min(row.over.high, high)]
            axes.plot(ends, [y - ABOVE] * 2, color=TEXT, linewidth=1.3, solid_capstyle="butt")
        beside(axes, y, _said(row), color=MUTED if row.over is None else TEXT)
    if high / low > WIDE:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        axes.xaxis.set_major_locator(FixedLocator([step * 10.0**power for power in powers for step in STEPS]))
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("times the throughput of the given pipeline, a dot for every round")
    _finish(axes, info)
    axes.set_yticks([])
    note(axes, f"the line is the interval, at {100 * info.level:.4g} % for a plan", above_pt=5)


def _limits(info: TrialsInfo) -> tuple[float, float]:
    """The ratios to show: all dots and means; an interval that reaches further is cut at the edge."""
    values = [1.0, *(value for row in info.rows for value in (*row.ratios, *([row.over.value] if row.over else [])))]
    ends = [end for row in info.rows if row.over is not None for end in row.over[1:3]]
    near = [end for end in ends if min(values) / 2 < end < 2 * max(values)]
    low, high = min(values + near), max(values + near)
    if high / low > WIDE:
        return low / 1.3, high * 1.3
    room = max(0.08 * (high - low), 0.05)
    return max(low - room, 0.01), high + room


def _said(row: TrialRow) -> str:
    out = "" if row.dropped is None else f"out: {WORDS[row.dropped.reason]}"
    if row.over is None:
        return out or ("" if row.name == GIVEN else "no common round")
    return "\n".join(part for part in (gain_text(row.over), out) if part)


def _name(row: TrialRow) -> str:
    return shortened(row.name, 16)


def _color(row: TrialRow) -> str:
    return NEUTRAL if row.dropped is not None else USED if row.is_used else OTHER


def _placed(info: TrialsInfo) -> list[tuple[int, TrialRow]]:
    return [(-number, row) for number, row in enumerate(info.rows)]


def _finish(axes: Axes, info: TrialsInfo) -> None:
    axes.set_ylim(-len(info.rows) + 0.45, 0.55)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.label.set_fontsize(8.5)
    axes.spines["left"].set_visible(False)
