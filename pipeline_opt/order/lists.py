"""An order given as a list of stage names, and the plan that follows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar

from pipeline_opt.errors import ConfigError, OrderError
from pipeline_opt.names import implied_kind, nearest_name
from pipeline_opt.plan import Plan
from pipeline_opt.stages import STAGES, Cache, Interleave, Prefetch, Repeat, Stage, Unbatch

P = TypeVar("P", bound=Plan)

DEFAULTS: Final[Mapping[str, Stage]] = MappingProxyType(
    {stage.kind: stage for stage in (Interleave(), Cache(), Prefetch(), Repeat(), Unbatch())}
)
"""The stages that an order may add without further arguments, by kind."""

_KINDS: Final = tuple(stage.kind for stage in STAGES)
_NOTHING: Final[Mapping[str, Stage]] = MappingProxyType({})


def parse_order(text: str) -> tuple[str, ...]:
    """Split an order written as `interleave,map,cache,shuffle,batch,prefetch`.

    Raises:
        ConfigError: the text is empty, or holds an empty name.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise ConfigError(
            f"not an order: {text!r}; write stage names with commas between, such as 'map,batch,prefetch'"
        )
    return names


def apply_order(plan: P, order: Sequence[str], defaults: Mapping[str, Stage] = _NOTHING) -> P:
    """The plan with its stages in another order; whether that order is legal is `check_order`'s to say.

    Args:
        plan: The plan to put in order.
        order: Stage names, first to last, after an optional "source". The name of a kind, such as `map`, stands for
            all stages of that kind that the list does not name one by one, in their sequence.
        defaults: The stage to add, by kind, for a name that the plan lacks, besides `DEFAULTS`.

    Raises:
        OrderError: the list leaves out a stage of the plan, or has "source" elsewhere than first.
        ConfigError: the list names a stage twice, or one that the plan lacks and that has no default.
    """
    names = _without_source(order)
    stages = tuple(stage for name in names for stage in _meant(plan, name, names, {**DEFAULTS, **defaults}))
    kept = {stage.name for stage in stages}
    missing = [stage.name for stage in plan.stages if stage.name not in kept]
    if missing:
        raise OrderError(
            f"the order leaves out: {', '.join(missing)}; name every stage of the plan (a kind stands for all stages "
            "of its kind), or remove the stage from the plan"
        )
    return plan.with_stages(stages)


def _without_source(order: Sequence[str]) -> tuple[str, ...]:
    names = tuple(order)
    if "source" in names[1:]:
        rest = [name for name in names if name != "source"]
        raise OrderError(
            "source stands after other stages, which need its elements; "
            f"nearest legal order: {','.join(('source', *rest))}"
        )
    names = names[1:] if names[:1] == ("source",) else names
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name!r} stands twice in the order; name each stage once, as in map,batch,map_2")
    return names


def _meant(plan: Plan, name: str, names: tuple[str, ...], defaults: Mapping[str, Stage]) -> Iterator[Stage]:
    """The stages that a name in the list stands for: those of the plan, else a new one."""
    found = [s for s in plan.stages if s.name == name or (s.kind == name and s.name not in names)]
    yield from found or [_new(plan, name, defaults)]


def _new(plan: Plan, name: str, defaults: Mapping[str, Stage]) -> Stage:
    kind = implied_kind(name)
    if kind in defaults:
        return dataclasses.replace(defaults[kind], name=name)
    addable = sorted(defaults)
    if kind in _KINDS:
        raise ConfigError(
            f"the plan has no stage {name!r} to put in order, and {kind} has no default arguments; "
            f"stages that an order can add: {', '.join(addable)}"
        )
    valid = [*(stage.name for stage in plan.stages), *addable]
    raise ConfigError(
        f"no stage is called {name!r}; valid: {', '.join(dict.fromkeys(valid))}{nearest_name(name, [*valid, *_KINDS])}"
    )
