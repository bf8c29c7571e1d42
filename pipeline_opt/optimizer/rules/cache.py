"""What several epochs compute alike is kept from the first one on, in memory."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import flows, form_of
from pipeline_opt.optimizer.memory import cache_bytes, held_bytes
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, with_stages
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.stages import FUNCTION_FIELDS, Cache, Interleave, Map, OpaqueStage, Repeat, Shuffle, Snapshot, Stage


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    if facts.epochs < 2 or any(isinstance(stage, Cache | Snapshot) for stage in plan.stages):
        return
    if isinstance(plan.source, Combination | OpaqueDataset):
        yield Declined(plan.source.kind, "what it gives in another epoch is not known to be the same")
        return
    reader = plan.reader
    opened = reader is None
    for at, (stage, _, given) in enumerate(flows(plan, facts)):
        reason = _changes(stage, facts)
        if reason is not None:
            yield Declined(stage.name, f"nothing behind it can be kept: {reason}")
            return
        opened = opened or stage is reader
        if not opened:
            continue
        size, free = cache_bytes(plan, given, facts), facts.memory_bytes - held_bytes(plan, facts)
        if size > free:
            need = "of unknown size" if size == float("inf") else f"of {size / 1e9:.2f} GB"
            yield Declined(stage.name, f"a cache behind it, {need}, does not fit into {max(free, 0) / 1e9:.2f} GB")
            continue
        what = f"a cache of {size / 1e6:.0f} MB after {stage.name}"
        yield Rewrite(with_stages(plan, at + 1, 0, (Cache(),)), stage.name, what)


def _changes(stage: Stage, facts: Facts) -> str | None:
    """Why what a stage gives may differ from epoch to epoch; None if it does not."""
    if isinstance(stage, Shuffle) and (stage.seed is None or stage.reshuffle_each_iteration):
        return "it shuffles anew in every epoch"
    if isinstance(stage, Repeat):
        return "it repeats: a cache would hold every repetition"
    if isinstance(stage, OpaqueStage):
        return "what it does is not known"
    if isinstance(stage, Interleave) and stage.deterministic is False:
        return "its elements come in any order"
    for name in FUNCTION_FIELDS:
        function = getattr(stage, name, None)
        if isinstance(stage, Map) and stage.forms and form_of(stage, facts).purity == "pure":
            continue
        if isinstance(function, Function) and facts.of(function).purity != "pure":
            known = facts.of(function)
            return f"its function is {known.purity}: {known.evidence}"
    return None


RULE = Rule("cache", "later epochs take what the first one computed", _find)
