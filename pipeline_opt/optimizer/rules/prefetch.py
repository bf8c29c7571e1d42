"""The last stage makes the next element while the consumer works on this one."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Options, Prefetch, PrefetchToDevice


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    working = [stage for stage in plan.stages if not isinstance(stage, Options)]
    last = working[-1] if working else None
    if isinstance(last, PrefetchToDevice):
        yield Declined(last.name, "it makes the next element already, and nothing may follow it")
    elif not isinstance(last, Prefetch):
        name = plan.source.kind if last is None else last.name
        yield Rewrite(plan.append(Prefetch()), name, "prefetch at the end")


RULE = Rule("prefetch", "making a batch and the training step overlap", _find, whole=True)
