"""What storages were measured to be, for the terminal: a table with a column for each, and advice in sentences."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline_opt.reports import units
from pipeline_opt.reports.info_probe import ProbeRow, probe_rows
from pipeline_opt.storage.measured import StorageProfile


def probe_renderable(profiles: Mapping[str, StorageProfile]) -> RenderableType:
    """A row a figure and a column a storage, then what could not be measured."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    rows = probe_rows(profiles)
    for row in rows:
        table.add_column(Text(row.source), justify="right", overflow="fold")
    cells = [_cells(row) for row in rows]
    for name in cells[0]:
        values = [each[name] for each in cells]
        if any(value != units.ABSENT for value in values):
            table.add_row(name, *values)
    notes = [f"{name}: {note}" for name, profile in profiles.items() for note in _notes(profile)]
    return Group(table, *([Text()] if notes else []), *(Text(note, style="dim") for note in notes))


def _cells(row: ProbeRow) -> dict[str, str]:
    counts = units.ABSENT if row.files is None else f"{row.files:,}, {units.size(row.bytes)}"
    return {
        "route": row.route,
        "files": counts,
        "listing": units.seconds(row.listing_s),
        "stat, median": units.seconds(row.stat_median_s),
        "first byte, cold: median": units.seconds(row.cold_median_s),
        "  p95": units.seconds(row.cold_p95_s),
        "  p99": units.seconds(row.cold_p99_s),
        "first byte, warm: median": units.seconds(row.warm_median_s),
        "  p95 ": units.seconds(row.warm_p95_s),
        "  p99 ": units.seconds(row.warm_p99_s),
        "one stream": units.speed(row.stream_bytes_per_s),
        "all streams": units.speed(row.total_bytes_per_s),
        "knee": units.ABSENT if row.knee is None else units.plural(row.knee, "stream"),
        "failed requests": f"{row.errors:,}" if row.errors else units.ABSENT,
    }


def _notes(profile: StorageProfile) -> tuple[str, ...]:
    latencies = (("cold", profile.cold), ("warm", profile.warm), ("stat", profile.stat))
    reasons = [f"no {kind} times: {latency.reason}" for kind, latency in latencies if latency.reason]
    beyond = ["the knee was not reached"] if profile.streams and profile.knee is None else []
    return (*reasons, *beyond, *profile.notes)
