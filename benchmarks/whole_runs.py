"""Whole runs with and without the profiler: bare, with the model sampled, and with trace windows, in turns.

    python benchmarks/whole_runs.py [--rounds 9] [--seconds 20] [--only jpeg|cheap] [--json FILE]

Two pipelines, JPEG decoding and cheap elements of some 100 us, their knobs fixed, since AUTOTUNE would choose others every time.
Each round takes all forms one after another, over the same number of steps, in an order that changes from round to round; each
is held against the bare run of its round. Prints the overhead in percent of the wall time with a 95 % interval. There is no bound
here: that is what `overhead.py` is for, which can tell a percent.

A shared machine changes its speed by more than that from one second to the next. So each element also carries the time that
its own work took, by a clock inside it: the same work in every form. Wall time over what this work usually took in the run does
not depend on the machine's speed; `corrected` is the overhead in it, without what makes that work itself slower. A second bare
run, held against the first in the same way, shows what is left of the noise: its overhead is zero, and its interval is what this
benchmark can tell apart.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from intervals import Estimate, median_interval
from loads import Clocks, command_line, pipelines

import pipeline_opt as po

PREEMPTED = 2.5
"""Work that took so many times the median lost its core on the way; that says nothing of the machine's speed."""


class Pace(NamedTuple):
    """How long a run took, and how long an element's own work usually took in it, in seconds."""

    wall_s: float
    own_s: float


def own_s(clocks: Clocks) -> float:
    """What an element's own work took, the mean of those that kept their core."""
    start, end = clocks.spans()
    seconds = end - start
    return float(np.mean(seconds[seconds < PREEMPTED * np.median(seconds)]))


def bare(pipe: po.Pipeline, steps: int) -> Pace:
    """A plain loop."""
    dataset, clocks = pipe.build(), Clocks()
    start = time.perf_counter()
    iterator = iter(dataset)
    for _ in range(steps):
        clocks(next(iterator))
    return Pace(time.perf_counter() - start, own_s(clocks))


def profiled(pipe: po.Pipeline, steps: int, trace: Any) -> Pace:
    """The loop under the profiler, its first trace window included."""
    clocks = Clocks()
    return Pace(po.profile(pipe, clocks, steps=steps, trace=trace).wall_s, own_s(clocks))


FORMS: dict[str, Callable[[po.Pipeline, int], Pace]] = {
    "bare": bare,
    "bare again": bare,
    "model": lambda pipe, steps: profiled(pipe, steps, "off"),
    "auto": lambda pipe, steps: profiled(pipe, steps, "auto"),
}


class Overhead(NamedTuple):
    """Overhead of a form over the bare one, in percent: of the wall time, and corrected for the machine's speed."""

    wall: Estimate
    corrected: Estimate


def measure(pipe: po.Pipeline, seconds: float, rounds: int) -> dict[str, Overhead]:
    """Every form, in turns."""
    bare(pipe, 100)
    steps = max(20, round(seconds / (bare(pipe, 100).wall_s / 100)))
    paces: dict[str, list[Pace]] = {name: [] for name in FORMS}
    for number in range(rounds):
        for name in random.Random(number).sample(list(FORMS), len(FORMS)):
            paces[name].append(FORMS[name](pipe, steps))
    return {name: _overhead(paces[name], paces["bare"]) for name in FORMS if name != "bare"}


def _overhead(form: list[Pace], base: list[Pace]) -> Overhead:
    pairs = list(zip(form, base, strict=True))
    wall = [a.wall_s / b.wall_s for a, b in pairs]
    corrected = [(a.wall_s / a.own_s) / (b.wall_s / b.own_s) for a, b in pairs]
    return Overhead(*(median_interval([100 * (ratio - 1) for ratio in ratios]) for ratios in (wall, corrected)))


def main() -> None:
    parser = command_line(__doc__, 20.0, "about how long each run takes")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"tensorflow": tf.__version__}
    print(f"{'overhead, percent':20}{'of the wall time':>26}{'corrected':>26}")
    for title, pipe in pipelines(arguments.only):
        for name, overhead in measure(pipe, arguments.seconds, arguments.rounds).items():
            found[f"{title} {name}"] = {kind: estimate._asdict() for kind, estimate in overhead._asdict().items()}
            print(f"{title + ', ' + name:20}{overhead.wall!s:>26}{overhead.corrected!s:>26}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
