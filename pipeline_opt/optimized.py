"""What `po.optimize` gives: the faster pipeline, with the reason for every change and the proof."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline_opt.optimizer.flow import last_flow
from pipeline_opt.optimizer.model import Prediction
from pipeline_opt.optimizer.what_if import what_if
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import Plan, item_names
from pipeline_opt.profiler.accelerator import Accelerator
from pipeline_opt.reports.info_optimized import measured_gains
from pipeline_opt.run import write_text
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.summary import SCHEMA
from pipeline_opt.text import plan_text
from pipeline_opt.text.sides import side_by_side
from pipeline_opt.tuner.bootstrap import Interval
from pipeline_opt.tuner.elsewhere import accelerator_numbers, storage_numbers
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
        """The `tf.data.Dataset` to use; the very one that was given where nothing was shown to be faster."""
        return self.pipeline.build() if self.tuning.dataset is None else self.tuning.dataset

    @property
    def changed(self) -> bool:
        """Whether it is another pipeline than the given one."""
        return self.tuning.changed

    def what_if(
        self,
        *,
        storage: StorageProfile | str | os.PathLike[str] | None = None,
        accelerator: Accelerator | str | None = None,
        **changes: float | None,
    ) -> Prediction:
        """Predict what the pipeline does elsewhere; nobody measured it.

            best.what_if(cores=16, storage="gs-profile.json", accelerator="h100-resnet50")

        Args:
            storage: Where the files are then: a probe, or the file that one was saved to.
            accelerator: What takes the batches then, as `"20ms"` or `"h100-resnet50"`.
            **changes: Single numbers: `cores`, `memory_bytes`, `step_s`, `epochs`, and those of the storage; see
                `pipeline_opt.optimizer.what_if.what_if`.

        Raises:
            UsageError, SourceError: There is no such number or accelerator, or the storage's profile does not tell enough.
        """
        told = {} if storage is None else storage_numbers(storage)
        plan, facts = self.tuning.measured_plan, self.tuning.facts
        told |= {} if accelerator is None else accelerator_numbers(accelerator, last_flow(plan, facts).rows)
        return what_if(plan, facts, **{**told, **changes})

    def explain(self, *, declined: bool = False) -> str:
        """Before and after side by side, and for every change why, what it preserves, what was predicted and measured.

        Args:
            declined: Whether to say, too, where rules could not be applied, and why.
        """
        return "\n".join(self._lines(declined))

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the pipeline to a TOML file, which `po.load` reads: the next run starts tuned.

        Raises:
            PlanError: It cannot be written so: a function that nothing can import, or a source in memory.
            OutputExistsError: Something is there, and `force` is not set.
            OutputError: It cannot be written.
        """
        write_text(path, self.pipeline.to_toml(), force=force)

    def to_python(self) -> str:
        """Plain tf.data code of the pipeline."""
        return self.pipeline.to_python()

    def summary(self) -> dict[str, Any]:
        """What was found, as plain values for JSON; schema 1."""
        tuning = self.tuning
        return {
            "schema": SCHEMA,
            "changed": self.changed,
            "reason": tuning.decision.sentence,
            "over_given": _interval(tuning.decision.over_given),
            "over_autotune": _interval(tuning.decision.over_autotune),
            "before": plan_text(tuning.given),
            "after": plan_text(self._after),
            "changes": [
                {
                    "rule": step.rule,
                    "stage": step.rewrite.stage,
                    "what": step.rewrite.what,
                    "why": step.why,
                    "preserves": step.rewrite.preserves,
                    "evidence": step.rewrite.evidence,
                    "predicted": step.gain,
                    "measured": _interval(self._measured(number)),
                }
                for number, step in enumerate(tuning.steps)
            ],
            "left_out": [] if tuning.left_out is None else [step.rewrite.what for step in tuning.left_out.steps],
            "proof": None if tuning.equality is None else str(tuning.equality),
            "trials": {
                c.name: {
                    "turns": [[t.examples, t.seconds] for t in c.turns],
                    "dropped": None if c.dropped is None else c.dropped.why,
                }
                for c in tuning.contest.candidates
            },
            "refused": dict(tuning.refused),
            "declined": [{"rule": rule, "stage": d.stage, "reason": d.reason} for rule, d in tuning.search.declined],
        }

    def _lines(self, declined: bool) -> Iterator[str]:
        tuning = self.tuning
        yield from (tuning.decision.sentence, "", side_by_side(tuning.given, self._after))
        if isinstance(tuning.given.source, OpaqueDataset) and tuning.given.source.reason:
            yield f"\nwhat stands before is kept as it is: {tuning.given.source.reason}"
        if tuning.steps:
            yield "\nchanges:"
        for number in range(len(tuning.steps)):
            yield from self._change(number)
        if tuning.left_out is not None:
            what = ", ".join(step.rewrite.what for step in tuning.left_out.steps)
            yield f"\nleft out: {what}: with it throughput was {tuning.left_out.cost} of that without"
        if tuning.equality is not None:
            yield f"\nproof: {tuning.equality}"
        for name, reason in tuning.refused.items():
            yield f"\nnot used: {name}, which was faster: {reason}"
        if declined:
            own = item_names(tuning.given)
            yield "\nnot done:"
            yield from (f"  {rule}: {d.stage}: {d.reason}" for rule, d in tuning.search.declined if d.stage in own)

    def _change(self, number: int) -> Iterator[str]:
        """A change, in lines: what, why, what it preserves, what was predicted and what was measured."""
        step, measured = self.tuning.steps[number], self._measured(number)
        told = "" if measured is None else f", measured {measured}"
        evidence = f" ({step.rewrite.evidence})" if step.rewrite.evidence else ""
        yield f"  {number + 1}. {step.rewrite.what}"
        yield f"     why: {step.why}"
        yield f"     preserves: {step.rewrite.preserves}{evidence}; throughput predicted {step.gain:.2f}{told}"

    def _measured(self, number: int) -> Interval | None:
        """What a change brought, where that was measured."""
        return measured_gains(self.tuning)[number]

    @property
    def _after(self) -> Plan:
        """The plan to use as it reads: of an unchanged one the stages that it was read to have."""
        return self.tuning.plan if self.changed else self.tuning.given


def _interval(found: Interval | None) -> dict[str, float | None] | None:
    return None if found is None else found.to_json()
