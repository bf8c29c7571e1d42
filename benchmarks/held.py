"""How right the predicted peak of memory is: what plans of the suite's workloads hold, against the growth of the process.

    python benchmarks/held.py [--only NAME,...] [--plans N] [--scale S] [--usual] [--out FILE]

Growth is of what is held where what is freed goes back to the system: without oneDNN, whose pool for tensors keeps what it had,
and with glibc mapping blocks of 64 KB and more. `--usual` measures as TensorFlow comes.

Plans are those of `benchmarks/predictions.py`; measured are the ones whose predicted peak can be told from what TensorFlow takes
besides. Each is written to a file and built in a process of its own; one with a function that nothing can import is left out, and
told. The consumer is slower than the pipeline, so that buffers are full (`suite/fullest.py`).
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GCS_READ_CACHE_BLOCK_SIZE_MB", "1")

import argparse
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import tensorflow as tf
from predictions import searched, told
from rich.console import Console
from rich.table import Table
from suite.catalogue import WORKLOADS
from suite.draining import run
from suite.fullest import QUICK, Fullest, fullest
from suite.names import known_names
from suite.surroundings import environment
from suite.workload import Workload

import pipeline_opt as po
from pipeline_opt.errors import PlanError
from pipeline_opt.optimizer.search import Found
from pipeline_opt.text import to_toml

RETURNED: Final = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_MMAP_MAX_": "1000000"}
"""The environment in which what is freed goes back to the system at once."""
SEEN_BYTES: Final = 32 << 20
"""A predicted peak below that cannot be told from what else changes in the process."""
FILLING_S: Final = 12.0
"""Seconds after which the slow epoch is ended: its buffers are full."""
WITHIN: Final = 0.2
CONSOLE: Final = Console(width=None if sys.stdout.isatty() else 140)


@dataclass(frozen=True)
class Held:
    """What a plan holds at the most, predicted and measured; and what it may hold."""

    workload: str
    plan: str
    predicted_bytes: float
    grown_bytes: int
    allowed_bytes: int

    @property
    def ratio(self) -> float:
        """Measured over predicted."""
        return self.grown_bytes / self.predicted_bytes


def held_of(workload: Workload, scale: float, count: int, environ: Mapping[str, str]) -> Iterator[Held | str]:
    """Plans of a workload that hold much; of one that cannot be measured, why."""
    with searched(workload, scale, count) as (plans, facts, _), TemporaryDirectory() as folder:
        for found in plans:
            held = found.prediction.peak_bytes
            if held < SEEN_BYTES:
                continue
            name = f"{workload.name}, {told(found)}"
            try:
                seen = _held(found, workload.epochs, Path(folder) / "plan.toml", environ)
            except PlanError as error:
                yield f"{name}: {error}"
                continue
            if seen.is_full:
                yield Held(workload.name, told(found), held, seen.grown_bytes, facts.memory_bytes)
            else:
                yield f"{name}: its data ended {seen.batches} batches after the first {QUICK}, before buffers were full (--scale)"


def _held(found: Found, epochs: int, path: Path, environ: Mapping[str, str]) -> Fullest:
    """What it holds in a process that does nothing else."""
    path.write_text(to_toml(found.plan))
    command = [sys.executable, __file__, "--child", str(path), str(epochs)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environ})
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [f"it ended with {ended.returncode}"])[-1]
        raise RuntimeError(f"{told(found)}: its process failed: {last}")
    return Fullest(*map(int, ended.stdout.split()[-2:]))


def _child(path: str, epochs: str) -> None:
    """Build a plan from its file, and say by how much the process grows as it runs."""
    some = tf.data.Dataset.range(64).map(lambda number: number + 1, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1)
    # Threads, and whatever TensorFlow makes at the first run of any pipeline, are there before.
    run(lambda: some.batch(2), 1)
    plan = po.Pipeline.from_config(path)
    print(*astuple(fullest(plan.build, int(epochs), FILLING_S)))


def report(held: Sequence[Held]) -> Table:
    """A row a plan, the worst last."""
    table = Table(title="Memory predicted and measured")
    for title in ("workload", "rules"):
        table.add_column(title)
    for title in ("predicted MB", "grown MB", "grown over predicted"):
        table.add_column(title, justify="right")
    for each in sorted(held, key=lambda each: max(each.ratio, 1 / max(each.ratio, 1e-9))):
        sizes = (f"{each.predicted_bytes / 1e6:,.0f}", f"{each.grown_bytes / 1e6:,.0f}")
        table.add_row(each.workload, each.plan, *sizes, f"{each.ratio:.2f}")
    return table


def sentence(held: Sequence[Held]) -> str:
    """What they come to."""
    ratios = sorted(each.ratio for each in held)
    close = sum(abs(ratio - 1) <= WITHIN for ratio in ratios)
    over = sum(each.grown_bytes > each.allowed_bytes for each in held)
    return (
        f"{len(ratios)} plans: grown over predicted {median(ratios):.2f} in the median, {ratios[0]:.2f} to {ratios[-1]:.2f}; "
        f"{close} within {WITHIN:.0%}, {over} above what they may hold"
    )


def arguments() -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=known_names(names), default=names, metavar="NAME,...", help=", ".join(names))
    parser.add_argument("--plans", type=int, default=4, help="plans of each workload (4)")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the data (1)")
    parser.add_argument("--out", type=Path, help="write all of it to a JSON file")
    parser.add_argument("--usual", action="store_true", help="with TensorFlow's pool and glibc as they come")
    parser.add_argument("--child", nargs=2, metavar=("PLAN", "EPOCHS"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    warnings.simplefilter("ignore", po.PlanWarning)
    if given.child:
        _child(*given.child)
        return 0
    held: list[Held] = []
    broken: list[str] = []
    for workload in WORKLOADS:
        if workload.name not in given.only:
            continue
        try:
            found = list(held_of(workload, given.scale, given.plans, {} if given.usual else RETURNED))
        except Exception as error:  # noqa: BLE001 - what breaks in one workload is told, and the others are measured
            broken.append(f"{workload.name}: {type(error).__name__}: {error}")
            continue
        held += (each for each in found if isinstance(each, Held))
        CONSOLE.print(
            *(each for each in found if isinstance(each, str)), f"{workload.name} is done", sep="\n", style="dim"
        )
        if given.out:
            known: dict[str, Any] = {"environment": environment(), "held": [asdict(each) for each in held]}
            given.out.write_text(json.dumps({**known, "broken": broken}, indent=1) + "\n")
    if held:
        CONSOLE.print(report(held), sentence(held), sep="\n")
    CONSOLE.print(*broken, sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
