"""Does the profiler tell the truth? Costs, utilization and stalls against what is known.

    python benchmarks/truth.py [--rounds N] [--json FILE]

1. The cost for an element of every stage above 50 us: within 10 % of the same work calibrated alone, in turns with the runs.
2. Accelerator utilization: within 3 points of S / (S + P) without and S / max(S, P) with prefetch, for a step of S seconds and a
   batch that takes P seconds to make, S / P = 1/4, 1 and 4.
3. The sum of stalls: within 2 % of the time that the consumer was seen to wait.

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from intervals import Estimate, median_interval
from known import Work, calibrate, calibrate_read, calibrate_records, regex_work, write_files, write_gzip_records

import pipeline_opt as po
from pipeline_opt.variants import naive

LEAST_US = 50.0
COST_BOUND, UTILIZATION_BOUND, STALL_BOUND = 0.10, 3.0, 0.02

SMALL, MIDDLE, LARGE = regex_work("small", 200), regex_work("middle", 700), regex_work("large", 3000)
RECORD_BYTES, RECORDS, FILE_BYTES, FILES = 60_000, 400, 1_000_000, 64


class Line(NamedTuple):
    """One thing that was checked: what it should be, what it was, and by how much it may miss."""

    what: str
    known: float
    found: float
    error: Estimate
    bound: float

    @property
    def holds(self) -> bool:
        return abs(self.error.middle) <= self.bound


class Case(NamedTuple):
    """A pipeline with stages of known cost: by stage name, how to calibrate it."""

    name: str
    pipe: po.Pipeline
    known: dict[str, Callable[[], float]]
    steps: int


def cases(folder: Path) -> Iterator[Case]:
    """Pipelines with one and several maps, sequential and parallel, with a batch, and with reading of two kinds."""
    gzip = folder / "records.gz"
    write_gzip_records(gzip, RECORDS, RECORD_BYTES)
    paths = write_files(folder / "files", FILES, FILE_BYTES)
    for parallelism in (1, 2):
        for works in ((SMALL,), (MIDDLE,), (LARGE,), (SMALL, LARGE), (MIDDLE, SMALL, LARGE)):
            names = " + ".join(work.name for work in works)
            yield Case(f"{names}, parallelism {parallelism}", _maps(works, parallelism), _costs(works), 10)
        yield Case(
            f"middle, map and batch fused, parallelism {parallelism}", _fused(parallelism), _costs((MIDDLE,)), 40
        )
    yield Case("small + large, sequential", naive(_maps((SMALL, LARGE), 1)), _costs((SMALL, LARGE)), 10)
    reading = po.Pipeline.from_tfrecords(str(gzip), compression="GZIP").interleave(cycle_length=1)
    inflate = {"interleave": lambda: calibrate_records(str(gzip), "GZIP", RECORDS)}
    yield Case("gzip records, sequential", naive(reading.batch(8)), inflate, RECORDS // 16)
    yield Case("gzip records, interleaved", reading.batch(8).prefetch(), inflate, RECORDS // 16)
    files = po.Pipeline.from_tensors(paths * 10)
    read = {"read": lambda: calibrate_read(paths)}
    for parallelism in (1, 2):
        pipe = (
            files.map(tf.io.read_file, name="read", num_parallel_calls=parallelism).map(size_of, name="size").batch(16)
        )
        yield Case(f"files of 1 MB, parallelism {parallelism}", pipe.prefetch(), read, FILES // 4)


def size_of(content: Any) -> Any:
    """So that a batch need not copy the files."""
    return tf.strings.length(content)


def _maps(works: tuple[Work, ...], parallelism: int) -> po.Pipeline:
    pipe = po.Pipeline.from_dataset(tf.data.Dataset.from_tensors(works[0].element).repeat())
    for index, work in enumerate(works):
        # Each has an element of its own, whatever came before it.
        pipe = pipe.map(_on_own_element(work), name=f"{work.name}_{index}", num_parallel_calls=parallelism)
    return pipe.batch(16).options(map_and_batch_fusion=False)


def _fused(parallelism: int) -> po.Pipeline:
    source = po.Pipeline.from_dataset(tf.data.Dataset.from_tensors(MIDDLE.element).repeat())
    return source.map(MIDDLE.function, name="middle_0", num_parallel_calls=parallelism).batch(16)


def _on_own_element(work: Work) -> Callable[[Any], Any]:
    def run(element: Any) -> Any:
        # Depends on what came before, so that TensorFlow cannot take it for a constant.
        return work.function(tf.strings.join([tf.strings.substr(element, 0, 0), work.element]))

    return run


def _costs(works: tuple[Work, ...]) -> dict[str, Callable[[], float]]:
    def cost(work: Work) -> Callable[[], float]:
        whole = work if len(works) == 1 else Work(work.name, _on_own_element(work), work.element)
        return lambda: calibrate(whole._replace(function=_on_own_element(work)))

    return {f"{work.name}_{index}": cost(work) for index, work in enumerate(works)}


def check_costs(folder: Path, rounds: int) -> Iterator[Line]:
    """Calibrate, run, calibrate, run, ...: each run is held against the calibrations before and after it."""
    for case in cases(folder):
        found: dict[str, list[float]] = {name: [] for name in case.known}
        known: dict[str, list[float]] = {name: [calibration()] for name, calibration in case.known.items()}
        for _ in range(rounds):
            run = po.profile(case.pipe, steps=case.steps, trace="full")
            costs = {stage.name: stage.us_per_element for stage in run.stages}
            for name, calibration in case.known.items():
                found[name].append(costs[name] or 0.0)
                known[name].append(calibration())
        for name in case.known:
            around = [(a + b) / 2 for a, b in zip(known[name], known[name][1:], strict=False)]
            errors = [f / k - 1 for f, k in zip(found[name], around, strict=True)]
            middle = statistics.median(around)
            if middle >= LEAST_US:
                line = Line(
                    f"{case.name}: {name}, us",
                    middle,
                    statistics.median(found[name]),
                    median_interval(errors),
                    COST_BOUND,
                )
                yield line


def check_utilization(rounds: int) -> Iterator[Line]:
    """AU and stalls of a pipeline that takes P for a batch, under steps of S."""
    source = po.Pipeline.from_dataset(tf.data.Dataset.from_tensors(LARGE.element).repeat())
    made = source.map(LARGE.function, name="work", num_parallel_calls=None).batch(16)
    forms = {"without prefetch": naive(made), "with prefetch": made.prefetch(2)}
    for ratio in (0.25, 1.0, 4.0):
        for name, pipe in forms.items():
            errors, stalls, expected, found = [], [], [], []
            for _ in range(rounds):
                making_s = _seconds_a_batch(pipe)
                step_s = ratio * making_s
                run = po.profile(pipe, po.Accelerator(step_s), steps=60, trace="auto")
                stalls.append(_stalls_against_wait(pipe, step_s))
                making_s = (making_s + _seconds_a_batch(pipe)) / 2
                both = step_s + making_s if name == "without prefetch" else max(step_s, making_s)
                utilization = run.summary()["accelerator"]["utilization_percent"]
                expected.append(100 * step_s / both)
                found.append(utilization)
                errors.append(utilization - expected[-1])
            title = f"S/P = {ratio:g}, {name}"
            yield _line(f"{title}: AU, percent", expected, found, errors, UTILIZATION_BOUND)
            yield _line(
                f"{title}: stalls / idle time seen by the step", [1.0], [1 + s for s in stalls], stalls, STALL_BOUND
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

    stalls = po.profile(pipe, step, steps=60, trace="auto").summary()["stalls"]
    return (sum(stalls.values()) - stalls["fill"]) / waited_s - 1


def _seconds_a_batch(pipe: po.Pipeline) -> float:
    """What a batch takes to make when nobody else wants the time."""
    run = po.profile(pipe, steps=30, trace="off")
    return float(run.steps.wait_end[-1] - run.steps.wait_end[0]) / 29


def _line(what: str, known: list[float], found: list[float], errors: list[float], bound: float) -> Line:
    return Line(what, statistics.median(known), statistics.median(found), median_interval(errors), bound)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="rounds for each cost; a third of them for utilization")
    parser.add_argument("--json", type=Path, help="write the lines to a file")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    warnings.simplefilter("ignore", po.PlanWarning)
    lines = []
    print(f"{'':60}{'known':>10}{'found':>10}   error [95 % interval]        bound")
    with tempfile.TemporaryDirectory() as folder:
        for line in _all(Path(folder), arguments.rounds):
            lines.append(line)
            mark = "ok" if line.holds else "MISSED"
            print(
                f"{line.what:60}{line.known:10.1f}{line.found:10.1f}   {line.error!s:28} {line.bound:<6} {mark}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps([line._asdict() for line in lines], indent=1))
    missed = [line for line in lines if not line.holds]
    print(f"{len(lines) - len(missed)} of {len(lines)} hold, TensorFlow {tf.__version__}")
    return 1 if missed else 0


def _all(folder: Path, rounds: int) -> Iterator[Line]:
    yield from check_costs(folder, rounds)
    yield from check_utilization(max(3, rounds // 3))


if __name__ == "__main__":
    sys.exit(main())
