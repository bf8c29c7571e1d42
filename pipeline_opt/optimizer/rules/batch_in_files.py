"""Records are batched where they are read, so that files hand over batches in place of records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.freedom import asks_for_order, gives_one_element, holds_order
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, swallows_errors, with_stages
from pipeline_opt.plan import Plan, item_names
from pipeline_opt.stages import Batch, Interleave, Rebatch


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, second in neighbours(plan):
        if not isinstance(first, Interleave) or not isinstance(second, Batch) or first.inner:
            continue
        reason, name = _refusal(plan, at, first, facts), f"{second.name}_again"
        if reason or name in item_names(plan):
            yield Declined(second.name, reason or f"the name {name} is taken")
            continue
        inside = dataclasses.replace(second, num_parallel_calls=None, deterministic=None)
        reading = dataclasses.replace(first, inner=(inside,), block_length=1)
        # A file's last batch is a short one: batches get their size back behind it.
        again = Rebatch(name=name, batch_size=second.batch_size)
        changed = with_stages(plan, at, 2, (reading, again))
        yield Rewrite(changed, second.name, f"{second.name} inside {first.name}: rows of a file share batches", "set")


def _refusal(plan: Plan, at: int, first: Interleave, facts: Facts) -> str:
    """Why records cannot be batched where they are read; nothing if they can."""
    if gives_one_element(plan, first):
        return "a file holds one element"
    if not facts.order_free:
        return "other rows would share a batch, and nobody said that the order is free"
    if asks_for_order(first, plan, facts):
        return f"{first.name} or the options of the pipeline ask for the order it has"
    swallows = swallows_errors(plan, at + 2, facts)
    if swallows:
        return f"where reading fails, {swallows} leaves out a batch, and other rows would be in it"
    return holds_order(plan, at, facts)


RULE = Rule("batch_in_files", "threads hand over batches in place of single records", _find)
