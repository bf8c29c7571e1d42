"""A map before a batch computes whole batches: one call for a batch in place of one for every element."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Batch, Map, PaddedBatch


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, second in neighbours(plan):
        if not isinstance(first, Map) or not isinstance(second, Batch | PaddedBatch) or first.forms:
            continue
        form = "batched" if isinstance(second, Batch) else "padded"
        found = facts.of(first.function).form(form)
        if found.refused is not None:
            yield Declined(first.name, found.refused)
            continue
        told = (
            {"padded_shapes": second.padded_shapes, "padding_values": second.padding_values}
            if (isinstance(second, PaddedBatch))
            else {}
        )
        batched = dataclasses.replace(first, forms=(*first.forms, (form, told) if told else form), batched=True)
        batch = Batch(name=second.name, batch_size=second.batch_size, drop_remainder=second.drop_remainder)
        plan_ = with_stages(plan, at, 2, (batch, batched))
        what = f"{first.name} computes whole batches of {second.batch_size}, after {second.name}"
        yield Rewrite(plan_, first.name, what, found.preserves, found.evidence)


RULE = Rule(
    "vectorise", "one call computes a whole batch, so that what every call costs is paid once for all its rows", _find
)
