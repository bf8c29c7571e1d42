"""What the page of a tuned pipeline shows: its changes, the numbers before and after, and what was compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from pipeline_opt.accounting import Account, account
from pipeline_opt.optimizer.model import Prediction, predict
from pipeline_opt.plan import item_names
from pipeline_opt.record import Record
from pipeline_opt.reports import units
from pipeline_opt.reports.info_trials import TrialsInfo, gain_text
from pipeline_opt.reports.verdict import main_cause
from pipeline_opt.text import plan_text
from pipeline_opt.text.sides import side_by_side
from pipeline_opt.tuner.bootstrap import Interval
from pipeline_opt.tuner.decision import GIVEN
from pipeline_opt.tuner.optimize import Tuning
from pipeline_opt.tuner.proof import Equality

BEFORE, AFTER = "before", "after"
"""What the runs of a changed pipeline are called; that of an unchanged one is called as the candidate is."""

KEPT: Final = {
    "exact": "every bit, in the same order",
    "rounding": "all but floating-point rounding",
    "set": "the rows of an epoch, in another order",
}


class Lanes(NamedTuple):
    """A short run of what was given and of what is used, by name, and sentences why there is none of one."""

    runs: Mapping[str, Record]
    missing: tuple[str, ...] = ()


class ChangeRow(NamedTuple):
    """One change; `predicted` and `measured` are throughput after it over that before it."""

    number: int
    what: str
    stage: str
    rule: str
    why: str
    preserves: str
    meaning: str
    evidence: str
    predicted: float
    measured: str


class FigureRow(NamedTuple):
    """One number of both pipelines, as text: where it comes from, and how they compare."""

    what: str
    source: str
    before: str
    after: str
    times: str


class PlanLine(NamedTuple):
    """A line of both plans side by side."""

    is_changed: bool
    text: str


def measured_gains(tuning: Tuning) -> tuple[Interval | None, ...]:
    """What each change brought, where that was measured: alone it brought all that there is."""
    alone = tuning.decision.over_given if len(tuning.steps) == 1 else None
    found = tuning.along or (alone,) * len(tuning.steps)
    return tuple(gain if gain is not None and gain.rounds else None for gain in found)


def change_rows(tuning: Tuning) -> tuple[ChangeRow, ...]:
    """A row a change, in the order in which they were made."""
    rows = zip(tuning.steps, measured_gains(tuning), strict=True)
    return tuple(
        ChangeRow(
            number=number,
            what=step.rewrite.what,
            stage=step.rewrite.stage,
            rule=step.rule,
            why=step.why,
            preserves=step.rewrite.preserves,
            meaning=KEPT.get(step.rewrite.preserves, ""),
            evidence=step.rewrite.evidence,
            predicted=step.gain,
            measured="not measured alone" if measured is None else gain_text(measured),
        )
        for number, (step, measured) in enumerate(rows, 1)
    )


def plan_lines(tuning: Tuning) -> tuple[PlanLine, ...]:
    """Both plans side by side, what differs marked; of an unchanged pipeline its plan."""
    if not tuning.changed:
        return tuple(PlanLine(False, line) for line in plan_text(tuning.given).splitlines())
    lines = side_by_side(tuning.given, tuning.plan).splitlines()
    return tuple(PlanLine(line.startswith("*"), line[2:]) for line in lines)


def declined_rows(tuning: Tuning) -> tuple[tuple[str, str, str], ...]:
    """Rule, stage and reason, where one could have helped a stage of the given pipeline and may not."""
    own = item_names(tuning.given)
    return tuple((rule, d.stage, d.reason) for rule, d in tuning.search.declined if d.stage in own)


def figure_rows(tuning: Tuning, trials: TrialsInfo, runs: Mapping[str, Record]) -> tuple[FigureRow, ...]:
    """The numbers of both pipelines: measured in the trials and in the short runs, and predicted."""
    rows = [*_trial_rows(tuning, trials), *_run_rows(tuning, runs), *_predicted_rows(tuning)]
    return tuple(row for row in rows if (row.before, row.after) != (units.ABSENT, units.ABSENT))


def _trial_rows(tuning: Tuning, trials: TrialsInfo) -> list[FigureRow]:
    before = next((row for row in trials.rows if row.name == GIVEN), None)
    after = next((row for row in trials.rows if row.is_used), None) if tuning.changed else None
    rates = [units.number(row.rate) if row is not None else units.ABSENT for row in (before, after)]
    times = gain_text(tuning.decision.over_given) if tuning.changed else units.ABSENT
    return [FigureRow("examples per second", "measured in the trials", rates[0], rates[1], times)]


def _run_rows(tuning: Tuning, runs: Mapping[str, Record]) -> list[FigureRow]:
    names = (BEFORE, AFTER) if tuning.changed else (GIVEN, "")
    found = [account(runs[name]) if name in runs else None for name in names]

    def row(what: str, value: Callable[[Account], float | None], text: Callable[[float | None], str]) -> FigureRow:
        values = [None if each is None else value(each) for each in found]
        return FigureRow(what, "measured in a short run", text(values[0]), text(values[1]), _times(*values))

    causes = [units.ABSENT if each is None else main_cause(each.stalls) or units.ABSENT for each in found]
    emulated = any(record.has_consumer for record in runs.values())
    return [
        row("examples per second", lambda each: each.elements_per_s, units.number),
        *([_without_times(row(*AU, units.percent)), _without_times(row(*IDLE, units.percent))] if emulated else []),
        row("first batch after", lambda each: each.first_batch_s, units.seconds),
        FigureRow("waits most for", "measured in a short run", causes[0], causes[1], units.ABSENT),
    ]


def _idle_percent(figures: Account) -> float | None:
    idle = figures.accelerator_idle_s
    return None if idle is None or not figures.wall_s else 100 * idle / figures.wall_s


AU: Final = ("accelerator utilization (AU)", lambda each: each.utilization_percent)
PREDICTED_AU: Final = ("accelerator utilization (AU)", lambda each: 100 * each.utilization)
IDLE: Final = ("accelerator idle, of the whole run", _idle_percent)


def _without_times(row: FigureRow) -> FigureRow:
    return row._replace(times=units.ABSENT)


def predictions(tuning: Tuning) -> tuple[Prediction | None, Prediction | None]:
    """What the model says of the given pipeline and of the one that is used; None where nothing was predicted."""
    if tuning.steps:
        return tuning.steps[0].before, tuning.steps[-1].after
    before = next((found.prediction for found in tuning.search.found if not found.steps), None)
    return before, predict(tuning.plan, tuning.facts) if tuning.changed and before is not None else None


def _predicted_rows(tuning: Tuning) -> list[FigureRow]:
    found = predictions(tuning)

    def row(what: str, value: Callable[[Prediction], float], text: Callable[[float | None], str]) -> FigureRow:
        values = [None if each is None else value(each) for each in found]
        return FigureRow(what, "predicted", text(values[0]), text(values[1]), _times(*values))

    later = any(each is not None and each.steady_rows_per_s != each.rows_per_s for each in found)
    limits = [units.ABSENT if each is None else each.bottleneck for each in found]
    return [
        row(f"examples per second{', first epoch' if later else ''}", lambda each: each.rows_per_s, units.number),
        *(
            [row("examples per second, later epochs", lambda each: each.steady_rows_per_s, units.number)]
            if later
            else []
        ),
        *([_without_times(row(*PREDICTED_AU, units.percent))] if tuning.facts.step_s else []),
        row("first batch after", lambda each: each.first_batch_s, units.seconds),
        row("memory at the most", lambda each: each.peak_bytes, units.size),
        FigureRow("limited by", "predicted", limits[0], limits[1], units.ABSENT),
    ]


def _times(before: float | None, after: float | None) -> str:
    return units.ratio(after / before) if before and after is not None else units.ABSENT


def proof_facts(equality: Equality) -> tuple[tuple[str, str], ...]:
    """What was compared and what came of it, by name."""
    count = f"{units.plural(equality.elements, 'element')} of the given pipeline (a batch is one)"
    errors = f"at most {equality.errors.absolute:.3g} apart, {equality.errors.relative:.3g} of the larger one"
    facts = [
        ("compared", f"{count}: {'all of them' if equality.whole else 'the first ones'}"),
        ("how", "one by one, in order" if equality.ordered else "as a multiset of rows, in any order"),
        ("floats", errors if equality.errors.absolute else "no difference"),
    ]
    if equality.difference is not None:
        facts.append(("first difference", str(equality.difference)))
    if equality.fresh is not None:
        frozen = ", ".join(equality.fresh.frozen)
        facts.append(("drawn anew in every epoch", f"no: {frozen}" if frozen else "as in the given pipeline"))
    return tuple(facts)
