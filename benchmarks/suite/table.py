"""A result as tables for the terminal; made from the JSON, not from the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from intervals import Estimate
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from suite.names import VARIANTS
from suite.ratios import geometric_mean, paired

OTHERS: Final = tuple(name for name in VARIANTS if name != "autotune")
TITLES: Final = {
    "first": "One epoch, or the first of several: examples a second, and ratios to AUTOTUNE on every knob",
    "steady": "A later epoch",
}

Result = Mapping[str, Any]


def report(result: Result) -> Group:
    """The tables of first and of later epochs, and what there is to say."""
    parts: list[RenderableType] = []
    for phase in TITLES:
        workloads = [each for each in result["workloads"] if phase in each["variants"]["autotune"]["examples_per_s"]]
        if workloads:
            parts += [phase_table(workloads, phase), Text()]
    return Group(*parts, *(Text(note) for note in notes(result)))


def phase_table(workloads: Sequence[Mapping[str, Any]], phase: str) -> Table:
    """One line a workload; the last one is the geometric mean."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=TITLES[phase], title_justify="left")
    table.add_column("workload", no_wrap=True)
    for name in ("examples", "autotune", *OTHERS, "ours / given"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in workloads:
        rates = each["variants"]["autotune"]["examples_per_s"][phase]
        cells = [_cell(each, name, "autotune", phase) for name in OTHERS]
        table.add_row(
            each["name"],
            f"{each['examples']:,}",
            f"{median(rates):,.0f}/s",
            *cells,
            _cell(each, "ours", "given", phase),
        )
    table.add_section()
    means = [_mean(workloads, name, "autotune", phase) for name in OTHERS]
    table.add_row("geometric mean", "", "", *means, _mean(workloads, "ours", "given", phase))
    return table


def _cell(workload: Mapping[str, Any], name: str, base: str, phase: str) -> str:
    if name == "given" and name not in workload["variants"]:
        return "= autotune"
    if name in workload["failed"]:
        return "failed"
    told = workload["variants"].get(name)
    return "-" if told is None else estimate(Estimate(**told["ratios"][base][phase]))


def _mean(workloads: Sequence[Mapping[str, Any]], name: str, base: str, phase: str) -> str:
    ratios = [ratios_of(each, name, base, phase) for each in workloads if name in each["variants"]]
    if len(ratios) < 2:
        return ""
    part = "" if len(ratios) == len(workloads) else f" ({len(ratios)})"
    return estimate(geometric_mean(ratios)) + part


def ratios_of(workload: Mapping[str, Any], name: str, base: str, phase: str) -> list[float]:
    """Each round's ratio of a variant to a base."""
    variants = workload["variants"]
    other = base if base in variants else "autotune"
    return paired(variants[name]["examples_per_s"][phase], variants[other]["examples_per_s"][phase])


def estimate(found: Estimate) -> str:
    """Three digits, which is more than a shared machine allows."""
    return f"{_short(found.middle)} [{_short(found.low)}, {_short(found.high)}]"


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 100 else f"{number:.0f}"


def notes(result: Result) -> Iterator[str]:
    """Why there are gaps, whose memory was more than its budget, and which epochs were cut."""
    reasons: dict[str, list[str]] = {}
    for name, reason in result["broken"].items():
        yield f"{name} was not measured: {reason}"
    for each in result["workloads"]:
        for name, reason in each["absent"].items():
            reasons.setdefault(f"{name}: {reason}", []).append(each["name"])
        for name, reason in each["failed"].items():
            yield f"{each['name']}, {name} failed: {reason}"
        if any(each["cut_at"]):
            yield f"{each['name']}: epochs were cut, rates are of the first {min(filter(None, each['cut_at'])):,} examples"
        yield from _over_budget(each)
    for reason, names in reasons.items():
        yield f"- {reason} ({'all' if len(names) == len(result['workloads']) else ', '.join(names)})"


def _over_budget(workload: Mapping[str, Any]) -> Iterator[str]:
    budget = workload["memory_bytes"]
    for name, told in workload["variants"].items():
        most = max(told["growth_bytes"])
        if budget is not None and most > budget:
            yield f"{workload['name']}, {name}: took {most / 1e6:,.0f} MB of memory, the budget is {budget / 1e6:,.0f} MB"
