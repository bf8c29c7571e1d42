"""The oracle: the best of a stated grid, found by trying all of it, and stored with the machine that it holds for."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final

from suite.draining import OutOfMemory, Trial, run
from suite.surroundings import environment
from suite.workload import Knobs, Setting, Workload

FOLDER: Final = Path(__file__).parents[1] / "results" / "oracle"
FINALISTS: Final = 5
"""Settings that are measured again, in turns, after each has been measured once."""
FINAL_ROUNDS: Final = 3

Run = Callable[[Setting], Trial]


class Unavailable(Exception):
    """A variant cannot be had; says why."""


def search(
    settings: tuple[Setting, ...], trial: Run, memory_bytes: int | None = None
) -> list[tuple[Setting, list[float]]]:
    """Examples a second of whole jobs, the best setting first: all once, then the best few in turns.

    Settings that take more memory than they may are left out.
    """
    rates: dict[Setting, list[float]] = {}
    for setting in random.Random(0).sample(settings, len(settings)):
        found = _rate(trial, setting, memory_bytes)
        if found is not None:
            rates[setting] = [found]
    finalists = sorted(rates, key=lambda setting: -rates[setting][0])[:FINALISTS]
    for number in range(FINAL_ROUNDS):
        for setting in random.Random(number).sample(finalists, len(finalists)):
            found = _rate(trial, setting, memory_bytes) if setting in rates else None
            if found is None:
                rates.pop(setting, None)
            else:
                rates[setting].append(found)
    # Who has been measured once won a lottery of many tickets: finalists are ranked by their later rounds.
    return sorted(rates.items(), key=lambda item: (len(item[1]) == 1, -median(item[1][1:] or item[1])))


def _rate(trial: Run, setting: Setting, memory_bytes: int | None) -> float | None:
    """Examples a second of a setting; None where it takes more memory than it may."""
    try:
        tried = trial(setting)
    except OutOfMemory:
        return None
    if memory_bytes is not None and tried.growth_bytes > memory_bytes:
        return None
    rates = tried.rates()
    return rates.get("job", rates["first"])


def run_setting(workload: Workload, place: str, setting: Setting, epochs: int) -> Trial:
    """A job with a setting; where memory is limited in a process of its own: one takes what it has freed again unseen."""
    if workload.memory_bytes is None:
        return run(lambda: workload.build(place, setting), epochs)
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        return alone.submit(_run_by_name, workload.name, place, setting, epochs).result()


def _run_by_name(name: str, place: str, setting: Setting, epochs: int) -> Trial:
    # By the name of its module: a workload's functions cannot be handed to another process.
    module = import_module(f"suite.{name}")
    return run(lambda: module.WORKLOAD.build(place, setting), epochs)


def recompute(workload: Workload, place: str, epochs: int, scale: float, folder: Path = FOLDER) -> Path:
    """Try the whole grid and store what came of it."""
    before = environment()
    start = time.perf_counter()
    found = search(workload.grid, lambda setting: run_setting(workload, place, setting, epochs), workload.memory_bytes)
    told = {
        "workload": workload.name,
        "scale": scale,
        "epochs": epochs,
        "environment": before,
        "seconds": round(time.perf_counter() - start, 1),
        "settings": [{"form": s.form, "knobs": asdict(s.knobs), "examples_per_s": rates} for s, rates in found],
    }
    path = _path(workload, epochs, scale, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")
    return path


def stored(workload: Workload, epochs: int, scale: float = 1.0, folder: Path = FOLDER) -> Setting:
    """The best setting as it was found on this machine, with the full data unless it was also found at this scale.

    Raises:
        Unavailable: None was found yet, or it was on another machine.
    """
    paths = [_path(workload, epochs, size, folder) for size in (scale, 1.0)]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise Unavailable(f"not computed for {_epochs(epochs)}: --oracle does")
    told: dict[str, Any] = json.loads(path.read_text())
    here = environment()
    differs = [name for name in ("cpu", "cores") if told["environment"][name] != here[name]]
    if differs:
        there = ", ".join(f"{name} {told['environment'][name]}" for name in differs)
        raise Unavailable(f"computed on another machine ({there}): --oracle does it here")
    best = told["settings"][0]
    return Setting(best["form"], Knobs(**best["knobs"]))


def _path(workload: Workload, epochs: int, scale: float, folder: Path) -> Path:
    size = "" if scale == 1.0 else f"-scale-{scale:g}"
    return folder / f"{workload.name}-{_epochs(epochs).replace(' ', '-')}{size}.json"


def _epochs(epochs: int) -> str:
    return f"{epochs} epoch{'' if epochs == 1 else 's'}"
