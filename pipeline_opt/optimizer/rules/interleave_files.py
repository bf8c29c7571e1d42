"""More files are read at a time, so that their storage is waited for at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, order_is_free, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.sources import FileSource, Images
from pipeline_opt.stages import AUTO, Interleave

WIDTHS = (4, 8, 16, 32, 64, 128)
"""Files at a time that are tried."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    source, reader = plan.source, plan.reader
    known = facts.stage(source.kind)
    if not isinstance(source, FileSource) or known is None or known.files < 2:
        return
    if not known.open_s and not known.stream_bytes_per_s and not known.wait_s:
        return
    name = reader.name if reader is not None else source.kind
    at = plan.stages.index(reader) if reader is not None else 0
    if not isinstance(source, Images) and not order_is_free(plan, at, facts):
        yield Declined(name, "more files in turn give elements in another order, and nothing behind shuffles them anew")
        return
    now = reader.cycle_length if reader is not None and reader.num_parallel_calls is not None else 1
    for width in sorted({min(width, known.files) for width in WIDTHS}):
        if now != AUTO and width <= now:
            continue
        wide = Interleave(cycle_length=width, num_parallel_calls=width, deterministic=True)
        if reader is not None:
            wide = dataclasses.replace(wide, name=reader.name, block_length=reader.block_length)
        changed = with_stages(plan, at, 0 if reader is None else 1, (wide,))
        preserves = "exact" if isinstance(source, Images) else "set"
        yield Rewrite(changed, name, f"{width} files at a time", preserves)


RULE = Rule("interleave_files", "the waits for the storage overlap", _find)
