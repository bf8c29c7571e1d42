"""Does the profiler tell the truth? Costs, utilization and stalls against what is known.

    python benchmarks/truth.py [--rounds N] [--json FILE]

1. The cost for an element of every stage above 50 us, within 10 % of what is known of it in three ways:
   - by a clock inside the stage's own function: is the time given to the right stage?
   - by the same clock in the same pipeline without the profiler, run in turns: is it the profiler that makes the work slow?
   - by the same work in the same order run alone between the batches, without tf.data, milliseconds apart, since a shared machine
     changes its speed all the time. The bound is for work that costs alone what it costs in the pipeline, within 5 %, as the
     clock tells without the profiler; other work (where threads share the cores or caches are colder) is printed to compare.
2. Accelerator utilization: within 3 points of S / (S + P) without and S / max(S, P) with prefetch, for a step of S seconds and a
   batch that takes P seconds to make, S / P = 1/4, 1 and 4. The work is real, and goes on until P is over.
3. The sum of stalls: within 2 % of the time that the consumer was seen to wait. What it is charged to, in a sequential pipeline
   that reads and computes: extract and transform within 10 % of the clocks inside the functions.

Prints a table with 95 % intervals. An error beyond the bound is undecided if its interval reaches within: more rounds tell. Exit
codes: 0 all bounds hold, 1 one is missed, 3 none is missed but one is undecided. Wants a machine that does nothing else.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from intervals import Estimate, Values, median_interval
from known import (
    Alone,
    Floats,
    Work,
    alone,
    clocked_pipe,
    pieces_for,
    read_work,
    records_alone,
    regex_work,
    spent_s,
    write_files,
    write_gzip_records,
)

import pipeline_opt as po
from pipeline_opt.variants import naive

LEAST_US = 50.0
COST_BOUND, UTILIZATION_BOUND, STALL_BOUND = 0.10, 3.0, 0.02

SAME_WORK = 0.05
"""The work alone tells what it costs in a pipeline as far as a clock says that it costs the same there, without the profiler."""

SMALL_US = 60.0
"""What the smallest work takes, about, on any machine: hardly more than what the bound holds from."""

RECORD_BYTES, RECORDS, RECORD_BATCH, FILE_BYTES, FILES = 60_000, 400, 64, 1_000_000, 64
BATCH = {"small": 256, "middle": 64, "large": 16, "read": 128}
"""Elements in a batch by the costliest work, so that a batch takes as long as running the work alone."""

SETTLE_S = 0.04
"""How long a step waits before it runs the work alone, where a pipeline makes something ahead, so that it is done with it;
nothing may keep it going, as a prefetch would that TensorFlow adds. Where nothing is made ahead, the batch and the work
alone follow each other at once, which a machine that changes its speed disturbs least."""

MAKING_S, PARTS, PART = 0.1, 2, regex_work("part", 1)
"""P, the elements of such a batch, and what they are made of. To take a batch that is ready costs a millisecond: little of P."""

COST_STEPS, CAUSE_STEPS, LOOP_STEPS = 20, 40, 30

TO_COMPARE, OK, UNDECIDED, MISSED = "to compare", "ok", "undecided", "MISSED"
"""An error beyond the bound is undecided if its interval reaches within: on a noisy machine two runs differ by that much."""


class Line(NamedTuple):
    """One thing that was checked: what it should be, what it was, and by how much it may miss; no bound: only to compare."""

    what: str
    known: float
    found: float
    error: Estimate
    bound: float | None

    @property
    def verdict(self) -> str:
        if self.bound is None:
            return TO_COMPARE
        if abs(self.error.middle) <= self.bound:
            return OK
        return MISSED if self.error.low > self.bound or self.error.high < -self.bound else UNDECIDED


@dataclass(frozen=True, eq=False)
class Case:
    """A pipeline with stages of known cost.

    Args:
        name: What it is.
        pipe: The pipeline.
        clocked: The stages with a clock of their own, in order.
        alone: The work of its stages alone.
        settle_s: How long it goes on after a batch was taken.
    """

    name: str
    pipe: po.Pipeline
    clocked: list[str]
    alone: Alone
    settle_s: float = SETTLE_S


def cases(folder: Path) -> Iterator[Case]:
    """Pipelines with one and several maps, sequential and parallel, with a batch, and with reading of two kinds."""
    read = read_work("read", write_files(folder / "files", FILES, FILE_BYTES))
    small, middle, large = regex_works()
    for works in ((small,), (middle,), (large,), (small, large), (middle, small, large), (read,)):
        yield from (_maps(works, parallelism) for parallelism in (None, 1, 2))
    for parallelism in (1, 2):
        pipe = clocked_pipe((middle,), parallelism).batch(BATCH[middle.name]).options(autotune=False)
        name = f"middle, fused with the batch, parallelism {parallelism}"
        yield Case(name, pipe, [middle.name], alone([middle], BATCH[middle.name], parallelism))
    gzip = folder / "records.gz"
    write_gzip_records(gzip, RECORDS, RECORD_BYTES)
    reading = po.Pipeline.from_tfrecords(str(gzip), compression="GZIP").interleave(cycle_length=1).batch(RECORD_BATCH)
    for name, pipe, settle_s in (("sequential", naive(reading), 0.0), ("interleaved", reading.prefetch(1), SETTLE_S)):
        known = records_alone("interleave", str(gzip), "GZIP", RECORD_BATCH)
        yield Case(f"gzip records, {name}", pipe, [], known, settle_s=settle_s)


@cache
def regex_works() -> tuple[Work, Work, Work]:
    """Work in one op, in 4 and in 15, sized for this machine."""
    pieces = pieces_for(SMALL_US)
    return regex_work("small", 1, pieces), regex_work("middle", 4, pieces), regex_work("large", 15, pieces)


def _maps(works: Sequence[Work], parallelism: int | None) -> Case:
    """Maps one after another."""
    pipe = clocked_pipe(works, parallelism).batch(BATCH[works[-1].name])
    form = pipe.options(default_optimizations=False) if parallelism else naive(pipe)
    title = " + ".join(work.name for work in works)
    how = f"parallelism {parallelism}" if parallelism else "sequential"
    clocks, known = [work.name for work in works], alone(works, BATCH[works[-1].name], parallelism or 1)
    return Case(f"{title}, {how}", form, clocks, known, SETTLE_S if parallelism else 0.0)


def check_costs(folder: Path, rounds: int) -> Iterator[Line]:
    """What the profiler says of each stage, against all that is known of its cost.

    A round takes every case once: what disturbs the machine for a while disturbs a few rounds of each, not one case.
    """
    taken: dict[Case, list[Round]] = {case: [] for case in cases(folder)}
    for number in range(rounds):
        print(f"costs: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for case, of_case in taken.items():
            of_case.append(_cost_round(case, profiled_first=number % 2 == 0))
    for case, of_case in taken.items():
        yield from _cost_lines(case, of_case)


class Round(NamedTuple):
    """Microseconds for an element by stage: as profiled, and as known in each way."""

    profiled: dict[str, float]
    own: dict[str, float]
    alone: dict[str, float]
    own_unprofiled: dict[str, float]
    alone_unprofiled: dict[str, float]


def _cost_round(case: Case, profiled_first: bool) -> Round:
    """Profile a pipeline and run it without the profiler."""
    profiled, unprofiled = Step(case), Step(case)
    costs: dict[str, float] = {}

    def profile() -> None:
        run = po.profile(case.pipe, profiled, steps=COST_STEPS, trace="full")
        costs.update({stage.name: stage.us_per_element or 0.0 for stage in run.stages})

    def loop() -> None:
        for batch in islice(case.pipe.build(), COST_STEPS):
            unprofiled(batch)

    for turn in (profile, loop) if profiled_first else (loop, profile):
        turn()
    return Round(costs, profiled.own_us(), profiled.alone_us(), unprofiled.own_us(), unprofiled.alone_us())


def _cost_lines(case: Case, rounds: Sequence[Round]) -> Iterator[Line]:
    """Every stage of a case against each way in which its cost is known."""
    for stage in rounds[0].alone:
        profiled, own, alone, own_unprofiled, alone_unprofiled = (
            np.array([us.get(stage, np.nan) for us in column]) for column in zip(*rounds, strict=True)
        )
        same_work = stage not in case.clocked or abs(np.median(own_unprofiled / alone_unprofiled) - 1) <= SAME_WORK
        clocks = {"own clock": own, "own clock, unprofiled": own_unprofiled} if stage in case.clocked else {}
        for way, known in (clocks | {"alone": alone}).items():
            if np.median(known) >= LEAST_US:
                bound = COST_BOUND if same_work or way != "alone" else None
                yield _line(f"{case.name}: {stage}, us, {way}", known, profiled, profiled / known - 1, bound)


class Step:
    """Does the work of a batch alone, and keeps the clocks that the batch brought."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._alone: list[Mapping[str, float]] = []
        self._spent_s: list[Floats] = []

    def __call__(self, batch: Any) -> None:
        time.sleep(self._case.settle_s)
        self._alone.append(self._case.alone())
        if self._case.clocked:
            self._spent_s.append(spent_s(batch))

    def alone_us(self) -> dict[str, float]:
        """Microseconds for an element of each stage's work alone."""
        return {name: statistics.fmean(us[name] for us in self._alone) for name in self._alone[0]}

    def own_us(self) -> dict[str, float]:
        """Microseconds for an element by each stage's own clock."""
        if not self._spent_s:
            return {}
        return dict(zip(self._case.clocked, (np.concatenate(self._spent_s).mean(axis=0) * 1e6).tolist(), strict=True))


def check_causes(folder: Path, rounds: int) -> Iterator[Line]:
    """Stalls by cause, where what the consumer waits for has a clock.

    All that a map does beside reading is transform: 10 to 20 us where it reads a megabyte, little against the large work.
    """
    read = read_work("read", write_files(folder / "causes", FILES, FILE_BYTES))
    *_, large = regex_works()
    after = Work("large", lambda path: large.function(tf.strings.join([path, large.elements[0]])), read.elements)
    for works in ((read,), (large,), (read, after)):
        pipe = naive(clocked_pipe(works, None).batch(BATCH[works[-1].name]))
        causes = {"extract" if work is read else "transform": i for i, work in enumerate(works)}
        pairs: dict[str, list[tuple[float, float]]] = {cause: [] for cause in causes}
        for _ in range(rounds):
            kept: list[Any] = []
            run = po.profile(pipe, kept.append, steps=CAUSE_STEPS, trace="full")
            stalls = run.summary()["stalls"]
            # The wait for the first batch is charged to filling.
            known_s = np.concatenate([spent_s(batch) for batch in kept[1:]]).sum(axis=0)
            for cause, i in causes.items():
                pairs[cause].append((float(known_s[i]), stalls[cause]))
        for cause, both in pairs.items():
            known, found = ([1e3 * value for value in column] for column in zip(*both, strict=True))
            title = f"{' + '.join(work.name for work in works)}, sequential: waits for {cause}, ms"
            yield _line(title, known, found, [f / k - 1 for k, f in zip(known, found, strict=True)], COST_BOUND)


def check_utilization(rounds: int) -> Iterator[Line]:
    """AU and stalls of a pipeline that takes P for a batch, under steps of S."""
    element = po.Pipeline.from_tensors([PART.elements[0]]).repeat()
    made = element.map(work_for_long, num_parallel_calls=None).batch(PARTS)
    forms = {"without prefetch": naive(made), "with prefetch": made.prefetch(2)}
    for ratio in (0.25, 1.0, 4.0):
        for name, pipe in forms.items():
            expected, found, stalls = [], [], []
            for _ in range(rounds):
                making_s = _seconds_a_batch(pipe)
                step_s = ratio * making_s
                both = step_s + making_s if name == "without prefetch" else max(step_s, making_s)
                expected.append(100 * step_s / both)
                run = po.profile(pipe, po.Accelerator(step_s), steps=LOOP_STEPS, trace="auto")
                found.append(run.summary()["accelerator"]["utilization_percent"])
                stalls.append(_stalls_against_wait(pipe, step_s))
            title, errors = f"S/P = {ratio:g}, {name}", [f - e for f, e in zip(found, expected, strict=True)]
            yield _line(f"{title}: AU, percent", expected, found, errors, UTILIZATION_BOUND)
            yield _line(f"{title}: stalls / idle time", [1.0] * rounds, [1 + s for s in stalls], stalls, STALL_BOUND)


def _seconds_a_batch(pipe: po.Pipeline) -> float:
    """P: what a batch takes to make, in a bare loop."""
    batches = iter(pipe.build())
    for _ in range(4):
        next(batches)
    start = time.perf_counter()
    for _ in range(20):
        next(batches)
    return (time.perf_counter() - start) / 20


def work_for_long(element: Any) -> Any:
    """Do a part of the work again and again until an element's part of P is over, whatever the speed of the machine."""
    end = tf.timestamp() + MAKING_S / PARTS
    return tf.while_loop(
        lambda _: tf.timestamp() < end,
        lambda total: (total + PART.function(tf.strings.join([element, tf.as_string(total)])),),
        (tf.constant(0.0, tf.float64),),
    )


def _stalls_against_wait(pipe: po.Pipeline, step_s: float) -> float:
    """The relative error of the sum of stalls after the first batch, where the step itself notes for how long it was idle."""
    ended_s: list[float] = []
    waited_s = 0.0

    def step(_: Any) -> None:
        nonlocal waited_s
        if ended_s:
            waited_s += time.perf_counter() - ended_s[-1]
        time.sleep(step_s)
        ended_s.append(time.perf_counter())

    stalls = po.profile(pipe, step, steps=LOOP_STEPS, trace="auto").summary()["stalls"]
    return (sum(stalls.values()) - stalls["fill"]) / waited_s - 1


def _line(what: str, known: Values, found: Values, errors: Values, bound: float | None) -> Line:
    return Line(what, float(np.median(known)), float(np.median(found)), median_interval(errors), bound)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=18, help="rounds for each cost; a third of them for causes and utilization"
    )
    parser.add_argument("--only", choices=sorted(CHECKS), help="one of the three parts")
    parser.add_argument("--json", type=Path, help="write the lines to a file")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    warnings.simplefilter("ignore", po.PlanWarning)
    lines = []
    print(f"{'':78}{'known':>9}{'found':>9}   error [95 % interval]        bound")
    with tempfile.TemporaryDirectory() as folder:
        for name, check in CHECKS.items():
            if arguments.only in (None, name):
                for line in check(Path(folder), arguments.rounds):
                    lines.append(line)
                    _print(line)
    if arguments.json:
        arguments.json.write_text(json.dumps([line._asdict() for line in lines], indent=1))
    verdicts = Counter(line.verdict for line in lines)
    counts = ", ".join(f"{verdict}: {verdicts[verdict]}" for verdict in (OK, UNDECIDED, MISSED, TO_COMPARE))
    print(f"{counts}; TensorFlow {tf.__version__}")
    return 1 if verdicts[MISSED] else 3 if verdicts[UNDECIDED] else 0


CHECKS: dict[str, Callable[[Path, int], Iterator[Line]]] = {
    "costs": check_costs,
    "causes": lambda folder, rounds: check_causes(folder, max(3, rounds // 3)),
    "utilization": lambda _, rounds: check_utilization(max(3, rounds // 3)),
}


def _print(line: Line) -> None:
    bound = "" if line.bound is None else f"{line.bound:g}"
    print(f"{line.what:78}{line.known:9.1f}{line.found:9.1f}   {line.error!s:28} {bound:6}{line.verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
