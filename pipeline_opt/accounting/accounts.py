"""The account of a run: every number that tables, figures and sentences show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline_opt.accounting.intervals import covered, intersect, span, total, union
from pipeline_opt.accounting.once import once
from pipeline_opt.accounting.phases import PhaseWork, Scale, read_scale, scale_phase
from pipeline_opt.accounting.stalls import charge_stalls
from pipeline_opt.accounting.timeline import Timeline, read_timeline
from pipeline_opt.record import PHASES, Floats, Record

SLOW_WINDOWS: Final = 1.05
"""A slowdown inside trace windows that is worth a note."""

MUCH_AHEAD: Final = 0.01
"""A share of extract that is fetched ahead and worth a note."""


@dataclass(frozen=True)
class PhaseAccount:
    """Thread-seconds of work, seconds with at least one thread at work, and the rest of the wall; None if unknown."""

    work_s: float | None
    busy_s: float | None
    idle_s: float | None


@dataclass(frozen=True)
class Account:
    """The numbers of a run. Whatever could not be measured is None, and a note says why.

    Args:
        phases: By phase; extract and transform from the trace windows, load and train from every step.
        steps: Steps that were completed.
        elements: Elements in them.
        bytes: Bytes in them.
        elements_per_s: In steady state: without the first step and the warm-up, from the end of the last of these on.
        bytes_per_s: Likewise.
        wall_s: From asking for the iterator to the end of the last step.
        first_batch_s: From the start to the first batch.
        utilization_percent: Computing time over running time, in the same span: MLPerf Storage's accelerator utilization
            (AU; Submission_guidelines.md, 4), which leaves out the first step. None without a consumer.
        accelerator_idle_s: Wall minus the time in which it computes. None without a consumer.
        sequential_s: What the phases would take one after another on one thread: their work, summed.
        pipelined_bound_s: What perfect overlap would take with the same resources; see `pipelined_bound`.
        overlap_efficiency: The bound over the wall, at most 1.
        stalls: Seconds in which the consumer does not compute, by cause; see `charge_stalls`.
        traced_share: The share of the wall that trace windows cover, 0 to 1.
        notes: Sentences on what was scaled, left out or could not be known.
    """

    phases: dict[str, PhaseAccount]
    steps: int
    elements: int
    bytes: int
    elements_per_s: float | None
    bytes_per_s: float | None
    wall_s: float
    first_batch_s: float | None
    utilization_percent: float | None
    accelerator_idle_s: float | None
    sequential_s: float | None
    pipelined_bound_s: float | None
    overlap_efficiency: float | None
    stalls: dict[str, float]
    traced_share: float
    notes: tuple[str, ...] = field(default=())


@once
def account(record: Record) -> Account:
    """Do the sums of a run. Exact for load, train, waits and rates; scaled from the windows for extract and transform."""
    timeline = read_timeline(record)
    steps, wall = record.steps, timeline.wall_s
    scale = read_scale(timeline)
    host = _host_work(record, scale)
    phases = _phases(record, timeline, host)
    works = [phases[phase].work_s for phase in PHASES]
    bound = pipelined_bound(record, timeline, host) if host else None
    consumed = record.has_consumer
    elements_per_s, bytes_per_s, utilization = _steady_state(record, timeline)
    return Account(
        phases=phases,
        steps=len(steps),
        elements=int(np.sum(steps.elements)),
        bytes=int(np.sum(steps.bytes)),
        elements_per_s=elements_per_s,
        bytes_per_s=bytes_per_s,
        wall_s=wall,
        first_batch_s=record.first_batch_s,
        utilization_percent=utilization if consumed else None,
        accelerator_idle_s=phases["train"].idle_s if consumed else None,
        sequential_s=sum(w for w in works if w is not None) if None not in works else None,
        pipelined_bound_s=bound,
        overlap_efficiency=bound / wall if bound is not None and wall > 0 else None,
        stalls=charge_stalls(record, timeline),
        traced_share=total(timeline.windows) / wall if wall > 0 else 0.0,
        notes=(*_notes(timeline, scale), *_ahead(record, phases["extract"].work_s)),
    )


def pipelined_bound(record: Record, timeline: Timeline, host: dict[str, PhaseWork]) -> float | None:
    """Seconds that the run would take if its phases overlapped perfectly, with the resources that it had.

    The time to the first batch, as it was, in which nothing can overlap; then the longest of what each resource still
    has to do: train and load their busy time, a host phase its work divided by the threads it had at once
    (for transform no more than there are cores), but no more than the time in which it was busy. This is the
    bottleneck law of operational analysis (Denning and Buzen, "The Operational Analysis of Queueing Network Models",
    Computing Surveys 10(3), 1978): throughput is at most one over the largest demand on any one resource.

    None without a step.
    """
    if not len(record.steps):
        return None
    fill = total(timeline.first_batch)
    later = span(fill, timeline.wall_s)
    steps = record.steps
    demands = [
        total(intersect(union(steps.train_start, steps.train_end), later)),
        total(intersect(union(steps.load_start, steps.load_end), later)),
    ]
    cores = max(1.0, record.environment.cores)
    for phase, limit in (("extract", np.inf), ("transform", cores)):
        work = host[phase]
        demands.append(min(work.later_busy_s, work.later_work_s / min(work.threads, limit)))
    return fill + max(demands)


def _host_work(record: Record, scale: Scale | None) -> dict[str, PhaseWork]:
    if scale is None or not scale.sees_steady:
        return {}
    return {phase: scale_phase(record.intervals, PHASES.index(phase), scale) for phase in ("extract", "transform")}


def _phases(record: Record, timeline: Timeline, host: dict[str, PhaseWork]) -> dict[str, PhaseAccount]:
    steps, wall = record.steps, timeline.wall_s
    unknown = PhaseAccount(None, None, None)
    phases = dict.fromkeys(PHASES, unknown)
    for phase, work in host.items():
        busy = min(work.busy_s, wall)
        phases[phase] = PhaseAccount(work.work_s, busy, wall - busy)
    for phase, start, end in (
        ("load", steps.load_start, steps.load_end),
        ("train", steps.train_start, steps.train_end),
    ):
        busy = total(intersect(union(start, end), timeline.whole))
        phases[phase] = PhaseAccount(_within(start, end, timeline), busy, max(0.0, wall - busy))
    return phases


def _within(start: Floats, end: Floats, timeline: Timeline) -> float:
    return float(np.sum(covered(start, end, timeline.whole)))


def _steady_state(record: Record, timeline: Timeline) -> tuple[float | None, float | None, float | None]:
    """Elements a second, bytes a second, and the percentage of time that trains."""
    steps, skipped = record.steps, record.skipped
    if len(steps) <= skipped:
        return None, None, None
    begin, end = float(timeline.step_end[skipped - 1]), float(timeline.step_end[-1])
    seconds = end - begin
    if seconds <= 0:
        return None, None, None
    trained = total(intersect(union(steps.train_start, steps.train_end), span(begin, end)))
    elements, nbytes = int(np.sum(steps.elements[skipped:])), int(np.sum(steps.bytes[skipped:]))
    return elements / seconds, nbytes / seconds, 100 * trained / seconds


def _ahead(record: Record, extract_s: float | None) -> list[str]:
    """How much of extract held no thread of tf.data."""
    ahead_s = sum(stage.ahead_s for stage in record.stages)
    if not extract_s or ahead_s < MUCH_AHEAD * extract_s:
        return []
    readers = ", ".join(stage.name for stage in record.stages if stage.ahead_s > 0)
    return [
        f"Of extract, {ahead_s / extract_s:.0%} was fetched ahead ({readers}): storage was at work, and no reader waited for it."
    ]


def _notes(timeline: Timeline, scale: Scale | None) -> list[str]:
    if scale is None:
        return ["No trace window: extract and transform times, and the causes of waits, are unknown."]
    notes = []
    share = total(timeline.windows) / timeline.wall_s
    if not scale.sees_steady:
        notes.append("No trace window covers a steady step: extract and transform times are unknown.")
    elif share < 0.98:
        notes.append(f"Extract and transform times are scaled from trace windows that cover {share:.1%} of the run.")
    if not scale.sees_start and scale.sees_steady:
        notes.append("No trace window covers the time to the first batch: extract and transform in it are left out.")
    if scale.slowdown is not None and scale.slowdown > SLOW_WINDOWS:
        notes.append(
            f"Steps took {scale.slowdown - 1:.0%} longer inside trace windows than outside: work found there is too "
            "high by up to as much."
        )
    return notes
