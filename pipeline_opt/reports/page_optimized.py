"""One self-contained HTML page for a tuned pipeline: before and after, every change with its reason, the proof and the trials."""

from __future__ import annotations

from dataclasses import replace

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.reports import units
from pipeline_opt.reports.info_optimized import (
    Lanes,
    change_rows,
    declined_rows,
    figure_rows,
    plan_lines,
    proof_facts,
)
from pipeline_opt.reports.info_overlap import overlap_info
from pipeline_opt.reports.info_trials import TrialsInfo, gain_text, range_text, trials_info
from pipeline_opt.reports.page_parts import Card, Drawing, drawing, run_facts, template
from pipeline_opt.reports.plots import plot_overlap, plot_trials
from pipeline_opt.reports.words import GLOSSARY
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.tuner.bootstrap import Interval
from pipeline_opt.tuner.optimize import Tuning
from pipeline_opt.version import VERSION


def optimized_page(tuning: Tuning, lanes: Lanes, created: str, title: str = "Optimized input pipeline") -> str:
    """The page as HTML text.

    Args:
        tuning: What was measured and decided.
        lanes: Short runs of what was given and of what is used.
        created: When, as people read it.
        title: Heading of the page.
    """
    trials, source = trials_info(tuning), tuning.given.source
    return template("optimized.html").render(
        title=title,
        created=created,
        version=VERSION,
        glossary=GLOSSARY,
        tuning=tuning,
        cards=_cards(tuning, trials),
        figures=figure_rows(tuning, trials, lanes.runs),
        lanes_figure=_lanes_figure(lanes),
        missing=lanes.missing if lanes.runs else (),
        several=len(lanes.runs) > 1,
        plan=plan_lines(tuning),
        kept=source.reason if isinstance(source, OpaqueDataset) else "",
        changes=change_rows(tuning),
        verdict="" if tuning.equality is None else str(replace(tuning.equality, notes=())),
        proof=() if tuning.equality is None else proof_facts(tuning.equality),
        trials=trials,
        trials_figure=drawing(plot_trials(trials), "trials", trials.reason),
        over={row.name: gain_text(row.over) for row in trials.rows},
        refused=tuning.refused,
        declined=declined_rows(tuning),
        facts=(*_asked(tuning.facts), *_searched(tuning), *_facts(lanes)),
    )


def _cards(tuning: Tuning, trials: TrialsInfo) -> tuple[Card, ...]:
    decision, equality = tuning.decision, tuning.equality
    cards = [
        _gain_card(name, found)
        for name, found in (("over the given one", decision.over_given), ("over AUTOTUNE", decision.over_autotune))
        if found is not None and found.rounds
    ]
    if equality is not None:
        how = f"{'all' if equality.whole else 'the first'} {units.plural(equality.elements, 'element')} compared"
        cards.append(Card("elements", "the same" if equality.same else "not the same", how))
    tried = len(trials.rows)
    cards += [
        Card(
            "changes", str(len(tuning.steps)), "each with its reason below" if tuning.steps else "no other plan is used"
        ),
        Card("plans", f"{len(tuning.search.found):,}", f"reached, {tried} tried in turns" if tried else "reached"),
    ]
    return tuple(cards)


def _gain_card(name: str, found: Interval) -> Card:
    rounds = units.plural(found.rounds, "round")
    return Card(
        f"throughput {name}", units.ratio(found.value), f"{range_text(found)} at {100 * found.level:.4g} %, {rounds}"
    )


def _lanes_figure(lanes: Lanes) -> Drawing:
    if not lanes.runs:
        return Drawing(None, "; ".join(lanes.missing) or "neither pipeline was run")
    info = overlap_info(lanes.runs)
    return drawing(plot_overlap(info), "overlap", info.reason)


def _asked(facts: Facts) -> tuple[tuple[str, str], ...]:
    step = f"{units.seconds(facts.step_s)} for a batch" if facts.step_s else "none: drained as fast as possible"
    return (
        ("epochs of the job", f"{facts.epochs:,}"),
        ("training step", step),
        ("memory allowed", units.size(facts.memory_bytes)),
        ("bit for bit", "asked for" if facts.bits else "not asked for"),
        ("order of elements", "free" if facts.order_free else "kept where it is fixed"),
        ("cores", units.number(facts.cores)),
    )


def _searched(tuning: Tuning) -> tuple[tuple[str, str], ...]:
    contest, pace = tuning.contest, tuning.facts.pace
    seen = (("time of the pipeline given, over that of its stages alone", units.ratio(pace)),) if pace != 1 else ()
    return (
        *seen,
        ("plans reached", f"{len(tuning.search.found):,}"),
        ("trials", f"{units.plural(contest.rounds, 'round')} in {units.seconds(contest.seconds)}, seed {contest.seed}"),
    )


def _facts(lanes: Lanes) -> tuple[tuple[str, str], ...]:
    """Data, machine and versions, as the first short run has them."""
    record = next(iter(lanes.runs.values()), None)
    said = ("plan fingerprint", "tracing", "cores", "pipeline_opt", "measured")
    facts = () if record is None else run_facts(record)
    return tuple((name, value) for name, value in facts if name not in said and value != OpaqueDataset.kind)
