"""What `po.optimize` gives: the faster pipeline, with the reason for every change and the proof."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import item_names
from pipeline_opt.summary import SCHEMA
from pipeline_opt.text import plan_text
from pipeline_opt.text.sides import side_by_side
from pipeline_opt.tuner.bootstrap import Interval
from pipeline_opt.tuner.optimize import Tuning


@dataclass(frozen=True)
class Optimized:
    """A tuned pipeline.

    Args:
        tuning: All that was measured and decided.
    """

    tuning: Tuning

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline to use; the given one where nothing was shown to be faster."""
        return Pipeline.of(self.tuning.plan)

    @cached_property
    def dataset(self) -> Any:
        """It, built: a `tf.data.Dataset`."""
        return self.pipeline.build()

    @property
    def changed(self) -> bool:
        """Whether it is another pipeline than the given one."""
        return self.tuning.decision.changed

    def explain(self, *, declined: bool = False) -> str:
        """Before and after side by side, and a row for every change: why, what it preserves, and what was predicted.

        Args:
            declined: Whether to say, too, where rules could not be applied, and why.
        """
        tuning = self.tuning
        parts = [tuning.decision.sentence, "", side_by_side(tuning.given, tuning.plan)]
        if tuning.steps:
            parts += ["", "changes:"]
            parts += [line for number in range(len(tuning.steps)) for line in self._change(number)]
        if tuning.equality is not None:
            parts += ["", f"proof: {tuning.equality}"]
        if declined:
            parts += ["", "not done:"]
            own = item_names(tuning.given)
            parts += [f"  {rule}: {d.stage}: {d.reason}" for rule, d in tuning.search.declined if d.stage in own]
        return "\n".join(parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the pipeline to a TOML file, which `po.load` reads: the next run starts tuned.

        Raises:
            PlanError: It cannot be written so: a function that nothing can import, or a source in memory.
        """
        Path(path).write_text(self.pipeline.to_toml())

    def summary(self) -> dict[str, Any]:
        """What was found, as plain values for JSON; schema 1."""
        tuning = self.tuning
        contest = tuning.contest
        return {
            "schema": SCHEMA,
            "changed": self.changed,
            "reason": tuning.decision.sentence,
            "over_given": _interval(tuning.decision.over_given),
            "over_autotune": _interval(tuning.decision.over_autotune),
            "before": plan_text(tuning.given),
            "after": plan_text(tuning.plan),
            "changes": [
                {
                    "rule": step.rule,
                    "stage": step.rewrite.stage,
                    "what": step.rewrite.what,
                    "why": step.why,
                    "preserves": step.rewrite.preserves,
                    "evidence": step.rewrite.evidence,
                    "predicted": step.gain,
                }
                for step in tuning.steps
            ],
            "proof": None if tuning.equality is None else str(tuning.equality),
            "trials": {
                c.name: {
                    "turns": [[t.examples, t.seconds] for t in c.turns],
                    "dropped": None if c.dropped is None else c.dropped.why,
                }
                for c in contest.candidates
            },
            "declined": [{"rule": rule, "stage": d.stage, "reason": d.reason} for rule, d in tuning.search.declined],
        }

    def _change(self, number: int) -> list[str]:
        """A change, in lines: what, why, what it preserves, what was predicted and what was measured."""
        step, along = self.tuning.steps[number], self.tuning.along
        one = self.tuning.decision.over_given if len(self.tuning.steps) == 1 else None
        measured = along[number] if along else one
        told = (
            ""
            if measured is None or not measured.rounds
            else f", measured {measured.value:.2f} [{measured.low:.2f}, {measured.high:.2f}]"
        )
        evidence = f" ({step.rewrite.evidence})" if step.rewrite.evidence else ""
        return [
            f"  {number + 1}. {step.rewrite.what}",
            f"     why: {step.why}",
            f"     preserves: {step.rewrite.preserves}{evidence}; throughput predicted {step.gain:.2f}{told}",
        ]

    def to_python(self) -> str:
        """Plain tf.data code of the pipeline."""
        return self.pipeline.to_python()


def _interval(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else {"value": found.value, "low": found.low, "high": found.high}
