"""How right the cost model is: predicted against measured throughput, for plans of every workload of the suite.

    python benchmarks/predictions.py [--only NAME,...] [--plans N] [--rounds R] [--scale S] [--out FILE]

Of each workload the plan given and others that the search reached, from the best to the worst by prediction, are built anew and
drained for the job's epochs, in turns, after one that warms the page cache. Predicted is what `optimizer/model.py` says from the
facts that were measured before: seconds to make an iterator, to open a file, and for every row. An error is the larger of the two
rates over the smaller one, less one: twice as fast and half as fast as predicted are both 100 %. A plan that fails is told, with
the others. How fast the plan given is was seen before the search (`tuner/pace.py`): errors of the others are told apart.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GCS_READ_CACHE_BLOCK_SIZE_MB", "1")

import argparse
import json
import random
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from suite.catalogue import WORKLOADS
from suite.data import folder_of
from suite.draining import Trial, run
from suite.names import known_names
from suite.surroundings import environment
from suite.workload import WRITTEN, Setting, Workload

import pipeline_opt as po
from pipeline_opt.clock import SystemClock
from pipeline_opt.machine import machine
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import epoch_rows
from pipeline_opt.optimizer.search import Found, of_each_kind, search
from pipeline_opt.tuner.allocator import give_back, keeping_memory
from pipeline_opt.tuner.bench import Bench
from pipeline_opt.tuner.scratch import Scratch
from pipeline_opt.tuner.wishes import Wishes

GIVEN: Final = "given"
CONSOLE: Final = Console(width=None if sys.stdout.isatty() else 140)


@dataclass(frozen=True)
class Pair:
    """A plan, predicted and measured: rows a second over all epochs of the job, or how many times those of the plan given."""

    workload: str
    plan: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """The larger rate over the smaller one, less one."""
        ratio = self.predicted / self.measured
        return max(ratio, 1 / ratio) - 1


def spread(found: Sequence[Found], count: int) -> list[Found]:
    """The plan given, then the fastest by prediction and others evenly from there to the slowest, each by other rules."""
    given, *others = sorted(of_each_kind(found), key=lambda place: bool(place.steps))
    last = len(others) - 1
    places = {round(number * last / max(count - 2, 1)) for number in range(count - 1)} if others else set()
    return [given, *(others[place] for place in sorted(places))]


def predicted_rate(found: Found, facts: Facts, rows: float, epochs: int) -> float:
    """Rows a second over a job of epochs of so many rows each, from the first iterator on.

    The model may count others: where batches are of a size that it does not know, each is a row to it.
    """
    counted = epoch_rows(found.plan, facts) or rows
    # `seconds` is for a row in all epochs together, with what comes before the first.
    return epochs * rows / (counted * found.prediction.seconds)


@contextmanager
def searched(workload: Workload, scale: float, count: int) -> Iterator[tuple[list[Found], Facts, Scratch]]:
    """Plans of a workload, what was measured of it, and what builds them."""
    workload, folder = workload.at(scale), folder_of(workload, scale)
    with workload.place(folder) as place, Scratch() as scratch, keeping_memory():
        given = workload.build(place, Setting(WRITTEN, workload.given))
        wishes = Wishes(epochs=workload.epochs, memory_bytes=workload.memory_bytes)
        bench = Bench(given, wishes, machine(), SystemClock(), lambda *_: None, scratch)
        facts = bench.facts()
        yield spread(search(bench.start, facts).found, count), facts, scratch


def pairs_of(workload: Workload, scale: float, count: int, rounds: int, seed: int = 0) -> Iterator[Pair | str]:
    """Plans of a workload, measured in turns; of one that failed, what happened."""
    with searched(workload, scale, count) as (plans, facts, scratch):
        trials: dict[int, list[Trial]] = {number: [] for number in range(len(plans))}
        draw = random.Random(seed)
        warming = [[0]]
        for turn in [*warming, *(draw.sample(range(len(plans)), len(plans)) for _ in range(rounds))]:
            for number in filter(trials.__contains__, turn):
                give_back()
                try:
                    trials[number].append(run(lambda n=number: scratch.build(plans[n].plan), workload.epochs))
                except Exception as error:  # noqa: BLE001 - what breaks is told, and the others are measured
                    del trials[number]
                    yield f"{workload.name}, {told(plans[number])}: {type(error).__name__}: {error}"
        for number, done in trials.items():
            counted = done[len(warming) if number == 0 else 0 :]
            rate = predicted_rate(plans[number], facts, done[0].epochs[0].elements, workload.epochs)
            yield Pair(workload.name, told(plans[number]), rate, median(map(_rate, counted)))


def told(found: Found) -> str:
    """The rules that lead to a plan."""
    return "+".join(step.rule for step in found.steps) or GIVEN


def _rate(trial: Trial) -> float:
    return sum(epoch.elements for epoch in trial.epochs) / sum(epoch.seconds for epoch in trial.epochs)


def report(pairs: Sequence[Pair]) -> Table:
    """A row a pair, the worst last."""
    table = Table(title="Predicted and measured")
    for title in ("workload", "rules"):
        table.add_column(title)
    for title in ("predicted rows/s", "measured rows/s", "error"):
        table.add_column(title, justify="right")
    for pair in sorted(pairs, key=lambda pair: pair.error):
        table.add_row(pair.workload, pair.plan, f"{pair.predicted:,.0f}", f"{pair.measured:,.0f}", f"{pair.error:.0%}")
    return table


def sentences(pairs: Sequence[Pair]) -> list[str]:
    """What the pairs come to."""
    changed = [pair for pair in pairs if pair.plan != GIVEN]
    told = {
        "throughput, all": pairs,
        "throughput, but the plans given": changed,
        "over the plans given": over_given(pairs),
    }
    return [_errors(name, some) for name, some in told.items() if some]


def over_given(pairs: Sequence[Pair]) -> list[Pair]:
    """How many times as fast as the plan given the others are: of that it matters less how fast the machine is meanwhile."""
    given = {pair.workload: pair for pair in pairs if pair.plan == GIVEN}
    beside = [(pair, given[pair.workload]) for pair in pairs if pair.plan != GIVEN and pair.workload in given]
    return [
        replace(pair, predicted=pair.predicted / base.predicted, measured=pair.measured / base.measured)
        for pair, base in beside
    ]


def _errors(name: str, pairs: Sequence[Pair]) -> str:
    errors = sorted(pair.error for pair in pairs)
    ninth = errors[min(len(errors) - 1, round(0.9 * len(errors)))]
    return f"{name}, {len(pairs)} pairs: median error {median(errors):.0%}, 90th percentile {ninth:.0%}"


def arguments() -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=known_names(names), default=names, metavar="NAME,...", help=", ".join(names))
    parser.add_argument("--plans", type=int, default=4, help="plans of each workload (4)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the data (1)")
    parser.add_argument("--out", type=Path, help="write all pairs to a JSON file")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    warnings.simplefilter("ignore", po.PlanWarning)
    pairs: list[Pair] = []
    broken: list[str] = []
    for workload in WORKLOADS:
        if workload.name not in given.only:
            continue
        try:
            found = list(pairs_of(workload, given.scale, given.plans, given.rounds))
        except Exception as error:  # noqa: BLE001 - what breaks in one workload is told, and the others are measured
            found = [f"{workload.name}: {type(error).__name__}: {error}"]
        pairs += (one for one in found if isinstance(one, Pair))
        failed = [one for one in found if isinstance(one, str)]
        CONSOLE.print(*failed, f"{workload.name} is done", sep="\n", style="dim")
        broken += failed
        if given.out:
            known: dict[str, Any] = {"environment": environment(), "pairs": [asdict(pair) for pair in pairs]}
            given.out.write_text(json.dumps({**known, "broken": broken}, indent=1) + "\n")
    if pairs:
        CONSOLE.print(report(pairs), *sentences(pairs), sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
