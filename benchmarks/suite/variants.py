"""The variants of a workload: how each comes to its dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import tensorflow as tf

from suite import oracle
from suite.names import BASES, VARIANTS
from suite.oracle import Unavailable
from suite.ours import Tuned, tuned
from suite.workload import AUTOTUNE, NAIVE, WRITTEN, Setting, Workload, heuristic

Build = Callable[[], tf.data.Dataset]


@dataclass
class Contest:
    """Who takes part in a workload.

    Args:
        builds: What makes each variant's dataset.
        settings: In words, how each is set.
        absent: Variants that were asked for and cannot be had, with the reason.
        failed: Variants that were to take part and could not: an error.
        tuned: What tuning gave.
    """

    builds: dict[str, Build] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    tuned: Tuned | None = None


@dataclass(frozen=True)
class Terms:
    """What a contest is about: variants asked for, cores, epochs of the job, seconds for tuning, and the data's scale."""

    asked: tuple[str, ...] = VARIANTS
    cores: int = 1
    epochs: int = 1
    budget_s: float = 60.0
    scale: float = 1.0


def contest(workload: Workload, place: str, terms: Terms) -> Contest:
    """Everybody who was asked for and the bases; tunes, if ours was. What is given is left out where it is AUTOTUNE's."""
    found = Contest()
    same = {"given"} if workload.given == AUTOTUNE else set()
    for name in VARIANTS:
        if name in same or name not in {*terms.asked, *BASES}:
            continue
        try:
            if name == "ours":
                found.tuned = _tuned(workload, place, terms)
                found.settings[name] = found.tuned.told
                if not found.tuned.unchanged:
                    found.builds[name] = found.tuned.build
            else:
                setting = setting_of(name, workload, terms)
                found.builds[name] = partial(workload.build, place, setting)
                found.settings[name] = str(setting)
        except Unavailable as reason:
            found.absent[name] = str(reason)
        except Exception as error:  # noqa: BLE001 - what fails in one workload is told, and the others are measured
            found.failed[name] = f"{type(error).__name__}: {error}"
    return found


def setting_of(name: str, workload: Workload, terms: Terms) -> Setting:
    """How a variant that is not tuned is set.

    Raises:
        Unavailable: There is no such setting.
    """
    match name:
        case "naive":
            return Setting(WRITTEN, NAIVE)
        case "given":
            return Setting(WRITTEN, workload.given)
        case "autotune":
            return Setting(WRITTEN, AUTOTUNE)
        case "heuristic":
            return Setting(WRITTEN, heuristic(terms.cores))
        case "by_hand" if workload.by_hand is not None:
            return workload.by_hand
        case "by_hand":
            raise Unavailable("nothing is known to be better than knobs")
        case _:
            return oracle.stored(workload, terms.epochs, terms.scale)


def _tuned(workload: Workload, place: str, terms: Terms) -> Tuned:
    given = workload.build(place, Setting(WRITTEN, workload.given))
    return tuned(given, terms.epochs, terms.budget_s, workload.memory_bytes)
