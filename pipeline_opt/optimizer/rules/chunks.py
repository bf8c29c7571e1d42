"""A map that no batch follows computes its function for many rows at once, and gives them one by one again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from pipeline_opt.optimizer.calls import call_s
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import Flow, flows, form_of
from pipeline_opt.optimizer.loads import unbatch_s
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, swallows_errors, with_stages
from pipeline_opt.order.position import after, start
from pipeline_opt.plan import Plan, item_names
from pipeline_opt.stages import (
    Batch,
    Cache,
    Map,
    OpaqueStage,
    Options,
    PaddedBatch,
    Prefetch,
    Rebatch,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Snapshot,
    Stage,
    Take,
    Unbatch,
)

FORM: Final = "ragged"
"""The form of a function that such a map computes: rows of a batch may be of several lengths."""
END_TO_END: Final = (FORM, "flat")
"""The forms where rows are sequences that the next stage joins again: they are end to end, and never taken apart."""
ROWS: Final = 256
"""Rows in a chunk: a call's own cost is next to nothing then for each of them."""
LEAST_ROWS: Final = 16
MOST_BYTES: Final = 4 << 20
"""Of a chunk; assumed: larger ones would not stay in a processor's cache until they are taken apart."""
_PASSING: Final = (Map, Options, Shuffle, Repeat, Prefetch, Cache, Snapshot, Take, Skip, Shard)
"""Stages that a map may get past, so that it comes to stand before a batch."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    here = start(plan)
    for at, stage in enumerate(plan.stages):
        single = not (here.batched or here.reader)
        if isinstance(stage, Map) and single and not (stage.forms or stage.batched or _is_batched(plan, at)):
            yield _in_chunks(plan, at, stage, facts)
        here = after(here, stage)


def _is_batched(plan: Plan, at: int) -> bool:
    return batch_behind(plan.stages[at + 1 :]) is not None


def batch_behind(stages: tuple[Stage, ...]) -> Stage | None:
    """The batch that stages lead to which a map may get past; None where there is none: the map has to batch by itself."""
    behind = next((stage for stage in stages if not isinstance(stage, _PASSING)), None)
    return behind if isinstance(behind, Batch | PaddedBatch) else None


def _in_chunks(plan: Plan, at: int, stage: Map, facts: Facts) -> Rewrite | Declined:
    known = form_of(stage, facts)
    found = known.form(FORM)
    reason = _refusal(plan, at, stage, facts) or found.refused
    if reason:
        return Declined(stage.name, reason)
    _, taken, given = flows(plan, facts)[at]
    before, behind = _neighbour(plan, at - 1), _neighbour(plan, at + 1)
    joined = before if isinstance(before, Unbatch) and before.dense else None
    cut = behind if isinstance(behind, Rebatch) and known.form("+".join(END_TO_END)).refused is None else None
    rows = chunk_rows(taken.bytes, given.bytes)
    moving = 0.0 if joined else _joining(taken, facts) + (0.0 if cut else _apart(stage, given, facts))
    reason = _too_little(stage, rows, moving, facts)
    if reason:
        return Declined(stage.name, reason)
    chunks = None if joined else Batch(name=f"{stage.name}_chunks", batch_size=rows, num_parallel_calls=None)
    whole = dataclasses.replace(stage, forms=END_TO_END if cut else (FORM,), batched=True)
    apart = None if cut else joined or Unbatch(name=rows_name(stage.name), dense=True)
    stages = [new for new in (chunks, whole, apart) if new]
    taken_names = set(item_names(plan)) & {new.name for new in stages if new not in (whole, joined)}
    if taken_names:
        return Declined(stage.name, f"the name {min(taken_names)} is taken")
    changed = with_stages(plan, at - 1, 2, stages) if joined else with_stages(plan, at, 1, stages)
    at_once = "the rows of a batch at once" if joined else f"{rows} rows at once, which are read ahead"
    ends = f"before {joined.name}" if joined else "and gives them one by one"
    gives = f"from which {cut.name} cuts its batches" if cut else ends
    what = f"{stage.name} computes {at_once}, {gives}"
    return Rewrite(changed, stage.name, what, found.preserves, found.evidence)


def _neighbour(plan: Plan, at: int) -> Stage | None:
    return plan.stages[at] if 0 <= at < len(plan.stages) else None


def rows_name(stage: str) -> str:
    """The name of what takes the chunks of a map apart, under which is known what that takes."""
    return f"{stage}_rows"


def chunk_rows(taken_bytes: float, given_bytes: float) -> int:
    """Rows in a chunk: fewer where what a function takes for one and what it gives are large."""
    rows = ROWS
    while rows > LEAST_ROWS and rows * (taken_bytes + given_bytes) > MOST_BYTES:
        rows //= 2
    return rows


def _refusal(plan: Plan, at: int, stage: Map, facts: Facts) -> str:
    """Why a map may not compute more than it was asked for; nothing if it may."""
    known = form_of(stage, facts)
    if known.purity != "pure":
        return f"it is {known.purity}: {known.evidence}"
    swallows = swallows_errors(plan, at + 1, facts)
    if swallows:
        return f"where it fails, {swallows} would leave out all rows that are computed with that one"
    chosen = next(filter(_ends_early, plan.stages[at + 1 :]), None)
    if chosen is not None:
        return f"{chosen.name} asks for some rows only, and it may fail for others"
    return "" if facts.whole else "not all rows are asked for, and it may fail for others"


def _ends_early(stage: Stage) -> bool:
    """Whether a stage may end a pipeline before all that comes to it was asked for."""
    call = stage.transformation.call if isinstance(stage, OpaqueStage) and stage.transformation else None
    return isinstance(stage, Take) or getattr(call, "__name__", "") == "take_while"


def _joining(taken: Flow, facts: Facts) -> float:
    """Core-seconds to copy a row into a chunk."""
    return facts.overheads.row + taken.bytes * facts.overheads.byte


def _apart(stage: Map, given: Flow, facts: Facts) -> float:
    """Core-seconds to take a row out of a chunk again."""
    measured = facts.stage(rows_name(stage.name))
    return unbatch_s(given, facts) if measured is None else measured.cpu_s


def _too_little(stage: Map, rows: int, moving: float, facts: Facts) -> str:
    """Why rows at once would not pay; nothing if they do."""
    cost, known = facts.overheads, form_of(stage, facts)
    call = cost.call if stage.num_parallel_calls is None else call_s(stage.num_parallel_calls, facts)
    alone = known.cpu_s + call
    together = known.form(FORM).cpu_s + call / rows + moving
    if together < alone:
        return ""
    return f"a row takes {alone * 1e6:.1f} us of a core, and {together * 1e6:.1f} us where {rows} are computed at once"


RULE = Rule("chunks", "one call computes many rows, so that what every call costs is paid once for all of them", _find)
