"""Draw the figures that are made of bars: stages, comparison, bill."""

from __future__ import annotations

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline_opt.accounting.stalls import CAUSES
from pipeline_opt.reports import units
from pipeline_opt.reports.compare import Estimate
from pipeline_opt.reports.info_bill import BillInfo
from pipeline_opt.reports.info_compare import CompareInfo
from pipeline_opt.reports.info_stages import StageBar, StagesInfo
from pipeline_opt.reports.palette import NEUTRAL, PHASE_COLORS, cause_color, phase_color, tint
from pipeline_opt.reports.plots_style import LINE, MUTED, TEXT, empty_figure, new_figure, note, shortened, styled

SLATE: Final = "#4A5A6A"
SHADES: Final = (1.0, 0.72, 0.5, 0.34)
"""How strong the phase's colour is for the costliest op, the next one, and so on."""


@styled
def plot_stages(info: StagesInfo) -> Figure:
    """One row a stage: work for one element, split by op, and under it the part that was on a core."""
    if info.reason is not None:
        return empty_figure(info.reason)
    rows = len(info.bars)
    figure = new_figure(0.95 + 0.52 * rows + 0.2 * bool(info.unknown))
    longest = max(bar.us for bar in info.bars)
    scale, unit = units.axis_unit(longest * 1e-6)
    scale *= 1e-6
    axes = _axes(figure, left=0.16, right=0.97, above_in=0.35, below_in=0.5 + 0.2 * bool(info.unknown))
    for row, bar in enumerate(info.bars):
        _draw_stage(axes, bar, -row, scale)
    axes.set_xlim(0, 1.2 * longest * scale)
    axes.set_ylim(-rows + 0.4, 0.5)
    axes.set_yticks([-row for row in range(rows)], [shortened(bar.stage, 20) for bar in info.bars])
    axes.set_xlabel(f"work for one element, {unit} of thread time")
    _finish(axes)
    phases = [phase for phase in PHASE_COLORS if any(bar.phase == phase for bar in info.bars)]
    handles = [Patch(color=phase_color(phase), label=phase) for phase in phases]
    if any(part.op is not None for bar in info.bars for part in bar.parts):
        handles.append(Patch(facecolor=tint(NEUTRAL, 0.16), edgecolor=NEUTRAL, label="outside its costliest ops"))
    if any(bar.cpu_us is not None for bar in info.bars):
        handles.append(Patch(color=SLATE, label="on a core (cpu)"))
    figure.legend(handles=handles, loc="upper right", ncols=len(handles), bbox_to_anchor=(0.98, 1.0))
    if info.unknown:
        text = "not known: " + "; ".join(f"{shortened(name, 24)} ({reason})" for name, reason in info.unknown)
        figure.text(0.16, 0.03, shortened(text, 150), fontsize=7.5, color=MUTED)
    return figure


def _draw_stage(axes: Axes, bar: StageBar, y: int, scale: float) -> None:
    left, color = 0.0, phase_color(bar.phase)
    for rank, part in enumerate(bar.parts):
        face = tint(color, 0.16) if part.op is None and len(bar.parts) > 1 else tint(color, SHADES[min(rank, 3)])
        axes.barh(y + 0.18, part.us * scale, 0.34, left=left, color=face, edgecolor=color, linewidth=0.6)
        left += part.us * scale
    if bar.cpu_us is not None:
        axes.barh(y - 0.05, bar.cpu_us * scale, 0.09, color=SLATE, edgecolor="none")
    value = f"{units.seconds(bar.us * 1e-6)}  ({units.percent(bar.share_percent)})"
    axes.annotate(value, (left, y + 0.18), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
    known = [part for part in bar.parts if part.op is not None and part.us >= 0.01 * bar.us]
    if known and bar.us > 0:
        ops = ",  ".join(f"{shortened(str(part.op), 28)} {units.percent(100 * part.us / bar.us)}" for part in known)
        axes.annotate(ops, (0, y - 0.24), (1, 0), textcoords="offset points", va="center", fontsize=7.5, color=MUTED)


@styled
def plot_bill(info: BillInfo) -> Figure:
    """One bar a cause, the dearest first."""
    if info.reason is not None:
        return empty_figure(info.reason)
    figure = new_figure(0.95 + 0.34 * len(info.items))
    axes = _axes(figure, left=0.1, right=0.97, above_in=0.35, below_in=0.5)
    longest = max(item.seconds for item in info.items)
    scale, unit = units.axis_unit(longest)
    for row, item in enumerate(info.items):
        color = cause_color(item.cause)
        axes.barh(-row, item.seconds * scale, 0.64, color=color, edgecolor=tint(NEUTRAL, 1), linewidth=0.4)
        text = f"{units.seconds(item.seconds)}  ·  {units.percent(item.percent)} of the wall time"
        axes.annotate(text, (item.seconds * scale, -row), (5, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, 1.45 * longest * scale)
    axes.set_ylim(-len(info.items) + 0.45, 0.55)
    axes.set_yticks([-row for row in range(len(info.items))], [item.cause for item in info.items])
    axes.set_xlabel(f"{unit} that the consumer waited")
    total = f"{units.seconds(info.total_s)} of {units.seconds(info.wall_s)} waited"
    note(axes, total, above_pt=6, fontsize=9, color=TEXT, fontweight="bold")
    _finish(axes)
    return figure


@styled
def plot_compare(info: CompareInfo) -> Figure:
    """Throughput and utilization with their intervals, and where the time of an element goes, one row a variant."""
    rows = len(info.variants)
    figure = new_figure(1.25 + 0.42 * rows)
    trains = any(variant.utilization for variant in info.variants)
    speed = _axes(figure, left=0.115, right=0.36 if trains else 0.5, above_in=0.35, below_in=0.8)
    split = _axes(figure, left=0.62 if trains else 0.55, right=0.975, above_in=0.35, below_in=0.8)
    drawn = [speed, split]
    _draw_estimates(
        speed, [v.throughput for v in info.variants], SLATE, [_speed_label(info, row) for row in range(rows)]
    )
    speed.set_xlabel("elements per second")
    if trains:
        use = _axes(figure, left=0.405, right=0.58, above_in=0.35, below_in=0.8)
        drawn.append(use)
        labels = [units.percent(v.utilization.value) if v.utilization else "" for v in info.variants]
        _draw_estimates(use, [v.utilization for v in info.variants], PHASE_COLORS["train"], labels)
        use.set_xlim(0, 128)
        use.set_xticks([0, 25, 50, 75, 100])
        use.set_xlabel("accelerator utilization, percent")
    _draw_split(split, info)
    for each in drawn:
        each.set_ylim(-rows + 0.45, 0.55)
        each.set_yticks([])
        _finish(each)
    speed.set_yticks([-row for row in range(rows)], [shortened(v.name, 16) for v in info.variants])
    handles = [
        Patch(facecolor=cause_color(cause), edgecolor=LINE, label=cause if cause == "train" else f"waits: {cause}")
        for cause in _causes(info)
    ]
    figure.legend(handles=handles, loc="lower right", ncols=7, bbox_to_anchor=(0.985, 0.0), columnspacing=1.2)
    note(speed, _interval_note(info), above_pt=6)
    return figure


def _draw_estimates(axes: Axes, estimates: list[Estimate | None], color: str, labels: list[str]) -> None:
    reach = max((e.high or e.value for e in estimates if e), default=1.0)
    for row, estimate in enumerate(estimates):
        if estimate is None:
            axes.annotate("not known", (0, -row), (5, 0), textcoords="offset points", va="center", color=MUTED)
            continue
        axes.barh(-row, estimate.value, 0.6, color=tint(color, 0.8), edgecolor=color, linewidth=0.6)
        end = estimate.value
        if estimate.low is not None and estimate.high is not None:
            spread = [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]
            axes.errorbar(estimate.value, -row, xerr=spread, color=TEXT, capsize=3, linewidth=1.1)
            end = max(end, estimate.high)
        axes.annotate(labels[row], (end, -row), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_xlim(0, 1.55 * reach)


def _speed_label(info: CompareInfo, row: int) -> str:
    variant = info.variants[row]
    if variant.throughput is None:
        return ""
    times = f"  ({units.ratio(variant.speedup)})" if row and variant.speedup is not None else ""
    return f"{units.number(variant.throughput.value)}{times}"


def _causes(info: CompareInfo) -> list[str]:
    order = ["train", *CAUSES]
    present = {cause for variant in info.variants for cause in variant.seconds_per_element}
    return [cause for cause in order if cause in present] + sorted(present - set(order))


def _draw_split(axes: Axes, info: CompareInfo) -> None:
    longest = max((sum(v.seconds_per_element.values()) for v in info.variants), default=0.0) or 1.0
    scale, unit = units.axis_unit(longest)
    for row, variant in enumerate(info.variants):
        left = 0.0
        for cause in _causes(info):
            width = variant.seconds_per_element.get(cause, 0.0) * scale
            if width:
                axes.barh(-row, width, 0.6, left=left, color=cause_color(cause), edgecolor="white", linewidth=0.4)
            left += width
        text = units.seconds(sum(variant.seconds_per_element.values()))
        axes.annotate(text, (left, -row), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_xlim(0, 1.22 * longest * scale)
    axes.set_xlabel(f"where the time of an element goes, {unit}")


def _interval_note(info: CompareInfo) -> str:
    runs = sorted({variant.runs for variant in info.variants})
    if any(v.throughput and v.throughput.low is None for v in info.variants):
        return "no interval: too few steps"
    return "95 % interval: between runs" if runs[0] > 1 else "95 % interval: steps of one run"


def _axes(figure: Figure, *, left: float, right: float, above_in: float, below_in: float) -> Axes:
    height = figure.get_figheight()
    return figure.add_axes((left, below_in / height, right - left, (height - above_in - below_in) / height))


def _finish(axes: Axes) -> None:
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.label.set_fontsize(8.5)
