"""The benchmark suite: each workload naive, as given, left to AUTOTUNE, by the heuristic, by hand, optimized, and at its best.

    python benchmarks/run.py [--quick] [--only NAME,...] [--variants NAME,...] [--epochs N] [--rounds R] [--out FILE]
    python benchmarks/run.py --oracle [--only NAME,...]

A trial builds a variant's dataset anew, with empty caches, and drains the job's epochs with no consumer. An epoch is timed from
`iter()` to its last batch; the end of an iterator is timed apart, since it can block. Building is not timed. The page cache is
warm: each workload's files have been read once before. Rates are of examples, not of batches.

Rounds go over all variants in an order that changes, so that other work on the machine falls on all of them. Ratios are of the
same round; what stands in the table is their geometric mean with a 95 % interval, as wide as Student's t says of so few rounds
(`suite/ratios.py`). Epochs are whole, as a cut would count the filling of buffers against few examples; only where an epoch of a
one-epoch job takes longer than `--limit`, it is cut, and the round's rates are then of as many examples as all variants have had.

    naive      one after another, TensorFlow's own rewrites off
    given      what the user wrote and `optimize` is handed, where that is not the same as AUTOTUNE's
    autotune   AUTOTUNE on every knob
    heuristic  all parallelism is the number of cores
    by_hand    the best that is known to be written by hand, where it is more than knobs
    ours       what `pipeline_opt.optimize` returns; where that is the very pipeline given, it is not measured again
    oracle     the best of the workload's grid, as `--oracle` found and stored it

Data is made once and kept below XDG_CACHE_HOME (or ~/.cache).
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Read when TensorFlow is loaded. With its own blocks of 64 MiB the client of GCS spends 29 ms of a core on each file.
    os.environ.setdefault("GCS_READ_CACHE_BLOCK_SIZE_MB", "1")

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from suite import oracle
from suite.catalogue import WORKLOADS
from suite.data import folder_of
from suite.draining import run
from suite.names import VARIANTS, known_names
from suite.rounds import Measured, measure
from suite.surroundings import environment
from suite.table import report
from suite.variants import Contest, Terms, contest
from suite.workload import Workload

import pipeline_opt as po
from pipeline_opt.machine import machine

QUICK: Final = 0.1
"""Scale of the data of a quick run."""
CONSOLE: Final = Console(width=None if sys.stdout.isatty() else 180)


def run_workload(workload: Workload, terms: Terms, rounds: int, limit_s: float) -> dict[str, Any]:
    """One workload, as plain data."""
    started = time.perf_counter()
    workload, folder = workload.at(terms.scale), folder_of(workload, terms.scale)
    with workload.place(folder) as place:
        found = contest(workload, place, terms)
        run(found.builds["autotune"], 1, limit_s)
        measured = measure(found.builds, rounds, terms.epochs, limit_s)
        if found.tuned is not None and found.tuned.unchanged:
            # The very pipeline that was given: measured again it would differ by noise.
            measured.trials["ours"] = measured.trials["given" if "given" in measured.trials else "autotune"]
    return {**as_json(workload, terms, found, measured), "seconds": round(time.perf_counter() - started, 1)}


def as_json(workload: Workload, terms: Terms, found: Contest, measured: Measured) -> dict[str, Any]:
    """What was measured of a workload, and how."""
    variants = {name: {"setting": found.settings[name], **measured.as_json(name)} for name in measured.trials}
    return {
        "name": workload.name,
        "family": workload.family,
        "sentence": workload.sentence,
        "epochs": terms.epochs,
        "examples": measured.examples,
        "memory_bytes": workload.memory_bytes,
        "cut_at": measured.elements,
        "tuning_s": None if found.tuned is None else round(found.tuned.seconds, 1),
        "variants": variants,
        "absent": found.absent,
        "failed": {**found.failed, **measured.failed},
    }


def arguments() -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:g} of the data, 3 rounds, 5 s of tuning")
    parser.add_argument("--only", type=known_names(names), default=names, metavar="NAME,...", help=", ".join(names))
    parser.add_argument("--variants", type=known_names(VARIANTS), default=VARIANTS, metavar="NAME,...")
    parser.add_argument("--epochs", type=int, help="epochs of every job; its own if not given")
    parser.add_argument("--rounds", type=int, help="how often each variant is measured (5, quick 3)")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds after which an only epoch is cut")
    parser.add_argument("--budget", type=float, help="seconds of tuning (60, quick 5)")
    parser.add_argument("--oracle", action="store_true", help="try all grids and store the best settings; takes hours")
    parser.add_argument("--out", type=Path, help="write everything to a JSON file")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    warnings.simplefilter("ignore", po.PlanWarning)
    scale = QUICK if given.quick else 1.0
    asked = [workload for workload in WORKLOADS if workload.name in given.only]
    if given.oracle:
        return find_oracles(asked, given.epochs, scale)
    result: dict[str, Any] = {"environment": environment(), "arguments": _plain(given), "workloads": [], "broken": {}}
    for workload in asked:
        terms = Terms(
            asked=tuple(given.variants),
            cores=max(1, round(machine().cores)),
            epochs=given.epochs or workload.epochs,
            budget_s=given.budget or (5.0 if given.quick else 60.0),
            scale=scale,
        )
        try:
            told = run_workload(workload, terms, given.rounds or (3 if given.quick else 5), given.limit)
        except Exception as error:  # noqa: BLE001 - what breaks in one workload is told, and the others are measured
            result["broken"][workload.name] = f"{type(error).__name__}: {error}"
            CONSOLE.print(f"{workload.name}: {result['broken'][workload.name]}", style="red")
            continue
        result["workloads"].append(told)
        CONSOLE.print(f"{workload.name}: {told['examples']:,} examples, {told['seconds']:.0f} s", style="dim")
        if given.out:
            # After every workload: what breaks off later loses nothing.
            given.out.write_text(json.dumps(result, indent=1) + "\n")
    CONSOLE.print(report(result))
    return 1 if result["broken"] or any(told["failed"] for told in result["workloads"]) else 0


def find_oracles(asked: list[Workload], epochs: int | None, scale: float) -> int:
    """Compute and store the oracles asked for."""
    for workload in asked:
        with workload.place(folder_of(workload, scale)) as place:
            CONSOLE.print(f"{workload.name}: {len(workload.grid)} settings", style="dim")
            path = oracle.recompute(workload, place, epochs or workload.epochs, scale)
        CONSOLE.print(f"Wrote {path}")
    return 0


def _plain(given: argparse.Namespace) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(given).items()}


if __name__ == "__main__":
    sys.exit(main())
