"""More files are read at a time, so that their storage is waited for at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.freedom import asks_for_order, gives_one_element, holds_order
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, in_order, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.sources import FileSource
from pipeline_opt.stages import AUTO, Interleave

WIDTHS = (4, 8, 16, 32, 64, 128)
"""Files at a time that are tried."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    source, reader = plan.source, plan.reader
    known = facts.stage(source.kind)
    if not isinstance(source, FileSource) or known is None or known.files < 2 or not known.is_far:
        return
    name = reader.name if reader is not None else source.kind
    at = plan.stages.index(reader) if reader is not None else 0
    alone = gives_one_element(plan, reader)
    reason = "" if alone else _refusal(plan, at, reader, facts)
    if reason:
        yield Declined(name, f"more files in turn give elements in another order: {reason}")
        return
    now = reader.cycle_length if reader is not None and reader.num_parallel_calls is not None else 1
    for width in sorted({min(width, known.files) for width in WIDTHS}):
        if now != AUTO and width <= now:
            continue
        wide = dataclasses.replace(
            reader or Interleave(), cycle_length=width, num_parallel_calls=width, deterministic=in_order(plan, facts)
        )
        changed = with_stages(plan, at, 0 if reader is None else 1, (wide,))
        yield Rewrite(changed, name, f"{width} files at a time", "exact" if alone else "set")


def _refusal(plan: Plan, at: int, reader: Interleave | None, facts: Facts) -> str:
    if reader is not None and asks_for_order(reader, plan, facts):
        return f"{reader.name} or the options of the pipeline ask for the one it has"
    return holds_order(plan, at, facts)


RULE = Rule("interleave_files", "the waits for the storage overlap", _find)
