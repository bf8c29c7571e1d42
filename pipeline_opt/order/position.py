"""What the elements are at a point of a plan, and which stage may stand there."""

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import FileSource, OpaqueDataset, Source
from pipeline_opt.stages import (
    BATCHING,
    Batch,
    BucketBySequenceLength,
    Cache,
    FlatMap,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    PaddedBatch,
    Prefetch,
    PrefetchToDevice,
    RaggedBatch,
    Rebatch,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Snapshot,
    Stage,
    Take,
    Unbatch,
    inner_stages,
)

FILE_LEVEL: Final[tuple[type[Stage], ...]] = (Shuffle, Shard, Take, Skip, Repeat)
"""The stages that make sense on file names, before the interleave that reads the files."""

_SINGLE_ONLY: Final = (PaddedBatch, RaggedBatch, BucketBySequenceLength)


class Position(NamedTuple):
    """What is known of the elements between two stages.

    Attributes:
        reader: The interleave stage still to come that opens the files; None once elements are records.
        batched: Whether an element is a batch; None where a user's code decides it.
        device: The stage that has handed the elements to the accelerator, if one has.
        mapped: Whether a function made the elements: single ones, a vector each, may then have rows, too.
    """

    reader: str | None = None
    batched: bool | None = False
    device: str | None = None
    mapped: bool = False


def start(plan: Plan) -> Position:
    """The position before the first stage."""
    reader = plan.reader
    return Position(reader.name if reader else None, _source_batched(plan.source))


def end(plan: Plan) -> Position:
    """The position after the last stage, whether or not the order is legal."""
    at = start(plan)
    for stage in plan.stages:
        at = after(at, stage)
    return at


def after(at: Position, stage: Stage) -> Position:
    """The position behind a stage that stands at `at`."""
    if stage.name == at.reader:
        return _behind_inner(at._replace(reader=None), stage)
    if inner_stages(stage):
        return _behind_inner(at, stage)
    if isinstance(stage, Map):
        return at._replace(mapped=True)
    if isinstance(stage, BATCHING):
        return at._replace(batched=True)
    if isinstance(stage, Unbatch):
        return at._replace(batched=False)
    if is_unknown(stage):
        return at._replace(batched=None)
    if isinstance(stage, PrefetchToDevice):
        return at._replace(device=stage.name)
    return at


def _inside(stage: Stage) -> Position:
    """The position before the first stage inside another one: of a file's elements, or of what a user's code makes."""
    return Position(None, None if is_unknown(stage) else False)


def _behind_inner(at: Position, stage: Stage) -> Position:
    """The position behind a stage, of what leaves the last of those inside it."""
    inside = _inside(stage)
    for inner in inner_stages(stage):
        inside = after(inside, inner)
    return at._replace(batched=inside.batched, mapped=at.mapped or inside.mapped)


def _inside_refusal(stage: Stage, source: Source) -> str | None:
    """Why one of the stages inside another one cannot stand where it does."""
    at = _inside(stage)
    for inner in inner_stages(stage):
        if isinstance(inner, PrefetchToDevice):
            return f"{inner.name} stands inside {stage.name}, where nothing can be handed to the accelerator"
        reason = refusal(at, inner, source)
        if reason is not None:
            return f"inside {stage.name}: {reason}"
        at = after(at, inner)
    return None


def is_unknown(stage: Stage) -> bool:
    """Whether a user's code decides if the elements behind this stage are batches."""
    made_by_code = isinstance(stage, Interleave) and stage.map_func is not None
    return made_by_code or isinstance(stage, FlatMap | OpaqueStage)


def refusal(at: Position, stage: Stage, source: Source) -> str | None:
    """Why a stage cannot stand at a position; None if it can."""
    if at.device is not None and not isinstance(stage, Options):
        handed = "which hands the elements to the accelerator"
        return f"{stage.name} stands after {at.device}, {handed}: only options may follow"
    if isinstance(stage, Interleave) and stage.map_func is None and stage.name != at.reader:
        return _idle_reader(stage, source)
    if at.reader is not None and stage.name != at.reader and not isinstance(stage, FILE_LEVEL):
        return f"{stage.name} stands before {at.reader}, which opens the files: {_too_early(stage)}"
    return _batch_refusal(at, stage) or _inside_refusal(stage, source)


def _idle_reader(stage: Interleave, source: Source) -> str:
    if not isinstance(source, FileSource):
        return (
            f"{stage.name} has no map_func, and the source ({source.kind}) has no files to open: "
            "give it a map_func or leave it out"
        )
    return f"{stage.name} is the second interleave without a map_func: the files are open already; leave it out"


def _too_early(stage: Stage) -> str:
    match stage:
        case Prefetch() | PrefetchToDevice():
            return "there is nothing to prefetch yet"
        case Cache() | Snapshot():
            return "there is nothing to keep yet"
        case Options():
            return "options belong to the records"
        case Unbatch() | Rebatch():
            return "there are no batches yet"
        case _ if isinstance(stage, BATCHING):
            return "it would batch file names"
        case _:
            return "it would get file names, not records"


def _batch_refusal(at: Position, stage: Stage) -> str | None:
    match stage:
        case Map(batched=True) if at.batched is False:
            return f"{stage.name} works on batches (batched=True) and stands where elements are single: batch first"
        case Map(batched=False) if at.batched is True:
            return f"{stage.name} works on single elements (batched=False) and stands where elements are batches"
        case Unbatch() | Rebatch() if at.batched is False and not at.mapped:
            return f"{stage.name} needs batches and stands where elements are single: batch first"
        case Batch():
            return None
        case PaddedBatch() | RaggedBatch() | BucketBySequenceLength() if at.batched is True:
            return f"{stage.name} needs single elements and stands where elements are batches"
        case _:
            return None


def _source_batched(source: Source) -> bool | None:
    if isinstance(source, OpaqueDataset):
        return None
    if isinstance(source, Combination):
        states = {end(plan).batched for plan in source.plans}
        return states.pop() if len(states) == 1 else None
    return False
