"""What a run says, in one sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from pipeline_opt.accounting import Account, account
from pipeline_opt.record import PHASES, Record, StageRecord
from pipeline_opt.reports import units
from pipeline_opt.reports.advice import Case, advise
from pipeline_opt.reports.phases import HOST
from pipeline_opt.reports.stage_costs import threads_of, work_in

KEEPS_UP_PERCENT: Final = 95.0

_WAITS_FOR: Final = {
    "extract": "reading (extract)",
    "transform": "work on the host (transform)",
    "load": "the copy of batches to it (load)",
    "fill": "the first batches (fill)",
    "refill": "the pipeline to fill again (refill)",
    "teardown": "iterators to end (teardown)",
    "overhead": "the hand-over of batches (overhead)",
}


class Verdict(NamedTuple):
    """One sentence, the phase and the stage that limit the run (None where that is not known), and next steps."""

    sentence: str
    bottleneck_phase: str | None
    bottleneck_stage: str | None
    advice: tuple[str, ...]


def verdict(record: Record) -> Verdict:
    """Judge a run: who waits for what, and what the record says could be done.

    The phase is the one to which most waiting is charged; the stage is the one with the most work for each of its
    threads in that phase. Without traces nothing can be charged, and the sentence says so.
    """
    return judge(record, account(record))


def judge(record: Record, figures: Account) -> Verdict:
    """The verdict on a run whose account is known."""
    if not len(record.steps) and not len(record.epochs) and not record.partial:
        return Verdict("No step was asked for.", None, None, ())
    if not len(record.steps):
        reason = record.partial_reason or "the pipeline has no elements"
        return Verdict(f"No batch arrived: {reason}.", None, None, ())
    cause = main_cause(figures.stalls)
    cause = None if cause == "unattributed" else cause
    consumer = record.has_consumer
    stage = limiting_stage(record, cause) if cause in PHASES or cause is None else None
    if consumer and figures.utilization_percent is not None and figures.utilization_percent >= KEEPS_UP_PERCENT:
        share = units.percent(figures.utilization_percent)
        filling = figures.stalls.get("fill", 0.0)
        long = 100 * filling > (100 - KEEPS_UP_PERCENT) * figures.wall_s
        after = f", once the first batch is there after {units.seconds(filling)}" if long else ""
        sentence = f"The input pipeline keeps up: the accelerator computes {share} of the time{after}."
        return Verdict(_mark(sentence, record), None, None, ())
    if consumer and figures.utilization_percent is None:
        count = units.plural(figures.steps, "step")
        sentence = f"After {count} the accelerator's utilization is not known: it leaves the first step out."
        return Verdict(_mark(sentence, record), None, None, ())
    sentence = _waits(figures, cause, stage, record) if consumer else _drains(figures, cause, stage)
    phase = cause if cause in PHASES else None
    if phase is None and stage is not None:
        phase = stage.phase
    advice = advise(Case(record, figures, cause, stage))
    return Verdict(_mark(sentence, record), phase, stage.name if stage else None, advice)


def limiting_stage(record: Record, phase: str | None) -> StageRecord | None:
    """The stage with the most work for each of its threads, in one phase or in all."""
    phases = [phase] if phase is not None else list(HOST)
    cores = record.environment.cores

    def load(stage: StageRecord) -> float:
        return sum(work_in(stage, each) for each in phases) / threads_of(stage, cores)

    best = max(record.stages, key=load, default=None)
    return best if best is not None and load(best) > 0 else None


def main_cause(stalls: Mapping[str, float]) -> str | None:
    """The cause of most waiting, by seconds for each cause; None where nothing waited.

    Utilization leaves the start of a run out, so the filling of the pipeline counts only where it outweighs all else.
    """
    stalls = {cause: seconds for cause, seconds in stalls.items() if seconds > 0}
    fill = stalls.pop("fill", 0.0)
    if fill > sum(stalls.values()):
        return "fill"
    return max(stalls, key=lambda name: stalls[name], default=None)


def _waits(figures: Account, cause: str | None, stage: StageRecord | None, record: Record) -> str:
    steady = sum(figures.stalls.values()) - figures.stalls.get("fill", 0.0)
    if cause == "fill" and figures.wall_s > 0:
        # Utilization leaves the start out; a sentence about the start is about the whole run.
        idle = units.percent(100 * (figures.accelerator_idle_s or 0.0) / figures.wall_s)
        most = "most of all " if steady > 0 else ""
        return f"The accelerator waits {idle} of the run, {most}for {_WAITS_FOR[cause]}."
    share = f"The accelerator waits {units.percent(100 - (figures.utilization_percent or 0.0))} of the time"
    if cause is None:
        costly = f"; by the model's counts {stage.name} ({stage.phase}) costs most" if stage else ""
        why = "no trace was taken" if not record.windows else "the trace holds no work"
        return f"{share}, for what is not known since {why}{costly}."
    most = "" if figures.stalls[cause] > 0.5 * steady else "most of all "
    what = f"{stage.name} ({cause})" if stage and cause in HOST else _WAITS_FOR.get(cause, cause)
    return f"{share}, {most}for {what}."


def _drains(figures: Account, cause: str | None, stage: StageRecord | None) -> str:
    gives = f"The pipeline gives {units.rate(figures.elements_per_s)}"
    if figures.elements_per_s is None:
        gives = f"The pipeline gave {units.plural(figures.elements, 'element')} in {units.seconds(figures.wall_s)}"
    if stage is None and cause in _WAITS_FOR:
        return f"{gives}; it waits most of all for {_WAITS_FOR[cause]}."
    if stage is None:
        return f"{gives}; what limits it is not known."
    doubt = "" if cause is not None else ", by the model's counts"
    return f"{gives}; {stage.name} ({cause or stage.phase}) limits it{doubt}."


def _mark(sentence: str, record: Record) -> str:
    if not record.partial:
        return sentence
    after = f"Partial run ({record.partial_reason or units.plural(len(record.steps), 'step')})"
    return f"{after}: {sentence[0].lower()}{sentence[1:]}"
