"""What a plan would do elsewhere: on more cores, with another storage, with another accelerator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from pipeline_opt.errors import UsageError
from pipeline_opt.names import inner_prefix
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.model import Prediction, predict
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import FileSource

MACHINE: Final = ("cores", "memory_bytes", "step_s", "epochs")
STORAGE: Final = ("open_s", "stream_bytes_per_s", "total_bytes_per_s")


def what_if(plan: Plan, facts: Facts, **changes: float | None) -> Prediction:
    """Predict what a plan does where something else is different from what was measured.

    Args:
        plan: The plan, as it is: nothing in it is tuned anew.
        facts: What was measured.
        **changes: `cores`, `memory_bytes`, `step_s` (seconds of a training step for a batch), `epochs`; of the storage of every
            source of files: `open_s` (seconds to the first byte), `stream_bytes_per_s`, `total_bytes_per_s`.

    Raises:
        UsageError: There is no such number to change, or the plan reads no files whose storage could be another one.
    """
    unknown = next((name for name in changes if name not in (*MACHINE, *STORAGE)), None)
    if unknown is not None:
        raise UsageError(f"what_if: no number is called {unknown!r}; valid: {', '.join((*MACHINE, *STORAGE))}")
    machine = {name: value for name, value in changes.items() if name in MACHINE}
    storage = {name: value for name, value in changes.items() if name in STORAGE}
    stages = dict(facts.stages)
    known = [name for name in _file_sources(plan, facts.prefix) if name in stages]
    if storage and not known:
        raise UsageError(f"what_if: {next(iter(storage))}: the plan reads no files of which something is known")
    for name in known:
        stages[name] = dataclasses.replace(stages[name], **storage)  # type: ignore[arg-type]
    return predict(plan, dataclasses.replace(facts, stages=stages, **machine))  # type: ignore[arg-type]


def _file_sources(plan: Plan, prefix: str) -> Iterator[str]:
    """The names of the sources of files in a plan and those inside it."""
    if isinstance(plan.source, FileSource):
        yield prefix + plan.source.kind
    for number, part in enumerate(plan.source.plans if isinstance(plan.source, Combination) else ()):
        yield from _file_sources(part, inner_prefix(prefix, number))
