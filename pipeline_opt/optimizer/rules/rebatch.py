"""Batches of another size are cut from what holds many rows, with no row an element of its own on the way."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts, StageFacts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, swallows_errors, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Batch, Rebatch, Unbatch


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, second in neighbours(plan):
        if not isinstance(first, Unbatch) or first.dense or not isinstance(second, Batch):
            continue
        reason = _refusal(plan, at, first, second, facts)
        if reason:
            yield Declined(first.name, reason)
            continue
        # It has the name of the one under which it is known how many rows there are.
        whole = Rebatch(name=first.name, batch_size=second.batch_size, drop_remainder=second.drop_remainder)
        what = f"{first.name} and {second.name} in one: batches of {second.batch_size} are cut from whole elements"
        yield Rewrite(with_stages(plan, at, 2, (whole,)), first.name, what)


def _refusal(plan: Plan, at: int, first: Unbatch, second: Batch, facts: Facts) -> str:
    """Why batches cannot be cut from whole elements; nothing if they can."""
    swallows = swallows_errors(plan, at + 2, facts)
    if swallows:
        return f"where an element fails, {swallows} would leave out another part of a batch"
    known = facts.stage(first.name) or StageFacts()
    if known.fixed_rows is not None and not second.drop_remainder and known.fixed_rows % second.batch_size == 0:
        # TensorFlow would see that no batch is ever cut short, which it does not see of a batch.
        return f"batches would be of another spec: all of {second.batch_size} rows"
    return known.uncut


RULE = Rule("rebatch", "rows are copied from one batch to another many at once, and none is handed over alone", _find)
