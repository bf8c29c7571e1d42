"""The legal order nearest to a given one: fewest stages moved, then the shortest way moved."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final, NamedTuple

from pipeline_opt.order.position import FILE_LEVEL, Position, after, is_unknown, refusal, start
from pipeline_opt.plan import Plan
from pipeline_opt.stages import BATCHING, Map, Options, PrefetchToDevice, Rebatch, Stage, Unbatch

MAX_VISITS: Final = 20_000
"""Partial orders looked at before the search settles for any legal order: about a second."""


class _Partial(NamedTuple):
    """A legal beginning of a new order; compares by what it costs, then by the stages' old numbers.

    Attributes:
        moved: Stages that stand out of sequence, those already certain to included.
        way: Places by which the stages placed so far are away from their old ones, added up.
        order: Old numbers of the stages placed so far.
        last: Old number of the last stage that has kept its sequence.
        at: The position behind the last stage placed.
    """

    moved: int
    way: int
    order: tuple[int, ...]
    last: int
    at: Position


def nearest_order(plan: Plan) -> tuple[str, ...] | None:
    """The stage names in the legal order nearest to the plan's own, or None if no order is legal.

    Nearest is the order with the fewest moved stages (all but the longest run of stages that stay in sequence),
    among those the one with the smallest sum of distances, among those the one that keeps early stages early.
    The search is exact up to `MAX_VISITS` partial orders, and settles for any legal order beyond.
    """
    found = _search(plan)
    return None if found is None else tuple(plan.stages[number].name for number in found)


def _search(plan: Plan) -> tuple[int, ...] | None:
    """A best-first search: every entry's cost is a lower bound of what its best completion costs."""
    free = _may_move(plan)
    waiting = [_Partial(0, 0, (), -1, start(plan))]
    seen: set[tuple[frozenset[int], int, Position]] = set()
    while waiting:
        best = heapq.heappop(waiting)
        if len(best.order) == len(plan.stages):
            return best.order
        key = (frozenset(best.order), best.last, best.at)
        if key in seen:
            continue
        seen.add(key)
        if len(seen) > MAX_VISITS:
            return _any_legal(plan)
        for partial in _continuations(plan, best, free):
            heapq.heappush(waiting, partial)
    return None


def _continuations(plan: Plan, partial: _Partial, free: frozenset[int]) -> Iterator[_Partial]:
    """Place one more stage: in sequence (all those it overtakes count as moved), or out of it."""
    place = len(partial.order)
    placed = set(partial.order)
    for number, stage in enumerate(plan.stages):
        if number in placed or refusal(partial.at, stage, plan.source) is not None:
            continue
        way = partial.way + abs(number - place)
        order, at = (*partial.order, number), after(partial.at, stage)
        if number > partial.last:
            overtaken = [n for n in range(partial.last + 1, number) if n not in placed]
            if free.issuperset(overtaken):
                yield _Partial(partial.moved + len(overtaken), way, order, number, at)
            if number in free:
                yield _Partial(partial.moved + 1, way, order, partial.last, at)
        else:
            # It was counted when it was overtaken.
            yield _Partial(partial.moved, way, order, partial.last, at)


def _may_move(plan: Plan) -> frozenset[int]:
    """Numbers of the stages that a nearest order may move; no other stage can make an order illegal or legal."""
    stages = plan.stages
    reader = next((n for n, s in enumerate(stages) if s is plan.reader), -1)
    device = next((n for n, s in enumerate(stages) if isinstance(s, PrefetchToDevice)), len(stages))
    cut = any(isinstance(stage, Unbatch | Rebatch) for stage in stages)
    free = {n for n, s in enumerate(stages) if _counts_batches(s, cut) or n in (reader, device)}
    free |= {n for n in range(reader) if not isinstance(stages[n], FILE_LEVEL)}
    free |= {n for n in range(device, len(stages)) if not isinstance(stages[n], Options)}
    return frozenset(free)


def _counts_batches(stage: Stage, cut: bool) -> bool:
    """Whether where a stage stands has to do with batches; `cut`: whether any stage cuts what functions make into rows."""
    bound = isinstance(stage, Map) and (cut or stage.batched is not None)
    return bound or is_unknown(stage) or isinstance(stage, (*BATCHING, Unbatch))


def _any_legal(plan: Plan) -> tuple[int, ...] | None:
    """A legal order found by taking the earliest stage that fits, going back where that leads nowhere."""
    dead: set[tuple[frozenset[int], Position]] = set()

    def complete(order: tuple[int, ...], at: Position) -> tuple[int, ...] | None:
        key = (frozenset(order), at)
        if len(order) == len(plan.stages) or key in dead or len(dead) > MAX_VISITS:
            return order if len(order) == len(plan.stages) else None
        for number, stage in enumerate(plan.stages):
            if number not in key[0] and refusal(at, stage, plan.source) is None:
                found = complete((*order, number), after(at, stage))
                if found is not None:
                    return found
        dead.add(key)
        return None

    return complete((), start(plan))
