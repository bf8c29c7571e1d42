"""Draw what storages were measured to be: throughput over streams, times to first byte, the effect of a request's size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline_opt.reports import units
from pipeline_opt.reports.info_probe import LatencyLine, ProbeInfo, ProbeSeries
from pipeline_opt.reports.plots_style import MUTED, TEXT, empty_figure, new_figure, note, shortened, styled

HEIGHT_IN: Final = 4.1
LONGEST_NAME: Final = 44
SHORTEST_S: Final = 1e-7
"""What is shorter is drawn as that: a logarithmic axis has no zero."""

UNDER: Final = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
"""Behind a label that lines may cross."""

ROW_PT: Final = 11
"""Between labels below each other, points."""

NEAR_EDGE: Final = 0.35
"""Of a panel's width: a label that is centred there may reach over the edge."""

Dashes = tuple[float, tuple[float, ...]]

KINDS: Final[dict[str, tuple[Dashes, str]]] = {
    "cold": ((0, ()), "cold: a new connection"),
    "warm": ((0, (1.5, 1.2)), "warm: a kept one"),
}
"""How times to first byte are drawn, and what that says."""

PANELS: Final = ((0.065, 0.37), (0.445, 0.69), (0.765, 0.975))
"""Left and right edges, in shares of the width."""


@styled
def plot_probe(info: ProbeInfo) -> Figure:
    """Three panels, a colour a storage: aggregate over streams with its knee, times to first byte, rate over request size."""
    if info.reason is not None:
        return empty_figure(info.reason)
    rows = math.ceil((len(info.series) + 3) / 4)
    height = HEIGHT_IN + 0.22 * rows
    figure = new_figure(height)
    bottom, top = (0.55 + 0.22 * rows) / height, 1 - 0.45 / height
    streams, latency, requests = (figure.add_axes((left, bottom, right - left, top - bottom)) for left, right in PANELS)
    _panel(streams, "streams at a time", "together, bytes a second", info.series, _draw_streams)
    _panel(latency, "time to the first byte", "percent of requests as fast", info.series, _draw_latency)
    _panel(requests, "bytes of a request", "one stream, bytes a second", info.series, _draw_requests)
    _legend(figure, info.series, rows)
    return figure


def _panel(
    axes: Axes,
    across: str,
    up: str,
    series: Sequence[ProbeSeries],
    draw: Callable[[Axes, Sequence[ProbeSeries]], str],
) -> None:
    axes.set_xlabel(across, fontsize=8.5)
    note(axes, up, above_pt=8, fontsize=8.5, color=TEXT, fontweight="bold")
    axes.grid()
    axes.tick_params(labelsize=7.5, length=2, which="major")
    axes.tick_params(length=0, which="minor")
    missing = draw(axes, series)
    if missing:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, missing, transform=axes.transAxes, ha="center", va="center", color=MUTED, fontsize=8)


def _draw_streams(axes: Axes, series: Sequence[ProbeSeries]) -> str:
    drawn = [each for each in series if each.streams and max(each.rates) > 0]
    if not drawn:
        return "not measured"
    most = max(max(each.rates) for each in drawn)
    least = min(rate for each in drawn for rate in each.rates if rate > 0)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for each in drawn:
        axes.plot(each.streams, each.ideal, color=each.color, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot(each.streams, each.rates, color=each.color, linewidth=1.8, marker="o", markersize=3.5)
    counts = sorted({count for each in drawn for count in each.streams})
    axes.set_xticks(counts, [f"{count}" for count in counts])
    axes.set_ylim(least / 1.6, most * 2.2)
    _mark_knees(axes, [each for each in drawn if each.knee in each.streams])
    _sizes(axes.yaxis, least / 1.6, most * 2.2, "/s")
    return ""


def _mark_knees(axes: Axes, series: Sequence[ProbeSeries]) -> None:
    """A ring around each knee, and its number of streams above it."""
    for each in series:
        rate = each.rates[each.streams.index(each.knee or 0)]
        axes.plot(
            [float(each.knee or 0)],
            [rate],
            "o",
            color=each.color,
            markersize=9,
            markerfacecolor="white",
            markeredgewidth=1.8,
        )
        slower = f", slower from {each.slower} on" if each.slower else ""
        left, right = axes.get_xlim()
        place = math.log((each.knee or 1) / left) / math.log(right / left)
        side = "left" if place < NEAR_EDGE else "right" if place > 1 - NEAR_EDGE else "center"
        axes.annotate(f"knee {each.knee}{slower}", (each.knee or 1, rate), (0, 9), textcoords="offset points", ha=side,
                      fontsize=7.5, color=each.color, fontweight="bold", bbox=UNDER)  # fmt: skip


def _draw_latency(axes: Axes, series: Sequence[ProbeSeries]) -> str:
    lines = [(each, line) for each in series for line in each.latencies]
    if not lines:
        return "not measured"
    axes.set_xscale("log")
    for each, line in lines:
        style, _ = KINDS[line.kind]
        seconds = [max(value, SHORTEST_S) for value in line.seconds]
        axes.step(
            seconds,
            [100 * share for share in line.share],
            where="post",
            color=each.color,
            linewidth=1.6,
            linestyle=style,
        )
        _mark_quantiles(axes, line, each.color)
    axes.set_ylim(0, 104)
    axes.set_yticks([0, 50, 95], ["0", "50", "95"])
    low = min(line.seconds[0] for _, line in lines)
    high = max(line.seconds[-1] for _, line in lines)
    low, high = max(low, SHORTEST_S) / 1.5, max(high, SHORTEST_S) * 1.5
    axes.set_xlim(low, high)
    ticks = _decades(low, high)
    axes.set_xticks(ticks, [units.seconds(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    # What reading a file pays: the warm ones where there are some.
    named = sorted((each for each in series if each.latencies), key=lambda each: each.latencies[-1].median_s)
    for row, each in enumerate(named):
        _name_quantiles(axes, each.latencies[-1], each.color, row, alone=len(lines) == 1)
    return ""


def _mark_quantiles(axes: Axes, line: LatencyLine, color: str) -> None:
    """Dots at the median, at 95 and at 99 percent."""
    for value, percent in ((line.median_s, 50), (line.p95_s, 95), (line.p99_s, 99)):
        axes.plot([max(value, SHORTEST_S)], [percent], "o", color=color, markersize=4)


def _name_quantiles(axes: Axes, line: LatencyLine, color: str, row: int, *, alone: bool) -> None:
    """Times beside the dots: all of them where there is one line, else the median; on the side where there is room.

    A storage has a row of its own for its median, as those of two may be near each other.
    """
    low, high = axes.get_xlim()
    named = [("median ", line.median_s, 50.0), ("p95 ", line.p95_s, 93.0), ("p99 ", line.p99_s, 99.0)]
    for name, value, percent in named if alone else named[:1]:
        place = math.log(max(value, SHORTEST_S) / low) / math.log(high / low)
        left = place > 0.5
        axes.annotate(f"{name if alone else ''}{units.seconds(value)}", (max(value, SHORTEST_S), percent),
                      (-8 if left else 8, -ROW_PT * row), textcoords="offset points", va="center", ha="right" if left else "left",
                      fontsize=7.5, color=color, bbox=UNDER)  # fmt: skip


def _draw_requests(axes: Axes, series: Sequence[ProbeSeries]) -> str:
    drawn = [each for each in series if each.request_bytes and max(each.request_rates) > 0]
    if not drawn:
        return "not measured"
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for each in drawn:
        axes.plot(each.request_bytes, each.request_rates, color=each.color, linewidth=1.6, marker="o", markersize=3.5)
    sizes = sorted({size for each in drawn for size in each.request_bytes})
    shown = sizes if len(sizes) <= 6 else sizes[:: math.ceil(len(sizes) / 6)]
    axes.set_xticks(shown, [_binary(size) for size in shown])
    axes.set_xticks([], minor=True)
    rates = [rate for each in drawn for rate in each.request_rates if rate > 0]
    low, high = min(rates) / 1.6, max(rates) * 1.6
    axes.set_ylim(low, high)
    _sizes(axes.yaxis, low, high, "/s")
    return ""


def _legend(figure: Figure, series: Sequence[ProbeSeries], rows: int) -> None:
    handles = [
        Line2D([], [], color=each.color, linewidth=3, label=shortened(each.name, LONGEST_NAME)) for each in series
    ]
    handles.append(Line2D([], [], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), label="if streams did not share"))
    drawn = {line.kind for each in series for line in each.latencies}
    handles += [
        Line2D([], [], color=MUTED, linewidth=1.6, linestyle=style, label=label)
        for kind, (style, label) in KINDS.items()
        if kind in drawn
    ]
    figure.legend(handles=handles, loc="lower left", ncols=math.ceil(len(handles) / rows), bbox_to_anchor=(0.055, 0.0))


def _sizes(axis: object, low: float, high: float, suffix: str) -> None:
    """Ticks at 1, 2 and 5 of each decade where few are seen, at decades where many are."""
    decades = math.log10(high / low)
    steps = (1, 2, 5) if decades < 2.2 else (1, 3) if decades < 3.5 else (1,)
    ticks = [
        step * 10**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for step in steps
    ]
    shown = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(shown, [units.size(tick) + suffix for tick in shown])  # type: ignore[attr-defined]
    axis.set_ticks([], minor=True)  # type: ignore[attr-defined]


def _decades(low: float, high: float) -> list[float]:
    span = math.log10(high / low)
    steps = (1, 2, 5) if span < 1.4 else (1, 3) if span < 2.2 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def _binary(size: int) -> str:
    """A request's size: `64 KiB`, `1 MiB`; what is no whole number of them with a decimal prefix."""
    for unit, scale in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale and size % scale == 0:
            return f"{size // scale} {unit}"
    return units.size(size)
