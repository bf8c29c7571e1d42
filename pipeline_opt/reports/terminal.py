"""Tables and summaries for the terminal, as rich renderables; printing them is up to the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich import box
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pipeline_opt.accounting import Account, account
from pipeline_opt.record import Record
from pipeline_opt.reports import units
from pipeline_opt.reports.info_bill import bill_info
from pipeline_opt.reports.info_table import absences, parallelism_text, stage_rows
from pipeline_opt.reports.info_variants import variant_rows
from pipeline_opt.reports.palette import cause_color, phase_color
from pipeline_opt.reports.verdict import judge

LONGEST_NAME: Final = 24

SHOWN: Final = ("elements", "us_per_element", "work_s")
"""What of a stage has to be known: where it is not, the reason is told."""


def summary_renderable(record: Record, title: str = "run") -> RenderableType:
    """The verdict, the numbers that count, the bill of waiting as a bar, and next steps; 80 columns are enough."""
    figures = account(record)
    judged = judge(record, figures)
    parts: list[RenderableType] = [Text(judged.sentence, style="bold"), Text(), _numbers(record, figures)]
    split = _split(record, figures)
    if split:
        parts += [Text(), StackedBar(split), _legend(split)]
    if judged.advice:
        parts += [Text(), Text("Next steps", style="bold"), *(_bullet(text) for text in judged.advice)]
    notes = (*record.notes, *figures.notes)
    if notes:
        parts += [Text(), *(Text(note, style="dim") for note in dict.fromkeys(notes))]
    return Panel(Group(*parts), title=Text(title), title_align="left", box=box.ROUNDED, padding=(0, 1))


def stage_renderable(record: Record) -> RenderableType:
    """What each stage costs, one a line, in the order of the plan; for each element, or each batch after batching."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("stage", overflow="fold", max_width=LONGEST_NAME)
    table.add_column("phase", no_wrap=True)
    for name in ("count", "each", "work", "share", "cpu", "parallel"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = stage_rows(record)
    for row in rows:
        share = units.percent(row.work_percent)
        each = f"{units.seconds(row.us_per_element * 1e-6)}" if row.us_per_element is not None else units.ABSENT
        count = f"{row.elements:,}{' b' if row.per == 'batch' else ''}" if row.elements is not None else units.ABSENT
        on_cpu = 100 * row.cpu_s / row.work_s if row.cpu_s is not None and row.work_s else None
        cells = (count, each, units.seconds(row.work_s), share, units.percent(on_cpu), parallelism_text(row))
        table.add_row(Text(row.stage), _swatch(row.phase, phase_color(row.phase)), *(Text(cell) for cell in cells))
    if any(row.per == "batch" for row in rows):
        table.caption = "b: batches, and the work for each of them"
        table.caption_justify = "left"
    return Group(table, *(Text(text, style="dim") for text in absences(record, SHOWN)))


def comparison_renderable(records: Mapping[str, Record]) -> RenderableType:
    """Variants side by side, the first one being what the others are compared with.

    Raises:
        UsageError: there are no records.
    """
    rows = variant_rows(records)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("variant", overflow="fold", max_width=LONGEST_NAME)
    for name in ("elements/s", "speedup", "AU", "idle", "wall"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("waits for", no_wrap=True)
    fastest = max((row.speedup or 0.0 for row in rows), default=0.0)
    for row in rows:
        cells = (
            units.number(row.figures.elements_per_s),
            units.ratio(row.speedup),
            units.percent(row.figures.utilization_percent),
            units.seconds(row.figures.accelerator_idle_s),
            units.seconds(row.figures.wall_s),
        )
        style = "bold" if len(rows) > 1 and row.speedup == fastest else ""
        swatch = _swatch(row.cause, cause_color(row.cause)) if row.cause else Text(units.ABSENT)
        name = row.variant + (" (partial)" if row.partial else "")
        table.add_row(Text(name), *(Text(cell) for cell in cells), swatch, style=style)
    return table


class StackedBar:
    """A bar as wide as there is room, one colour a part, each as long as its share."""

    def __init__(self, parts: Mapping[str, float]) -> None:
        self.parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        total = sum(self.parts.values())
        bar, drawn, passed = Text(), 0, 0.0
        for name, seconds in self.parts.items():
            passed += seconds
            until = round(options.max_width * passed / total)
            bar.append("█" * (until - drawn), style=cause_color(name))
            drawn = until
        yield bar


def _numbers(record: Record, figures: Account) -> Table:
    """Pairs of name and value, two pairs a line."""
    pairs = [("throughput", units.rate(figures.elements_per_s)), ("wall", units.seconds(figures.wall_s))]
    pairs += [("steps", f"{figures.steps:,}"), ("elements", f"{figures.elements:,}")]
    if record.has_consumer:
        pairs += [
            ("accelerator utilization", units.percent(figures.utilization_percent)),
            ("accelerator idle", units.seconds(figures.accelerator_idle_s)),
        ]
    overlap = figures.overlap_efficiency
    pairs += [
        ("overlap efficiency", units.percent(None if overlap is None else 100 * overlap)),
        ("first batch after", units.seconds(figures.first_batch_s)),
    ]
    if figures.traced_share < 0.995:
        pairs.append(("traced", f"{units.percent(100 * figures.traced_share)} of the run"))
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "right"):
        grid.add_column(justify=justify, no_wrap=True)
    cells = [(Text(name, style="dim"), Text(value)) for name, value in pairs]
    cells += [(Text(), Text())] * (len(cells) % 2)
    for left, right in zip(cells[::2], cells[1::2], strict=True):
        grid.add_row(*left, *right)
    return grid


def _split(record: Record, figures: Account) -> dict[str, float]:
    """Where the wall time went: to training and to each cause of waiting."""
    split = {"train": figures.phases["train"].busy_s or 0.0} if record.has_consumer else {}
    split |= {item.cause: item.seconds for item in bill_info(record).items}
    return {name: seconds for name, seconds in split.items() if seconds > 0}


def _legend(split: Mapping[str, float]) -> Columns:
    """What the colours of the bar stand for; an entry is never broken."""
    total = sum(split.values())
    entries = []
    for name, seconds in split.items():
        label = "computes" if name == "train" else f"waits: {name}"
        text = f"{label} {units.seconds(seconds)} ({units.percent(100 * seconds / total)})"
        entries.append(_swatch(text, cause_color(name)))
    return Columns(entries, padding=(0, 3))


def _swatch(label: str, color: str) -> Text:
    return Text.assemble(("■ ", color), label)


def _bullet(text: str) -> Padding:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text("•"), Text(text))
    return Padding(grid, (0, 0))
