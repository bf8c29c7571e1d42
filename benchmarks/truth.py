"""Does the profiler tell the truth? Costs, utilization and stalls against what is known.

    python benchmarks/truth.py [--rounds N] [--json FILE]

1. The cost for an element of every stage above 50 us, within 10 % of what is known of the same run in two ways: by a clock inside
   the stage's own function, and by the same work run alone between the batches, without tf.data, milliseconds apart, since a
   shared machine changes its speed all the time. Where several workers share the cores, the same work really costs more than
   alone (and colder caches make small work cost more between large): there the bound is the clock's, and `alone`, on as many
   threads as the stage has workers, is printed to compare.
2. Accelerator utilization: within 3 points of S / (S + P) without and S / max(S, P) with prefetch, for a step of S seconds and a
   batch that takes P seconds to make, S / P = 1/4, 1 and 4. The work is real, and goes on until P is over.
3. The sum of stalls: within 2 % of the time that the consumer was seen to wait. What it is charged to, in a sequential pipeline
   that reads and computes: extract and transform within 10 % of the clocks inside the functions.

Prints a table and ends with exit code 1 if a line misses its bound. Wants a machine that does nothing else.
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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from intervals import Estimate, median_interval
from known import (
    Alone,
    Work,
    alone,
    clocked_pipe,
    read_work,
    records_alone,
    regex_work,
    write_files,
    write_gzip_records,
)

import pipeline_opt as po
from pipeline_opt.variants import naive

LEAST_US = 50.0
COST_BOUND, UTILIZATION_BOUND, STALL_BOUND = 0.10, 3.0, 0.02

SMALL, MIDDLE, LARGE = regex_work("small", 1), regex_work("middle", 4), regex_work("large", 15)
RECORD_BYTES, RECORDS, RECORD_BATCH, FILE_BYTES, FILES = 60_000, 400, 64, 1_000_000, 64
STEPS = 40
BATCH = {"small": 256, "middle": 64, "large": 16, "read": 128}
"""Elements in a batch by the costliest work, so that a batch takes as long as running the work alone."""

SETTLE_S = 0.08
"""How long a step waits before it runs the work alone, where a pipeline makes something ahead, so that it is done with it;
nothing may keep it going, as a prefetch would that TensorFlow adds. Where nothing is made ahead, the batch and the work
alone follow each other at once, which a machine that changes its speed disturbs least."""

MAKING_S, PARTS = 0.1, 2
"""P, and the elements of such a batch. To take a batch that is ready costs a millisecond, which P makes small."""

LOOP_STEPS = 30


class Line(NamedTuple):
    """One thing that was checked: what it should be, what it was, and by how much it may miss; no bound: only to compare."""

    what: str
    known: float
    found: float
    error: Estimate
    bound: float | None

    @property
    def holds(self) -> bool:
        return self.bound is None or abs(self.error.middle) <= self.bound


class Case(NamedTuple):
    """A pipeline with stages of known cost.

    Args:
        name: What it is.
        pipe: The pipeline.
        clocked: The stages with a clock of their own, in order.
        alone: The work of stages alone, by stage.
        one_worker: Whether no more than one of its threads works at a time, as alone.
        settle_s: How long it goes on after a batch was taken.
    """

    name: str
    pipe: po.Pipeline
    clocked: list[str]
    alone: dict[str, Alone]
    one_worker: bool
    settle_s: float = SETTLE_S


def cases(folder: Path) -> Iterator[Case]:
    """Pipelines with one and several maps, sequential and parallel, with a batch, and with reading of two kinds."""
    read = read_work("read", write_files(folder / "files", FILES, FILE_BYTES))
    for works in ((SMALL,), (MIDDLE,), (LARGE,), (SMALL, LARGE), (MIDDLE, SMALL, LARGE), (read,)):
        yield from (_maps(works, parallelism) for parallelism in (None, 1, 2))
    for parallelism in (1, 2):
        pipe = clocked_pipe((MIDDLE,), parallelism).batch(BATCH["middle"]).options(autotune=False)
        name = f"middle, fused with the batch, parallelism {parallelism}"
        yield Case(name, pipe, [MIDDLE.name], {MIDDLE.name: alone(MIDDLE, parallelism)}, one_worker=False)
    gzip = folder / "records.gz"
    write_gzip_records(gzip, RECORDS, RECORD_BYTES)
    reading = po.Pipeline.from_tfrecords(str(gzip), compression="GZIP").interleave(cycle_length=1).batch(RECORD_BATCH)
    for name, pipe, settle_s in (("sequential", naive(reading), 0.0), ("interleaved", reading.prefetch(1), SETTLE_S)):
        known = {"interleave": records_alone(str(gzip), "GZIP", RECORD_BATCH)}
        yield Case(f"gzip records, {name}", pipe, [], known, one_worker=True, settle_s=settle_s)


def _maps(works: Sequence[Work], parallelism: int | None) -> Case:
    """Maps one after another."""
    pipe = clocked_pipe(works, parallelism).batch(BATCH[works[-1].name])
    form = pipe.options(default_optimizations=False) if parallelism else naive(pipe)
    title = " + ".join(work.name for work in works)
    how = f"parallelism {parallelism}" if parallelism else "sequential"
    known = {work.name: alone(work, parallelism or 1) for work in works}
    one_worker = parallelism is None or (parallelism == 1 and len(works) == 1)
    return Case(f"{title}, {how}", form, list(known), known, one_worker, SETTLE_S if parallelism else 0.0)


def check_costs(folder: Path, rounds: int) -> Iterator[Line]:
    """What the profiler says of each stage, against the stage's own clock and against the work alone."""
    for case in cases(folder):
        pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(rounds):
            costs, truths = _cost_run(case)
            for key, known in truths.items():
                pairs.setdefault(key, []).append((known, costs[key[0]]))
        for (name, how), both in pairs.items():
            known, found = (list(column) for column in zip(*both, strict=True))
            if statistics.median(known) >= LEAST_US:
                errors = [f / k - 1 for k, f in both]
                bound = COST_BOUND if case.one_worker or how == "own clock" else None
                yield _line(f"{case.name}: {name}, us, {how}", known, found, errors, bound)


def _cost_run(case: Case) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Microseconds for an element of each stage as profiled, and as known by its own clock and alone."""
    clocks: list[Any] = []

    def step(batch: Any) -> None:
        time.sleep(case.settle_s)
        for work in case.alone.values():
            work.measure()
        if case.clocked:
            clocks.append([clock.numpy() for clock in batch[1:]])

    run = po.profile(case.pipe, step, steps=STEPS, trace="full")
    costs = {stage.name: stage.us_per_element or 0.0 for stage in run.stages}
    truths = {(name, "alone"): work.take_us() for name, work in case.alone.items()}
    for name, stamps in zip(case.clocked, zip(*clocks, strict=True), strict=True):
        start, end, _ = np.concatenate(stamps).T
        truths[name, "own clock"] = float(np.mean(end - start)) * 1e6
    return costs, truths


def check_causes(folder: Path, rounds: int) -> Iterator[Line]:
    """Stalls by cause, where what the consumer waits for has a clock.

    All that a map does beside reading is transform: 10 to 20 us where it reads a megabyte, little against the large work.
    """
    read = read_work("read", write_files(folder / "causes", FILES, FILE_BYTES))
    after = Work("large", lambda path: LARGE.function(tf.strings.join([path, LARGE.elements[0]])), read.elements)
    for works in ((read,), (LARGE,), (read, after)):
        pipe = naive(clocked_pipe(works, None).batch(BATCH[works[-1].name]))
        causes = {"extract" if work is read else "transform": i for i, work in enumerate(works)}
        pairs: dict[str, list[tuple[float, float]]] = {cause: [] for cause in causes}
        for _ in range(rounds):
            clocks: list[Any] = []
            run = po.profile(pipe, lambda batch, kept=clocks: kept.append(batch[1:]), steps=STEPS, trace="full")
            stalls = run.summary()["stalls"]
            for cause, i in causes.items():
                # The wait for the first batch is charged to filling.
                start, end, _ = np.concatenate([batch[i].numpy() for batch in clocks[1:]]).T
                pairs[cause].append((float(np.sum(end - start)), stalls[cause]))
        for cause, both in pairs.items():
            known, found = ([1e3 * value for value in column] for column in zip(*both, strict=True))
            title = f"{' + '.join(work.name for work in works)}, sequential: waits for {cause}, ms"
            yield _line(title, known, found, [f / k - 1 for k, f in zip(known, found, strict=True)], COST_BOUND)


def check_utilization(rounds: int) -> Iterator[Line]:
    """AU and stalls of a pipeline that takes P for a batch, under steps of S."""
    element = po.Pipeline.from_tensors([SMALL.elements[0]]).repeat()
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
    """Do the small work again and again until an element's part of P is over, whatever the speed of the machine."""
    end = tf.timestamp() + MAKING_S / PARTS
    return tf.while_loop(
        lambda _: tf.timestamp() < end,
        lambda total: (total + SMALL.function(tf.strings.join([element, tf.as_string(total)])),),
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


def _line(what: str, known: list[float], found: list[float], errors: list[float], bound: float | None) -> Line:
    return Line(what, statistics.median(known), statistics.median(found), median_interval(errors), bound)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="rounds for each cost; a third of them for utilization")
    parser.add_argument("--only", choices=sorted(CHECKS), help="one of the three parts")
    parser.add_argument("--json", type=Path, help="write the lines to a file")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    warnings.simplefilter("ignore", po.PlanWarning)
    lines = []
    print(f"{'':72}{'known':>9}{'found':>9}   error [95 % interval]        bound")
    with tempfile.TemporaryDirectory() as folder:
        for name, check in CHECKS.items():
            if arguments.only in (None, name):
                for line in check(Path(folder), arguments.rounds):
                    lines.append(line)
                    _print(line)
    if arguments.json:
        arguments.json.write_text(json.dumps([line._asdict() for line in lines], indent=1))
    bounded = [line for line in lines if line.bound is not None]
    missed = [line for line in bounded if not line.holds]
    print(f"{len(bounded) - len(missed)} of {len(bounded)} bounds hold, TensorFlow {tf.__version__}")
    return 1 if missed else 0


CHECKS: dict[str, Callable[[Path, int], Iterator[Line]]] = {
    "costs": check_costs,
    "causes": check_causes,
    "utilization": lambda _, rounds: check_utilization(max(3, rounds // 3)),
}


def _print(line: Line) -> None:
    verdict = "to compare" if line.bound is None else f"{line.bound:<6} {'ok' if line.holds else 'MISSED'}"
    print(f"{line.what:72}{line.known:9.1f}{line.found:9.1f}   {line.error!s:28} {verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
