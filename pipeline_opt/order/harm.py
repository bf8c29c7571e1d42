"""Orders that can be built and do harm: one function a rule, each says what the order does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from pipeline_opt.names import inner_prefix
from pipeline_opt.order.position import Position, after, start
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.stages import (
    Cache,
    FlatMap,
    Interleave,
    Map,
    Options,
    Prefetch,
    PrefetchToDevice,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Snapshot,
    Stage,
    Take,
)


class Harm(NamedTuple):
    """A stage whose place does harm, and what that does.

    Attributes:
        stage: The stage's name; in a plan inside another one with its place, as `in0_shuffle`.
        message: Where the stage stands and what that does, as a sentence about the stage.
    """

    stage: str
    message: str


class _Item(NamedTuple):
    path: str
    stage: Stage


class _Line(NamedTuple):
    """What the rules look at.

    Attributes:
        inner: The stages of the plans that meet in the source, if plans do.
        own: The plan's own stages.
        outer: The stages of the plans around this one, which come later.
        positions: What the elements are before each of the plan's own stages.
        random: Paths of the stages that were found to be random.
    """

    inner: tuple[_Item, ...]
    own: tuple[_Item, ...]
    outer: tuple[Stage, ...]
    positions: tuple[Position, ...]
    random: Collection[str]

    def before(self, number: int) -> tuple[_Item, ...]:
        """All that has happened to the elements before the plan's stage of that number."""
        return self.inner + self.own[:number]


def harms(plan: Plan, random_stages: Collection[str] = frozenset()) -> tuple[Harm, ...]:
    """The harm that the order of a plan's stages does, in the order of the plan; only what is certain from the plan.

    Args:
        plan: A plan whose order is legal.
        random_stages: Names of the stages whose function was found to be random (in a plan inside another one as
            `in0_augment`), besides the maps that say so. A map with `random=False` stays what it says.
    """
    return (*_harms(plan, "", (), random_stages), *_no_prefetch_at_end(plan))


def rests_on_purity(plan: Plan) -> bool:
    """Whether the harm that a plan does can depend on which of its functions are random."""
    keeps = any(isinstance(stage, Cache | Snapshot) for stage in plan.stages)
    return keeps or any(rests_on_purity(part) for _, part in _parts(plan, ""))


def _harms(plan: Plan, prefix: str, outer: tuple[Stage, ...], random: Collection[str]) -> Iterator[Harm]:
    for where, part in _parts(plan, prefix):
        yield from _harms(part, where, plan.stages + outer, random)
    at, positions = start(plan), []
    for stage in plan.stages:
        positions.append(at)
        at = after(at, stage)
    inner = tuple(item for where, part in _parts(plan, prefix) for item in _items(part, where))
    line = _Line(inner, _own(plan, prefix), outer, tuple(positions), random)
    for number, item in enumerate(line.own):
        for rule in RULES:
            message = rule(line, number, item.stage)
            if message is not None:
                yield Harm(item.path, message)


def _parts(plan: Plan, prefix: str) -> Iterator[tuple[str, Plan]]:
    if isinstance(plan.source, Combination):
        for number, part in enumerate(plan.source.plans):
            yield inner_prefix(prefix, number), part


def _own(plan: Plan, prefix: str) -> tuple[_Item, ...]:
    return tuple(_Item(prefix + stage.name, stage) for stage in plan.stages)


def _items(plan: Plan, prefix: str) -> Iterator[_Item]:
    for where, part in _parts(plan, prefix):
        yield from _items(part, where)
    yield from _own(plan, prefix)


def _frozen_shuffle(line: _Line, number: int, stage: Stage) -> str | None:
    if not isinstance(stage, Cache | Snapshot):
        return None
    shuffled = [i for i in line.before(number) if isinstance(i.stage, Shuffle) and i.stage.reshuffle_each_iteration]
    later = (*(item.stage for item in line.own[number:]), *line.outer)
    if not shuffled or any(isinstance(s, Shuffle) for s in later):
        return None
    return (
        f"stands after {shuffled[-1].path}, so the order of the first epoch is kept and every later epoch repeats it; "
        f"put {shuffled[-1].path} after it"
    )


def _frozen_augmentation(line: _Line, number: int, stage: Stage) -> str | None:
    if not isinstance(stage, Cache | Snapshot):
        return None
    random = [item.path for item in line.before(number) if _is_random(item, line.random)]
    if not random:
        return None
    return (
        f"stands after {random[-1]}, which is random, so every later epoch sees the very same augmentations; "
        f"put {random[-1]} after it"
    )


def _is_random(item: _Item, found: Collection[str]) -> bool:
    said = item.stage.random if isinstance(item.stage, Map) else None
    return item.path in found if said is None else said


def _cached_repetition(line: _Line, number: int, stage: Stage) -> str | None:
    repeat = _last_repeat(line, number) if isinstance(stage, Cache | Snapshot) else None
    if repeat is None:
        return None
    if repeat.count is None:
        return (
            f"stands after {repeat.name}, which never ends, so what is kept is never complete and never read, and "
            f"grows until there is no room; put {repeat.name} after it"
        )
    return f"stands after {repeat.name}, so every element is kept {repeat.count} times; put {repeat.name} after it"


def _blended_epochs(line: _Line, number: int, stage: Stage) -> str | None:
    repeat = _last_repeat(line, number) if isinstance(stage, Shuffle) else None
    if repeat is None:
        return None
    return (
        f"stands after {repeat.name}, so epochs blend and an element can come twice before another has come once; "
        f"put {repeat.name} after it"
    )


def _last_repeat(line: _Line, number: int) -> Repeat | None:
    """The last stage before that repeats the data, if none behind it cuts the repetition short."""
    for item in reversed(line.own[:number]):
        if isinstance(item.stage, Take):
            return None
        if isinstance(item.stage, Repeat) and item.stage.count not in (0, 1):
            return item.stage
    return None


def _shuffled_batches(line: _Line, number: int, stage: Stage) -> str | None:
    if not isinstance(stage, Shuffle) or line.positions[number].batched is not True:
        return None
    earlier = zip(line.own[:number], line.positions, strict=False)
    single = [item for item, at in earlier if at.reader is None and at.batched is not True]
    if any(isinstance(item.stage, Shuffle) for item in (*line.inner, *single)):
        return None
    return "stands where elements are batches, so whole batches are shuffled and the same elements stay together"


def _discarded_cache(line: _Line, number: int, stage: Stage) -> str | None:
    cache = _last_cache(line, number) if isinstance(stage, Take | Skip) else None
    if cache is None:
        return None
    if isinstance(stage, Skip):
        return f"stands after {cache}, so what it leaves out is kept and read again in every epoch"
    return (
        f"stands after {cache}: if it ends before the data does, the partly filled cache is discarded and filled anew "
        f"in every epoch; put {cache} after it"
    )


def _last_cache(line: _Line, number: int) -> str | None:
    """The last cache before, if nothing in between reads it more than once."""
    for item in reversed(line.own[:number]):
        if isinstance(item.stage, Repeat):
            return None
        if isinstance(item.stage, Cache):
            return item.stage.name
    return None


def _unseeded_shard(line: _Line, number: int, stage: Stage) -> str | None:
    if not isinstance(stage, Shard) or stage.num_shards == 1:
        return None
    unseeded = [i.path for i in line.before(number) if isinstance(i.stage, Shuffle) and i.stage.seed is None]
    if not unseeded:
        return None
    return (
        f"stands after {unseeded[-1]}, which has no seed, so every worker shuffles differently and workers may see the "
        f"same element twice and lose others; put {stage.name} first or give {unseeded[-1]} a seed"
    )


def _late_shard(line: _Line, number: int, stage: Stage) -> str | None:
    if not isinstance(stage, Shard) or stage.num_shards == 1:
        return None
    works = [i.path for i in line.before(number) if _runs_user_code(i.stage)]
    if not works:
        return None
    return (
        f"stands after {works[0]}, so every worker does that work for all elements and throws "
        f"{stage.num_shards - 1} of {stage.num_shards} results away; put {stage.name} before it"
    )


def _runs_user_code(stage: Stage) -> bool:
    made_by_code = isinstance(stage, Interleave) and stage.map_func is not None
    return made_by_code or isinstance(stage, Map | FlatMap)


def _no_prefetch_at_end(plan: Plan) -> Iterator[Harm]:
    stages = [stage for stage in plan.stages if not isinstance(stage, Options)]
    last = stages[-1] if stages else None
    if isinstance(last, PrefetchToDevice) or (isinstance(last, Prefetch) and last.buffer_size != 0):
        return
    if last is None and isinstance(plan.source, OpaqueDataset):
        return
    where = last.name if last else "source"
    effect = "making a batch and the training step take turns, unless TensorFlow adds a prefetch by itself"
    yield Harm(where, f"stands last and is no prefetch, so {effect}; end with prefetch")


RULES: Final[tuple[Callable[[_Line, int, Stage], str | None], ...]] = (
    _frozen_shuffle,
    _frozen_augmentation,
    _cached_repetition,
    _shuffled_batches,
    _blended_epochs,
    _discarded_cache,
    _unseeded_shard,
    _late_shard,
)
