"""Files are read one at a time, or several: the same elements in the same order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, is_deterministic, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import AUTO, Interleave


def _sequential(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if not isinstance(stage, Interleave) or stage.num_parallel_calls is None:
            continue
        if stage.deterministic is False or not (is_deterministic(plan) or stage.deterministic):
            yield Declined(stage.name, "its elements come in any order now; read one after another they have one")
            continue
        alone = dataclasses.replace(stage, num_parallel_calls=None, deterministic=None)
        what = f"{stage.name} on one thread, as many files in turn as before"
        yield Rewrite(with_stages(plan, at, 1, (alone,)), stage.name, what)


def _parallel(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if isinstance(stage, Interleave) and stage.num_parallel_calls is None:
            together = dataclasses.replace(stage, num_parallel_calls=AUTO, deterministic=True)
            yield Rewrite(
                with_stages(plan, at, 1, (together,)), stage.name, f"{stage.name} on several threads, in order"
            )


SEQUENTIAL = Rule(
    "read_sequentially", "handing single records from thread to thread costs more than reading them", _sequential
)
PARALLEL = Rule("read_in_parallel", "several files are waited for at once", _parallel)
