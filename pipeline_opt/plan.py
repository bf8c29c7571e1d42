"""The plan: a source and a tuple of stages, immutable; a change gives a new plan."""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from pipeline_opt.bounds import MOST
from pipeline_opt.errors import FunctionError, KnobError, PipelineOptError, PlanError
from pipeline_opt.functions import Function
from pipeline_opt.names import inner_prefix
from pipeline_opt.sources import FileSource, OpaqueDataset, Source
from pipeline_opt.stages import Interleave, Stage, inner_stages

P = TypeVar("P", bound="Plan")


@dataclass(frozen=True)
class Plan:
    """A source and the stages that its elements pass through, first to last.

    Every stage gets a unique name: the one given, else its kind (`map`, `map_2`, ...).
    """

    source: Source
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", _named(self.stages, _source_names(self.source)))

    def stage(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            PlanError: there is none; the message lists the names and the nearest one.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        names = [stage.name for stage in self.stages]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PlanError(f"no stage is called {name!r}; stages: {', '.join(names) or 'none'}{hint}")

    def with_stages(self, stages: Iterable[Stage]) -> Self:
        """The same source with other stages."""
        return dataclasses.replace(self, stages=tuple(stages))

    def append(self, stage: Stage) -> Self:
        """A plan with one more stage at the end."""
        return self.with_stages((*self.stages, stage))

    def insert(self, stage: Stage, *, before: str | None = None, after: str | None = None) -> Self:
        """A plan with one more stage, before or after the stage of a given name."""
        at = self._position(before, after)
        return self.with_stages((*self.stages[:at], stage, *self.stages[at:]))

    def remove(self, name: str) -> Self:
        """A plan without the stage of that name."""
        gone = self.stage(name)
        return self.with_stages(s for s in self.stages if s is not gone)

    def replace(self, name: str, **changes: Any) -> Self:
        """A plan in which the stage `name` has other arguments.

        Raises:
            KnobError: the stage has no such argument; the message lists those it has.
        """
        old = self.stage(name)
        known = [f.name for f in dataclasses.fields(old)]
        for argument in changes:
            if argument not in known:
                has = ", ".join(sorted(known))
                raise KnobError(f"{name}: no argument is called {argument!r}; {old.kind} has: {has}")
        new = dataclasses.replace(old, **changes)
        return self.with_stages(new if s is old else s for s in self.stages)

    def reorder(self, name: str, *, before: str | None = None, after: str | None = None) -> Self:
        """A plan in which the stage `name` stands before or after another."""
        moved = self.stage(name)
        return self.remove(name).insert(moved, before=before, after=after)

    def _position(self, before: str | None, after: str | None) -> int:
        if (before is None) == (after is None):
            raise PlanError("say where: either before='stage' or after='stage'")
        anchor = self.stage(before if before is not None else str(after))
        at = next(i for i, s in enumerate(self.stages) if s is anchor)
        return at + (before is None)

    @property
    def reader(self) -> Interleave | None:
        """The interleave stage that opens the source's files, if there is one."""
        if not isinstance(self.source, FileSource):
            return None
        found = (s for s in self.stages if isinstance(s, Interleave) and s.map_func is None)
        return next(found, None)


@dataclass(frozen=True, kw_only=True)
class Zip(Source):
    """Tuples of one element from each plan, until the shortest ends."""

    kind: ClassVar[str] = "zip"
    plans: tuple[Plan, ...]

    def __post_init__(self) -> None:
        _require_plans(self)


@dataclass(frozen=True, kw_only=True)
class Concatenate(Source):
    """The elements of one plan after those of another."""

    kind: ClassVar[str] = "concatenate"
    plans: tuple[Plan, ...]

    def __post_init__(self) -> None:
        _require_plans(self)


@dataclass(frozen=True, kw_only=True)
class Sample(Source):
    """Elements drawn at random from several plans, with given weights (equal ones if None)."""

    kind: ClassVar[str] = "sample"
    plans: tuple[Plan, ...]
    weights: tuple[float, ...] | None = None
    seed: int | None = None
    stop_on_empty_dataset: bool = False

    def __post_init__(self) -> None:
        _require_plans(self)
        if self.seed is not None:
            self._require_count("seed", least=-MOST, most=MOST)
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(float(w) for w in self.weights))
            fits = len(self.weights) == len(self.plans) and min(self.weights) >= 0 and sum(self.weights) > 0
            if not fits:
                raise KnobError(
                    f"sample: weights={self.weights!r} is out of range; "
                    f"valid: {len(self.plans)} numbers from 0, not all 0, one for each pipeline"
                )


@dataclass(frozen=True, kw_only=True)
class Merge(Source):
    """What a transformation makes of several pipelines that a plan has no words for.

    Args:
        plans: The pipelines.
        transformation: The function of their datasets, one argument each.
    """

    kind: ClassVar[str] = "merge"
    plans: tuple[Plan, ...]
    transformation: Function

    def __post_init__(self) -> None:
        _require_plans(self)


Combination = Zip | Concatenate | Sample | Merge
"""The sources in which plans meet."""


def _require_plans(source: Any) -> None:
    object.__setattr__(source, "plans", tuple(source.plans))
    if len(source.plans) < 2 or not all(isinstance(p, Plan) for p in source.plans):
        raise KnobError(f"{source.kind}: plans={source.plans!r} is out of range; valid: two pipelines or more")


def item_names(plan: Plan, prefix: str = "") -> dict[str, Source | Stage]:
    """Every source and stage by the name that its dataset carries, those of plans inside the source included."""
    names: dict[str, Source | Stage] = _source_names(plan.source, prefix)
    names.update({prefix + stage.name: stage for stage in with_inner(plan.stages)})
    return names


def with_inner(stages: Iterable[Stage]) -> Iterator[Stage]:
    """Some stages, before each those inside it."""
    for stage in stages:
        yield from with_inner(inner_stages(stage))
        yield stage


def _source_names(source: Source, prefix: str = "") -> dict[str, Source | Stage]:
    names: dict[str, Source | Stage] = {prefix + source.kind: source}
    for number, inner in enumerate(source.plans if isinstance(source, Combination) else ()):
        names.update(item_names(inner, inner_prefix(prefix, number)))
    return names


def unfolded(plan: P) -> P:
    """The plan with those that functions return in its source written out: their stages come first, as `dataset_map`.

    A function that returns a dataset is called once, and the dataset kept beside it.

    Raises:
        FunctionError: A function cannot be imported, or raised.
    """
    source = plan.source
    if isinstance(source, Combination):
        inner = tuple(unfolded(part) for part in source.plans)
        return dataclasses.replace(plan, source=dataclasses.replace(source, plans=inner))
    if not isinstance(source, OpaqueDataset) or source.dataset is not None or source.factory is None:
        return plan
    try:
        made = source.factory.load()()
    except PipelineOptError:
        raise
    except (Exception, SystemExit) as error:
        raise FunctionError(f"source: {source.factory.label} raised {type(error).__name__}: {error}") from error
    if not isinstance(made, Plan):
        return dataclasses.replace(plan, source=dataclasses.replace(source, dataset=made))
    made = unfolded(made)
    first = (dataclasses.replace(stage, name=f"{source.kind}_{stage.name}") for stage in made.stages)
    return dataclasses.replace(plan, source=made.source, stages=(*first, *plan.stages))


def _named(stages: Iterable[Stage], reserved: Collection[str]) -> tuple[Stage, ...]:
    """Give every stage without a name one of its own; refuse a name that stands twice, or is one of the source's."""
    stages = tuple(stages)
    everywhere = tuple(with_inner(stages))
    for stage in everywhere:
        if not isinstance(stage, Stage):
            raise PlanError(f"not a stage: {stage!r}")
        if stage.name and not stage.name.isidentifier():
            raise PlanError(
                f"the name {stage.name!r} cannot be used; valid: letters, digits and underscores, no digit first"
            )
    counts = Counter([*reserved, *(s.name for s in everywhere if s.name)])
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise PlanError(f"the name {twice[0]!r} stands twice; every stage needs a name of its own")
    return tuple(_with_names(stages, set(counts)))


def _with_names(stages: Iterable[Stage], taken: set[str]) -> Iterator[Stage]:
    """The stages, each with a name; those inside others come first."""
    for stage in stages:
        inner = tuple(_with_names(inner_stages(stage), taken))
        name = stage.name or _free_name(stage.kind, taken)
        taken.add(name)
        changes: dict[str, Any] = {} if inner == inner_stages(stage) else {"inner": inner}
        same = stage.name == name and not changes
        yield stage if same else dataclasses.replace(stage, name=name, **changes)


def _free_name(kind: str, taken: set[str]) -> str:
    if kind not in taken:
        return kind
    number = 2
    while f"{kind}_{number}" in taken:
        number += 1
    return f"{kind}_{number}"
