"""Pipelines whose epochs take long, cut to a part of their data, of which whole epochs can be compared in any order."""

from __future__ import annotations

import dataclasses

from pipeline_opt.names import inner_prefix
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import epoch_rows
from pipeline_opt.optimizer.model import predict
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import FileSource, Images
from pipeline_opt.stages import Skip, Stage, Take
from pipeline_opt.storage import resolve

PASSES = 6
"""Epochs that a comparison goes through at the most: the rows of each, what differs once more, and what is still random."""


def share_to_compare(given: Plan, facts: Facts, seconds: float) -> float:
    """The part of its data, up to 1, of which a pipeline goes through enough epochs in some seconds."""
    rows, prediction = epoch_rows(given, facts), predict(given, facts)
    if not rows:
        return 1.0
    epoch_s = prediction.first_batch_s + rows / prediction.rows_per_s
    return min(1.0, seconds / (PASSES * epoch_s))


def sampled(plan: Plan, share: float, facts: Facts, prefix: str = "") -> Plan:
    """The plan with a part of its data: the first of its files, or of its source's elements where it reads none in turn.

    Plans over the same source get the same part. A source of which neither is known stays whole. Of a part as large a share is
    skipped as of the whole, or there might be nothing left.
    """
    source = plan.source
    if share >= 1:
        return plan
    less = plan.with_stages([_skipping(stage, share) for stage in plan.stages])
    if isinstance(source, Combination):
        parts = tuple(sampled(part, share, facts, inner_prefix(prefix, n)) for n, part in enumerate(source.plans))
        cut = dataclasses.replace(source, plans=parts)
        return plan if parts == source.plans else dataclasses.replace(less, source=cut)
    if isinstance(source, FileSource) and not isinstance(source, Images):
        files = resolve(source).files
        first = files[: max(1, round(len(files) * share))]
        return dataclasses.replace(less, source=dataclasses.replace(source, paths=first))
    known = facts.stages.get(prefix + source.kind)
    if plan.reader is not None or known is None or known.elements is None:
        return plan
    return less.with_stages((Take(name="sample", count=max(1, round(known.elements * share))), *less.stages))


def _skipping(stage: Stage, share: float) -> Stage:
    """The stage, for a share of the data, if it skips some."""
    return dataclasses.replace(stage, count=round(share * stage.count)) if isinstance(stage, Skip) else stage
