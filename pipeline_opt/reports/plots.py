"""Every figure: `plot_x(info)` draws what `x_info(record)` of the module `info_x` gathered."""

from __future__ import annotations

from pipeline_opt.reports.plots_bars import plot_bill, plot_compare, plot_stages
from pipeline_opt.reports.plots_knobs import plot_knobs
from pipeline_opt.reports.plots_overlap import plot_overlap
from pipeline_opt.reports.plots_probe import plot_probe
from pipeline_opt.reports.plots_style import to_png, to_svg
from pipeline_opt.reports.plots_trials import plot_trials

__all__ = [
    "plot_bill",
    "plot_compare",
    "plot_knobs",
    "plot_overlap",
    "plot_probe",
    "plot_stages",
    "plot_trials",
    "to_png",
    "to_svg",
]
