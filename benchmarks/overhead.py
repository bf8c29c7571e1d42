"""What does profiling cost? One long run, its speed while an instrument is at work against its speed just before and after.

    python benchmarks/overhead.py [--seconds 240] [--only jpeg|cheap] [--json FILE]

Two pipelines that keep every core busy, JPEG decoding and cheap elements of some 100 us, their knobs fixed. Every element says
when its work was done, so that the pipeline's speed is known at any moment. The profiler's parts come and go all the time:

- a sample of the model, four a second: the elements done in the 40 ms from its start on, against the 40 ms before and after;
- a trace window, every few seconds, until its file is written: likewise, over the window's length and 0.25 s;
- its code in the loop, in every step: the microseconds by the loop's own clock, which a core spends and others go without.

`model` is loop and samples, `auto` all three, the first window counted by its events. Their bounds are 1 % and 3 %, and the 95 %
interval has to lie below. `nothing` are moments at which nothing happens, treated as samples and as windows are: it has to come
out as zero. Those of windows are from a second run, which is not traced, at the times at which the first opened one.
`whole_runs.py` compares whole runs with and without the profiler instead; on a shared machine it takes hours to tell one percent.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import sys
import time
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf
from impacts import Floats, away_from, lost_s
from intervals import Estimate, mean_interval
from loads import Clocks, command_line, pipelines

import pipeline_opt as po
from pipeline_opt.profiler.sampler import PERIOD_S
from pipeline_opt.record import Record

SAMPLE_SPAN_S = 0.04
WRITING_S = 0.25
"""How long after a window its file is written at the latest."""

SAMPLE_LEAD_S = 0.002
"""How long before the moment that it notes a sample begins, at most."""

BOUNDS = {"model": 1.0, "auto": 3.0}


class Run(NamedTuple):
    """A profiled run, and when each element's work was done, in seconds from its start."""

    record: Record
    done: Floats


def run(pipe: po.Pipeline, seconds: float, trace: Literal["auto", "off"]) -> Run:
    """Profile with the model sampled, and with trace windows or without."""
    clocks = Clocks()
    offsets: list[float] = []

    def consume(batch: Any) -> None:
        offsets.append(time.time())
        clocks(batch)

    record = po.profile(pipe, consume, seconds=seconds, trace=trace)
    offset = float(np.median(np.array(offsets) - record.steps.train_start))
    return Run(record, np.sort(clocks.spans()[1] - offset))


def parts(measured: Run, untraced: Run) -> dict[str, Estimate]:
    """Every part's cost in percent of the time."""
    record, done = measured
    opened = np.array([window.start_s for window in record.windows])
    lengths = np.array([window.end_s - window.start_s for window in record.windows])
    span_s = float(np.max(lengths[1:])) + WRITING_S
    sampled = np.unique(np.concatenate([series.time_s for series in record.knobs])) - SAMPLE_LEAD_S
    sampled = away_from(sampled, opened, 3 * SAMPLE_SPAN_S, span_s + 2 * SAMPLE_SPAN_S)
    # The first has no time before it to be held against: it counts as so many of the others as it is long.
    windows = float(np.sum(lengths) / np.mean(lengths[1:])) / record.wall_s

    def percent(values: Floats, per_s: float) -> Estimate:
        return Estimate(*(100 * per_s * value for value in mean_interval(list(values))))

    loop = 100 * loop_s(record) / record.environment.cores / (record.wall_s / len(record.steps))
    return {
        "loop": Estimate(loop, loop, loop),
        "samples": percent(lost_s(done, sampled, SAMPLE_SPAN_S), 1 / PERIOD_S),
        "windows": percent(lost_s(done, opened[1:], span_s), windows),
        "nothing, as samples": percent(lost_s(done, sampled + PERIOD_S / 2, SAMPLE_SPAN_S), 1 / PERIOD_S),
        "nothing, as windows": percent(lost_s(untraced.done, step_ends(untraced.record, opened[1:]), span_s), windows),
    }


def loop_s(record: Record) -> float:
    """What the profiler does in the loop in a step: measure the batch, and take note."""
    steps = record.steps
    return float(np.median(steps.train_start - steps.wait_end) + np.median(steps.wait_start[1:] - steps.train_end[:-1]))


def step_ends(record: Record, moments: Floats) -> Floats:
    """The ends of the steps under way at some moments, as windows begin at ends of steps."""
    ends = record.steps.train_end
    return ends[np.minimum(np.searchsorted(ends, moments), len(ends) - 1)]


def total(*estimates: Estimate) -> Estimate:
    """The sum of independent estimates."""
    middle = sum(e.middle for e in estimates)
    low = sum((e.middle - e.low) ** 2 for e in estimates) ** 0.5
    high = sum((e.high - e.middle) ** 2 for e in estimates) ** 0.5
    return Estimate(middle, middle - low, middle + high)


def main() -> int:
    arguments = command_line(__doc__, 240.0, "how long each of the two runs of a pipeline takes").parse_args()
    found: dict[str, Any] = {"tensorflow": tf.__version__}
    missed = False
    print(f"{'overhead, percent of the time':34}{'mean [95 % interval]':>26}   bound")
    for title, pipe in pipelines(arguments.only):
        measured = run(pipe, arguments.seconds, "auto")
        costs = parts(measured, run(pipe, arguments.seconds, "off"))
        costs["model"] = total(costs["loop"], costs["samples"])
        costs["auto"] = total(costs["model"], costs["windows"])
        for name, cost in costs.items():
            bound = BOUNDS.get(name)
            missed |= bound is not None and cost.high > bound
            verdict = "" if bound is None else f"{bound:<4g}{'ok' if cost.high <= bound else 'MISSED'}"
            print(f"{title + ', ' + name:34}{cost!s:>26}   {verdict}", flush=True)
        record = measured.record
        print(
            f"{'':4}{loop_s(record) * 1e6:.0f} us of a step of {record.wall_s / len(record.steps) * 1e3:.1f} ms on "
            f"{record.environment.cores:g} cores; {len(record.windows)} windows in {record.wall_s:.0f} s",
            flush=True,
        )
        found[title] = {name: cost._asdict() for name, cost in costs.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
