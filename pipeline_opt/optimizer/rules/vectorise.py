"""A map before a batch computes whole batches: one call for a batch in place of one for every element."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_of
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, neighbours, swallows_errors, with_stages
from pipeline_opt.order.position import after, start
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Batch, Batching, Map, PaddedBatch, RaggedBatch


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, first, second in neighbours(plan):
        if not isinstance(first, Map) or not isinstance(second, Batch | PaddedBatch | RaggedBatch):
            continue
        if isinstance(second, RaggedBatch):
            yield Declined(first.name, "there is no form of a function that makes ragged batches")
            continue
        form = "batched" if isinstance(second, Batch) else "padded"
        reason = refusal(plan, at, first, form, facts)
        if reason:
            yield Declined(first.name, reason)
            continue
        found = facts.of(first.function).form(form)
        batched = dataclasses.replace(first, forms=(_with_padding(second),), batched=True)
        batch = second if isinstance(second, Batch) else _plain(second)
        what = f"{first.name} computes whole batches of {second.batch_size}, after {second.name}"
        yield Rewrite(with_stages(plan, at, 2, (batch, batched)), first.name, what, found.preserves, found.evidence)


def refusal(plan: Plan, at: int, first: Map, form: str, facts: Facts) -> str:
    """Why a map cannot compute whole batches of what it takes; nothing if it can."""
    known = form_of(first, facts)
    if first.forms:
        return f"it computes its function in another form already: {', '.join(map(str, first.forms))}"
    if first.batched:
        return "it is written for batches as a whole"
    if not _of_one_size(plan, at):
        return "what it takes are batches already, and the last of them may be short"
    if known.purity == "unknown":
        return f"its calls might depend on one another: {known.evidence}"
    if known.purity == "random" and known.seeded:
        return "it draws numbers from a seed, and a batch at a time would get others"
    swallows = swallows_errors(plan, at + 2, facts)
    if swallows:
        return f"where it fails, {swallows} would leave out a whole batch"
    return known.form(form).refused or ""


def _of_one_size(plan: Plan, at: int) -> bool:
    """Whether what a stage takes are single elements, or batches all of one size."""
    here, whole = start(plan), False
    for stage in plan.stages[:at]:
        here = after(here, stage)
        whole = stage.drop_remainder if isinstance(stage, Batching) else whole
    return here.batched is not True or whole


def _with_padding(stage: Batch | PaddedBatch) -> str | tuple[str, dict[str, object]]:
    if isinstance(stage, Batch):
        return "batched"
    return "padded", {"padded_shapes": stage.padded_shapes, "padding_values": stage.padding_values}


def _plain(stage: PaddedBatch) -> Batch:
    return Batch(name=stage.name, batch_size=stage.batch_size, drop_remainder=stage.drop_remainder)


RULE = Rule(
    "vectorise", "one call computes a whole batch, so that what every call costs is paid once for all its rows", _find
)
