"""The last stage makes the next element while the consumer works on this one."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, last_working, works_ahead
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Prefetch, PrefetchToDevice


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    last = last_working(plan)
    if isinstance(last, PrefetchToDevice):
        yield Declined(last.name, "it makes the next element already, and nothing may follow it")
    elif last is None or not works_ahead(last):
        name = plan.source.kind if last is None else last.name
        yield Rewrite(plan.append(Prefetch()), name, "prefetch at the end")


RULE = Rule("prefetch", "making a batch and the training step overlap", _find, whole=True)
