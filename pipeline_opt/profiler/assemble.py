"""From both instruments to the stages of the record. What neither of them saw stays absent, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline_opt.profiler.attribution import StageCost
from pipeline_opt.profiler.sampler import Totals
from pipeline_opt.profiler.stagemap import StageInfo, StageMap
from pipeline_opt.record import KnobSeries, OpCost, StageRecord

ONE_TO_ONE = frozenset({"map", "shuffle", "repeat", "cache", "prefetch", "prefetch_to_device", "options"})
"""Stages that give as many elements as they take, all repetitions together. Of a cache it holds while it is filled."""

FUNCTIONS = frozenset({"map", "filter", "flat_map", "interleave"})
"""Stages whose function runs once for every element that they take."""

ONE_TO_MANY = frozenset({"flat_map", "interleave", "bucket_by_sequence_length", "filter"})
"""Stages whose function does not run once for every element that they give."""

BATCHING = frozenset({"batch", "padded_batch", "ragged_batch"})

COPYING = frozenset({"batch", "padded_batch"})
"""Stages that cannot do without work: if the trace shows none, it did not look."""

ENDED = "tf.data forgets a stage's counts when its input ends, and the stages after it do not tell its elements"
"""Why a number of the model is not taken."""

OPS_KEPT = 8

MOST_EXTRACT = 0.1
"""Share of extract in all work up to which waiting for storage is too rare to matter for CPU time."""


class Observed(NamedTuple):
    """Everything that was seen of a run's stages.

    Args:
        costs: From the trace, one entry a stage.
        totals: From the model, by stage index.
        series: From the model, over time.
        steps: Elements that the consumer took.
        rows: Single elements in them.
        even: Whether all batches have one size, so that what does not fill one is dropped.
        drained: Whether every iterator was read to its end.
        epochs: How many iterators there were.
        whole: Whether the windows saw the whole run.
        scale: What to multiply the windows' seconds with to get the run's, for stages whose elements were not counted.
        share_on_core: Of the stages' thread-seconds, the share on a core; None if it cannot be told.
        no_trace: Why there is no trace, or "".
        no_model: Why there is no model, or "".
    """

    costs: list[StageCost]
    totals: Mapping[int, Totals]
    series: tuple[KnobSeries, ...]
    steps: int
    rows: int
    even: bool
    drained: bool
    epochs: int
    whole: bool
    scale: float
    share_on_core: float | None
    no_trace: str
    no_model: str


def share_on_core(costs: list[StageCost], on_core_s: float | None) -> float | None:
    """Of the thread-seconds that stages worked, the share that the process's CPU time can account for.

    With more threads at work than cores, each is off its core for part of its work; the kernel tells the total, and the trace
    does not tell whose it was, so that all get the same share. Where much of the work reads storage, threads are off their core
    for another reason, and nothing can be said.

    Args:
        costs: What the windows saw.
        on_core_s: CPU seconds of the process while they were open.
    """
    work_s = sum(sum(cost.work_s.values()) + cost.overhead_s for cost in costs)
    extract_s = sum(cost.work_s.get("extract", 0.0) for cost in costs)
    if on_core_s is None or work_s <= 0 or extract_s > MOST_EXTRACT * work_s:
        return None
    return min(1.0, on_core_s / work_s)


def stage_records(stages: StageMap, seen: Observed) -> tuple[StageRecord, ...]:
    """The stages of the record, in the plan's order."""
    counted = count_elements(stages, seen)
    return tuple(_record(i, info, counted[i], seen) for i, info in enumerate(stages.stages))


class _Known(NamedTuple):
    """What is known where a stage hands over to the next.

    Args:
        elements: How many it gave; None if that cannot be known from those after it.
        rows: Single elements in them, if they are the consumer's batches.
        repeated: Whether a repetition follows, or a cache: what the model says of a stage is then of its last pass.
    """

    elements: int | None
    rows: int | None = None
    repeated: bool = False


def count_elements(stages: StageMap, seen: Observed) -> list[int | None]:
    """Elements that each stage produced.

    The consumer's count holds for every stage up to the first that changes the number in a way that only it knows. Above it, a
    trace of the whole run counts the runs of functions, and the model says what a stage has made as long as it is asked before
    the stage ends: in a run that was cut short, in one pass. There a stage has made also what is in buffers.
    """
    counted: list[int | None] = [None] * len(stages.stages)
    left = [(len(counted) - 1, _Known(seen.steps, seen.rows))] if counted else []
    while left:
        i, known = left.pop()
        counted[i] = _produced(i, stages.stages[i].kind, known, seen)
        taken = _taken(i, stages.stages[i].kind, counted[i], known, seen)
        left += [(before, taken) for before in stages.inputs(i)]
    return counted


def _produced(i: int, kind: str, known: _Known, seen: Observed) -> int | None:
    """Elements that a stage gave, by those after it, the trace or the model."""
    total = seen.totals.get(i)
    alive = not seen.drained and seen.epochs == 1 and not known.repeated
    modelled = total.elements if total and alive else None
    traced = seen.costs[i].runs if seen.whole and kind == "map" else None
    return max((count for count in (known.elements, traced, modelled) if count is not None), default=None)


def _taken(i: int, kind: str, produced: int | None, known: _Known, seen: Observed) -> _Known:
    """What the stage before gave, as far as this one tells."""
    cached = kind == "cache" and (seen.epochs > 1 or known.repeated)
    repeated = known.repeated or kind in ("repeat", "cache")
    if seen.whole and kind in FUNCTIONS and seen.costs[i].runs:
        return _Known(seen.costs[i].runs, None, repeated)
    if kind in ONE_TO_ONE and not cached:
        return _Known(produced, known.rows, repeated)
    if kind in BATCHING and not (seen.even and seen.drained):
        return _Known(known.rows, None, repeated)
    return _Known(known.elements if kind == "zip" else None, None, repeated)


def _record(i: int, info: StageInfo, elements: int | None, seen: Observed) -> StageRecord:
    cost = seen.costs[i]
    total = seen.totals.get(i)
    scale = _scale(info, cost, elements, seen)
    work = {phase: seconds * scale for phase, seconds in cost.work_s.items()}
    phase = max(work, key=lambda p: work[p]) if work else info.phase
    unseen = info.kind in COPYING and not work
    measured = bool(cost.elements) and not seen.no_trace and not unseen
    window_work_s = sum(cost.work_s.values())
    absent = _absences(info, elements, total, seen, phase, measured)
    return StageRecord(
        name=info.name,
        kind=info.kind,
        phase=phase,
        elements=elements,
        bytes_in=_bytes(total, total.bytes_in if total else 0, elements),
        bytes_out=_bytes(total, total.bytes_out if total else 0, elements),
        work_s=sum(work.values()) if measured else None,
        cpu_s=None if "cpu_s" in absent else sum(work.values()) * (seen.share_on_core or 0.0),
        overhead_s=cost.overhead_s * scale if measured else None,
        ahead_s=cost.ahead_s * scale if measured else 0.0,
        us_per_element=window_work_s / cost.elements * 1e6 if measured else None,
        parallelism=info.parallelism,
        parallelism_chosen=_chosen(info, cost, seen),
        buffer_fill=_buffer_fill(info, seen),
        phase_work_s=work,
        ops=_costliest(cost, scale),
        absent=absent,
    )


def _scale(info: StageInfo, cost: StageCost, elements: int | None, seen: Observed) -> float:
    """What to multiply what the windows saw of a stage with.

    The run's elements for those of the windows, which may have seen a busier part of it than the rest; by time for stages where
    the cost is not for each element that they give.
    """
    if seen.whole:
        return 1.0
    counts_runs = info.kind in ONE_TO_MANY and cost.elements == cost.runs
    return elements / cost.elements if elements and cost.elements and not counts_runs else seen.scale


def _bytes(total: Totals | None, nbytes: int, elements: int | None) -> int | None:
    """Bytes of all elements of a stage, by those of the elements that the model counted."""
    if total is None or not total.elements or elements is None:
        return None
    return round(nbytes * elements / total.elements)


def _absences(
    info: StageInfo, elements: int | None, total: Totals | None, seen: Observed, phase: str, measured: bool
) -> dict[str, str]:
    absent = {}
    untraced = seen.no_trace or "nothing of this stage happened inside a trace window"
    if not seen.no_trace and info.kind in COPYING:
        untraced = "TensorFlow does not trace the copying of a parallel batch"
    unmodelled = seen.no_model or "TensorFlow's model of the pipeline does not show this stage"
    if not measured:
        absent.update(dict.fromkeys(("work_s", "overhead_s", "us_per_element", "cpu_s"), untraced))
    elif phase == "extract":
        absent["cpu_s"] = "the trace does not tell waiting for storage from computing"
    elif seen.share_on_core is None:
        absent["cpu_s"] = (
            "the kernel keeps no counters of thread time, waiting for storage hides what was off a core, or the training "
            "step uses the same cores"
        )
    if elements is None:
        absent["elements"] = unmodelled if total is None else ENDED
    if total is None or not total.elements or elements is None:
        absent.update(dict.fromkeys(("bytes_in", "bytes_out"), unmodelled if total is None else ENDED))
    return absent


def _chosen(info: StageInfo, cost: StageCost, seen: Observed) -> int | None:
    values = [s.value for s in seen.series if (s.stage, s.knob) == (info.name, "parallelism") and len(s.value)]
    if values:
        return int(values[0][-1])
    return cost.parallelism


def _buffer_fill(info: StageInfo, seen: Observed) -> float | None:
    fills = [s.value for s in seen.series if (s.stage, s.knob) == (info.name, "buffered_elements") and len(s.value)]
    return float(fills[0].mean()) if fills else None


def _costliest(cost: StageCost, scale: float) -> tuple[OpCost, ...]:
    ordered = sorted(cost.ops.items(), key=lambda item: -item[1][0])[:OPS_KEPT]
    return tuple(OpCost(op, seconds * scale, round(count * scale)) for op, (seconds, count) in ordered)
