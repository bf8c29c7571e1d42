"""Ops that would spread over several threads stay on one, where other elements keep the cores busy anyway."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, last_saying, with_options
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Map


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    said = last_saying(plan, "max_intra_op_parallelism")
    if said is not None:
        if said.max_intra_op_parallelism != 1:
            yield Declined(said.name, f"it gives every op {said.max_intra_op_parallelism} threads, as somebody wanted")
        return
    for stage in plan.stages:
        known = form_of(stage, facts) if isinstance(stage, Map) else None
        if known is not None and known.alone_s is not None and known.alone_s < known.cpu_s:
            alone = with_options(plan, max_intra_op_parallelism=1)
            evidence = "an op that sums up floats may do so in another order"
            yield Rewrite(alone, stage.name, "every op on one thread", "rounding", evidence)
            return


RULE = Rule(
    "lone_ops",
    "to spread an op over threads costs work, and the other threads have elements of their own",
    _find,
    whole=True,
)
