"""One self-contained HTML page for a run or several: opens from disk, needs no network, prints, light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline_opt.accounting import Account, account
from pipeline_opt.errors import UsageError
from pipeline_opt.record import Record
from pipeline_opt.reports import units
from pipeline_opt.reports.compare import compare
from pipeline_opt.reports.info_bill import BillInfo, bill_info
from pipeline_opt.reports.info_compare import compare_info
from pipeline_opt.reports.info_knobs import knobs_info
from pipeline_opt.reports.info_overlap import overlap_info
from pipeline_opt.reports.info_phases import phase_rows
from pipeline_opt.reports.info_probe import probe_info, probe_rows
from pipeline_opt.reports.info_stages import stages_info
from pipeline_opt.reports.info_storage import followed, profiles_of
from pipeline_opt.reports.info_table import StageRow, absences, stage_rows
from pipeline_opt.reports.info_variants import headline, variant_rows
from pipeline_opt.reports.page_parts import Card, Drawing, drawing, run_facts, template
from pipeline_opt.reports.plots import plot_compare, plot_knobs, plot_overlap, plot_probe, plot_stages
from pipeline_opt.reports.verdict import Verdict, judge
from pipeline_opt.reports.words import GLOSSARY
from pipeline_opt.storage.measured import StorageProfile


class Section(NamedTuple):
    """All that is shown of one run."""

    name: str
    anchor: str
    verdict: Verdict
    cards: tuple[Card, ...]
    bill: BillInfo
    stages: tuple[StageRow, ...]
    stages_figure: Drawing
    knobs_figure: Drawing
    plan: str
    toml: str | None
    facts: tuple[tuple[str, str], ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...]


def page(records: Mapping[str, Record], title: str = "Input pipeline report") -> str:
    """The page as HTML text: what the runs have in common first, then each run.

    Args:
        records: Runs by the name of the variant; the first one is what the others are compared with.
        title: Heading of the page.

    Raises:
        UsageError: there are no records.
    """
    if not records:
        raise UsageError("page: no runs given; valid: one or more")
    sections = [_section(name, record, f"run{i}") for i, (name, record) in enumerate(records.items(), 1)]
    overlap, variants, several = overlap_info(records), variant_rows(records), len(records) > 1
    profiles = profiles_of(records)
    return template("page.html").render(
        title=title,
        sections=sections,
        overlap_figure=drawing(plot_overlap(overlap), "overlap", overlap.reason),
        compare_figure=_compare_figure(records) if several else None,
        compared=_compared(records) if several else (),
        variants=variants,
        phases=phase_rows(records) if several else (),
        storages=probe_rows(profiles) if profiles else (),
        storage_figure=_probe_figure(profiles) if profiles else None,
        advised=followed(records),
        headline=headline(variants) if several else sections[0].verdict.sentence,
        glossary=GLOSSARY,
        created=next(iter(records.values())).created,
        version=next(iter(records.values())).version,
    )


def _section(name: str, record: Record, anchor: str) -> Section:
    figures, stages, knobs = account(record), stages_info(record), knobs_info(record)
    return Section(
        name=name,
        anchor=anchor,
        verdict=judge(record, figures),
        cards=_cards(record, figures),
        bill=bill_info(record),
        stages=stage_rows(record),
        stages_figure=drawing(plot_stages(stages), f"{anchor}-stages", stages.reason),
        knobs_figure=drawing(plot_knobs(knobs), f"{anchor}-knobs", knobs.reason),
        plan=record.pipeline_text,
        toml=record.toml,
        facts=run_facts(record),
        absent=absences(record),
        notes=tuple(dict.fromkeys((*record.notes, *figures.notes))),
    )


def _cards(record: Record, figures: Account) -> tuple[Card, ...]:
    cards = []
    if record.has_consumer:
        used, idle = figures.utilization_percent, figures.accelerator_idle_s
        cards += [
            Card("accelerator utilization", units.percent(used), "AU: computing, without the first step"),
            Card("accelerator waits", units.seconds(idle), f"of {units.seconds(figures.wall_s)}, the start included"),
        ]
    steps = f"{units.plural(figures.steps, 'step')}, {units.plural(figures.elements, 'element')}"
    moved = f", {units.size(figures.bytes_per_s)}/s" if figures.bytes_per_s is not None else ""
    cards += [
        Card("throughput", units.number(figures.elements_per_s), f"elements/s in steady state{moved}"),
        Card("wall", units.seconds(figures.wall_s), steps),
        Card("first batch", units.seconds(figures.first_batch_s), "after the start"),
    ]
    if figures.overlap_efficiency is not None:
        bound = f"perfect overlap would take {units.seconds(figures.pipelined_bound_s)}"
        cards.append(Card("overlap efficiency", units.percent(100 * figures.overlap_efficiency), bound))
    if figures.traced_share < 0.995:
        hint = "extract and transform are scaled from it" if figures.traced_share else "extract and transform unknown"
        cards.append(Card("traced", units.percent(100 * figures.traced_share), f"of the run: {hint}"))
    return tuple(cards)


def _compared(records: Mapping[str, Record]) -> tuple[tuple[str, str, str], ...]:
    """For each variant but the first: its name, what the comparison says, and what its interval is made from."""
    (first, baseline), *others = records.items()
    found = []
    for name, record in others:
        try:
            result = compare([baseline], [record])
        except UsageError as error:
            found.append((name, f"cannot be compared with {first}", str(error)))
        else:
            found.append((name, result.verdict.replace("the throughput", f"the throughput of {first}"), result.basis))
    return tuple(found)


def _compare_figure(records: Mapping[str, Record]) -> Drawing:
    info = compare_info({name: [record] for name, record in records.items()})
    return drawing(plot_compare(info), "compare", None)


def _probe_figure(profiles: Mapping[str, StorageProfile]) -> Drawing:
    info = probe_info(profiles)
    return drawing(plot_probe(info), "storage", info.reason)
