"""A map that cannot compute whole batches becomes two, of which the second one can, behind the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, with_stages
from pipeline_opt.optimizer.rules.vectorise import refusal
from pipeline_opt.plan import Plan, item_names
from pipeline_opt.stages import Batch, Map

HEAD: Final = "row_part"
LOOPED: Final = (HEAD, "looped")
TAIL: Final = ("batch_part", "batched")
"""Forms of the two maps: the first takes and gives rows, or those of a batch one after another in one call; the second is what is
made of them, of whole batches."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, batch in neighbours(plan):
        if (
            not isinstance(first, Map)
            or not isinstance(batch, Batch)
            or facts.of(first.function).form("batched").refused is None
        ):
            continue
        name, known = f"{first.name}_row", facts.of(first.function).forms.get(HEAD)
        if known is None:
            continue
        reason = known.refused or refusal(plan, at, first, "+".join(TAIL), facts)
        if not reason and name in item_names(plan):
            reason = f"the name {name} is taken"
        if not reason and form_of(first, facts).purity != "pure":
            reason = "where it draws is not seen"
        if reason:
            yield Declined(first.name, reason)
            continue
        found = facts.of(first.function).form("+".join(TAIL))
        head = dataclasses.replace(first, name=name, forms=(HEAD,))
        tail = dataclasses.replace(first, forms=TAIL, batched=True)
        what = f"the end of {first.name} computes whole batches of {batch.batch_size}, after {batch.name}"
        yield Rewrite(with_stages(plan, at, 2, (head, batch, tail)), first.name, what, found.preserves, found.evidence)
        if facts.of(first.function).form("+".join(LOOPED)).refused is None:
            rows = dataclasses.replace(head, forms=LOOPED, batched=True)
            what += f", of which one call of {name} makes all rows"
            yield Rewrite(
                with_stages(plan, at, 2, (batch, rows, tail)), first.name, what, found.preserves, found.evidence
            )


RULE = Rule("batch_tail", "what can be computed for a whole batch need not be called for every row", _find)
