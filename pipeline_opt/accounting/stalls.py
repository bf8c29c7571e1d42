"""What the consumer waits for: every second in which it does not compute is charged to a cause."""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline_opt.accounting.intervals import (
    NOTHING,
    Spans,
    activity,
    covered,
    intersect,
    span,
    subtract,
    total,
    union,
)
from pipeline_opt.accounting.timeline import Timeline
from pipeline_opt.record import PHASES, Floats, Intervals, Ints, Record

CAUSES: Final = ("extract", "transform", "load", "fill", "refill", "teardown", "overhead", "unattributed")
"""Why a consumer waits; see `charge_stalls`."""

READER_SHARE: Final = 0.9
"""A stage with at least this share of extract in its work is one that reads, and hands on to others."""

CLEAR_SHARE: Final = 0.01
"""Time in which only one side works tells which one is short, if it is at least this share of that in which both do."""

_EXTRACT, _TRANSFORM = PHASES.index("extract"), PHASES.index("transform")


def charge_stalls(record: Record, timeline: Timeline) -> dict[str, float]:
    """Seconds of the consumer's wait by cause; their sum is the time in which it does not compute.

    A second goes to the first of these that it belongs to:

    - `load`: a batch is being copied to the device. Where it is copied so late because it came late, the second counts
      as a wait for it instead (`_late_batches`);
    - `teardown`: an iterator is being ended, with another one to follow;
    - `fill`: before the first step;
    - `refill`: from asking for a further iterator to its first batch;
    - a wait for an element, charged by who works meanwhile (`charge_waits`): `extract`, `transform`, or `overhead` if
      nobody does;
    - `overhead`: the rest: the loop's own time, and what a user's loop does between epochs.

    Waits outside the trace windows are charged in the proportions found inside. Without any inside they
    are `unattributed`, and there is no entry for extract and transform.
    """
    steps, epochs = record.steps, record.epochs
    left = timeline.gaps
    sets: dict[str, Spans] = {}
    for cause, spans in (
        ("load", union(steps.load_start, steps.load_end)),
        ("teardown", union(epochs.close_start, epochs.close_end)),
        ("fill", span(0.0, float(steps.train_start[0]) if len(steps) else timeline.wall_s)),
        ("refill", _refills(record, timeline)),
        (
            "wait",
            union(np.append(steps.wait_start, epochs.last_wait_start), np.append(steps.wait_end, epochs.last_wait_end)),
        ),
    ):
        sets[cause] = intersect(left, spans)
        left = subtract(left, spans)
    waited = sets.pop("wait")
    stalls = dict.fromkeys(CAUSES, 0.0) | {cause: total(spans) for cause, spans in sets.items()}
    stalls["overhead"] = total(left)
    late = _late_batches(record, timeline)
    stalls["load"] = max(0.0, stalls["load"] - total(late))
    waits = union(np.append(waited[0], late[0]), np.append(waited[1], late[1]))
    _charge_scaled(stalls, record.intervals, waits, intersect(waits, timeline.windows))
    return stalls


def charge_waits(intervals: Intervals, waits: Spans) -> dict[str, float]:
    """Seconds of some waits by what the pipeline does meanwhile, instant by instant.

    Where only extract or only transform works, it is charged. Where both do, one of two things is the case:

    - A stage does both, as a map that reads a file and decodes it. Its threads do one after the other, and less of
      either would make it as much faster: the instant is divided by the threads at work in each.
    - A reading stage works for later elements while others transform earlier ones. Then threads say nothing, for
      the one that is not short of anything works too, as long as its buffer has room. What tells is the time in which just one
      of the two works, while the consumer waits: the other one then lacks input, or room, so that the one at
      work holds up the pipeline. The time in which both work is divided as that time is; where there is next to
      none, by threads.
    """
    starts, ends, kind = intervals.start, intervals.end, _kinds(intervals)
    if not len(starts):
        return {"extract": 0.0, "transform": 0.0, "overhead": total(waits)}
    spans, counts = activity(starts, ends, kind, 4)
    seconds = covered(*spans, waits)
    reading, others = counts[0] + counts[1], counts[2] + counts[3]
    weight = _weight_of_reading(seconds, reading, others)
    extract = weight * _ratio(counts[0], reading) + (1 - weight) * _ratio(counts[2], others)
    active = reading + others > 0
    charged = float(np.sum(seconds[active]))
    to_extract = float(np.sum((seconds * extract)[active]))
    return {
        "extract": to_extract,
        "transform": charged - to_extract,
        "overhead": max(0.0, total(waits) - charged),
    }


def _late_batches(record: Record, timeline: Timeline) -> Spans:
    """The waits that training hid, but that left a copy to the device unhidden, which would have been done by then.

    A batch that is asked for while the step before trains can be copied meanwhile. If it comes late, training waits for its
    copy, too, which a faster link would not mend for long: the next batch would be as late. So the seconds in which training
    waits for a copy count as a wait for the batch, up to those in which one was hidden by the step before.
    """
    steps = record.steps
    if record.consumer.double_buffered:
        # The loading thread asks for a batch once it has loaded the one before.
        asked, came = steps.load_end[:-1], steps.load_start[1:]
    else:
        asked, came = steps.wait_start[1:], steps.wait_end[1:]
    start, end = np.maximum(asked, steps.train_start[:-1]), np.minimum(came, steps.train_end[:-1])
    waited_for = covered(steps.load_start, steps.load_end, timeline.gaps)[1:]
    late = np.minimum(waited_for, np.maximum(0.0, end - start))
    late[np.array(timeline.epochs, np.int64) - 1] = 0.0  # asked of another iterator
    return union(end - late, end)


def _charge_scaled(stalls: dict[str, float], intervals: Intervals, waits: Spans, inside: Spans) -> None:
    seconds, seen = total(waits), total(inside)
    if seen <= 0:
        if seconds > 0:
            del stalls["extract"], stalls["transform"]
        stalls["unattributed"] = seconds
        return
    for cause, charged in charge_waits(intervals, inside).items():
        stalls[cause] += charged * (seconds / seen)


def _refills(record: Record, timeline: Timeline) -> Spans:
    """From asking for a further iterator to its first batch."""
    if not timeline.epochs:
        return NOTHING
    steps = np.array(timeline.epochs)
    begun = timeline.step_start[steps]
    if len(record.epochs):
        # Of the iterators that begin at one step, all but the last were empty.
        last = np.searchsorted(np.array(record.epoch_starts), steps, side="right") - 1
        begun = record.epochs.start[last]
    return union(begun, record.steps.wait_end[steps])


def _kinds(intervals: Intervals) -> Ints:
    """0, 1: extract and transform in reading stages; 2, 3: in the others."""
    seconds = intervals.end - intervals.start
    stage = intervals.stage + 1
    count = int(stage.max(initial=0)) + 1
    work = np.bincount(stage, seconds, count)
    extract = np.bincount(stage, seconds * (intervals.phase == _EXTRACT), count)
    reads = extract >= READER_SHARE * work
    by_stage = np.where(intervals.stage < 0, intervals.phase == _EXTRACT, reads[stage])
    return np.asarray(np.where(by_stage, 0, 2) + (intervals.phase == _TRANSFORM), np.int64)


def _weight_of_reading(seconds: Floats, reading: Ints, others: Ints) -> Floats:
    both = (reading > 0) & (others > 0)
    only_reading = float(np.sum(seconds[(reading > 0) & (others == 0)]))
    only_others = float(np.sum(seconds[(reading == 0) & (others > 0)]))
    alone = only_reading + only_others
    weight = np.where(reading > 0, 1.0, 0.0)
    if alone > CLEAR_SHARE * float(np.sum(seconds[both])):
        weight[both] = only_reading / alone
    else:
        weight[both] = _ratio(reading, reading + others)[both]
    return weight


def _ratio(part: Ints, whole: Ints) -> Floats:
    return np.asarray(part / np.maximum(whole, 1), np.float64)
