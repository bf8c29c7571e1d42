"""The variants of a workload in turns, round after round, in an order that changes."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import tensorflow as tf

from pipeline_opt.tuner.allocator import keeping_memory
from suite.draining import Clock, Trial, common_elements, run
from suite.names import BASES, PHASES
from suite.ratios import ratio

Build = Callable[[], tf.data.Dataset]


@dataclass
class Measured:
    """What was measured of a workload, round by round; a round without a variant is not kept.

    Args:
        trials: Each variant's trials.
        elements: Examples that the rates are of, in each round; None for whole epochs.
        failed: Variants that could not go on, with the reason.
    """

    trials: dict[str, list[Trial]] = field(default_factory=dict)
    elements: list[int | None] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def rates(self, variant: str, phase: str) -> list[float]:
        """Examples a second in each round; empty where the job has no such phase."""
        pairs = zip(self.trials[variant], self.elements, strict=True)
        found = [trial.rates(elements) for trial, elements in pairs]
        return [rates[phase] for rates in found if phase in rates]

    def as_json(self, variant: str) -> dict[str, Any]:
        """A variant as plain data: rates by phase and their ratios to the bases."""
        trials = self.trials[variant]
        phases = {phase: self.rates(variant, phase) for phase in PHASES if self.rates(variant, phase)}
        return {
            "examples_per_s": {phase: [round(rate, 2) for rate in rates] for phase, rates in phases.items()},
            "ratios": {base: {phase: self._ratio(variant, base, phase) for phase in phases} for base in BASES},
            "first_batch_s": [round(trial.epochs[0].first_s, 4) for trial in trials],
            "teardown_s": [round(sum(epoch.teardown_s for epoch in trial.epochs), 4) for trial in trials],
            "growth_bytes": [trial.growth_bytes for trial in trials],
        }

    def _ratio(self, variant: str, base: str, phase: str) -> dict[str, float]:
        # What is given is not measured again where it is AUTOTUNE's.
        other = base if base in self.trials else "autotune"
        return ratio(self.rates(variant, phase), self.rates(other, phase))._asdict()

    @property
    def examples(self) -> int:
        """Examples of an epoch, as AUTOTUNE gave them."""
        return round(median(trial.epochs[0].elements for trial in self.trials["autotune"]))


def measure(
    builds: Mapping[str, Build],
    rounds: int,
    epochs: int,
    limit_s: float = math.inf,
    clock: Clock = time.perf_counter,
) -> Measured:
    """Measure all variants in turns. Who fails takes no further part; a base that fails ends it.

    Memory that one frees stays with the process, as it does in a job of its own.

    Args:
        builds: What makes each variant's dataset, anew for every trial.
        rounds: How often each is measured.
        epochs: Epochs of a job.
        limit_s: After how many seconds an epoch is cut, in jobs of one.
        clock: Tells the time.
    """
    measured = Measured()
    with keeping_memory():
        for number in range(rounds):
            trials: dict[str, Trial] = {}
            for name in random.Random(number).sample(list(builds), len(builds)):
                if name not in measured.failed:
                    _try(name, partial(run, builds[name], epochs, limit_s, clock), trials, measured.failed)
            _keep(trials, measured)
    for name in measured.failed:
        measured.trials.pop(name, None)
    return measured


def _try(name: str, trial: Callable[[], Trial], trials: dict[str, Trial], failed: dict[str, str]) -> None:
    try:
        trials[name] = trial()
    except Exception as error:
        if name in BASES:
            raise
        failed[name] = f"{type(error).__name__}: {error}"


def _keep(trials: Mapping[str, Trial], measured: Measured) -> None:
    measured.elements.append(common_elements(list(trials.values())))
    for name, trial in trials.items():
        measured.trials.setdefault(name, []).append(trial)
