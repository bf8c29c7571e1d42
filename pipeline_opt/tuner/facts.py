"""The facts of a plan: every function and stage run for a moment on a few elements of its own data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final

from pipeline_opt.build import transformations
from pipeline_opt.build.forms.needed import needed
from pipeline_opt.build.purities import purities_of
from pipeline_opt.build.purity import is_seeded, purity_of_graph
from pipeline_opt.build.steps import Built, build_steps
from pipeline_opt.build.traced import traced
from pipeline_opt.clock import Clock
from pipeline_opt.functions import Function
from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import Machine
from pipeline_opt.optimizer.facts import Facts, FunctionFacts, Overheads, StageFacts
from pipeline_opt.optimizer.rules.early_filter import early_predicate
from pipeline_opt.plan import Plan
from pipeline_opt.sources import FileSource, Source
from pipeline_opt.stages import (
    BATCHING,
    BucketBySequenceLength,
    Cache,
    Filter,
    FlatMap,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    Prefetch,
    PrefetchToDevice,
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
from pipeline_opt.storage import resolve
from pipeline_opt.tuner.forms import FormFinder, traced_by
from pipeline_opt.tuner.overheads import overheads
from pipeline_opt.tuner.samples import Samples, cpu_each, cpu_per_input, gathered
from pipeline_opt.tuner.streams import stream_of

tf = lazy_module("tensorflow")

_PASSING: Final = (Cache, Shuffle, Repeat, Take, Skip, Shard, Prefetch, PrefetchToDevice, Options, Snapshot)
"""Stages that leave elements what they are: what comes out of them need not be gathered anew."""


def gather_facts(plan: Plan, machine: Machine, clock: Clock, on_progress: Callable[[str], object]) -> Facts:
    """Measure what the optimizer has to know of a plan.

    Args:
        plan: A plan whose functions are unfolded.
        machine: What the pipeline may use.
        clock: Measures.
        on_progress: Told the stage that is looked at.
    """
    gatherer = _Gatherer(plan, clock, overheads(clock), on_progress)
    gatherer.run()
    return Facts(machine.cores, machine.ram_available_bytes, gatherer.functions, gatherer.stages, gatherer.cost)


class _Gatherer:
    """Goes through the built stages of a plan, with a few elements of each."""

    def __init__(self, plan: Plan, clock: Clock, cost: Overheads, on_progress: Callable[[str], object]) -> None:
        steps = build_steps(plan, resolve, on_host=True)
        self._purities = purities_of(steps)
        inside = {id(inner) for step in steps if isinstance(step.item, Stage) for inner in _all_inside(step.item)}
        self._steps = [step for step in steps if id(step.item) not in inside]
        self._clock = clock
        self._tell = on_progress
        self.cost = cost
        self.functions: dict[Function, FunctionFacts] = {}
        self.stages: dict[str, StageFacts] = {}
        self._taken: dict[int, Samples] = {}

    def run(self) -> None:
        before: Samples | None = None
        for number, step in enumerate(self._steps):
            self._tell(step.name)
            if isinstance(step.item, Source):
                before = self._source(step, step.item)
            elif before is not None:
                self._taken[number] = before
                before = self._stage(number, step, step.item, before)
            if before is None or not before.elements:
                return

    def _source(self, step: Built, source: Source) -> Samples:
        dataset = step.after
        if isinstance(source, FileSource):
            dataset = build_steps(Plan(source), resolve, on_host=True)[-1].after
        kept = gathered(dataset, self._clock, batched=False)
        far = isinstance(source, FileSource) and resolve(source).via != "local"
        each = 0.0 if far or not kept.elements else cpu_each(dataset.repeat(), self._clock)
        known = StageFacts(cpu_s=each, bytes_out=kept.bytes, elements=_cardinality(dataset))
        if isinstance(source, FileSource):
            known = self._files(source, known)
        self.stages[step.name] = known
        return kept

    def _files(self, source: FileSource, known: StageFacts) -> StageFacts:
        listed = resolve(source)
        count = int(listed.bytes / max(known.bytes_out, 1.0)) if listed.bytes else None
        known = dataclasses.replace(known, elements=count, files=len(listed.files))
        if listed.via == "local":
            return known
        stream = stream_of(source, listed, self._clock)
        return dataclasses.replace(
            known, cpu_s=stream.cpu_s, open_s=stream.open_s, stream_bytes_per_s=stream.bytes_per_s
        )

    def _stage(self, number: int, step: Built, stage: Stage | Source, taken: Samples) -> Samples | None:
        if isinstance(stage, _PASSING):
            return taken
        assert isinstance(stage, Stage)
        if inner_stages(stage):
            # What stands inside cannot be run apart: elements are taken of the whole, and costs are unknown.
            return gathered(step.after, self._clock, batched=isinstance(inner_stages(stage)[-1], BATCHING))
        if isinstance(stage, Interleave) and stage.map_func is None:
            return taken
        batched = isinstance(stage, BATCHING) or (taken.rows > 1 and not isinstance(stage, Unbatch))
        given = gathered(transformations.apply(taken.dataset, _sequential(stage)), self._clock, batched=batched)
        self._note(number, step.name, stage, taken, given)
        return given

    def _each(self, stage: Stage, taken: Samples) -> float:
        """Core-seconds of a stage for an element that it takes."""

        def put(dataset: Any) -> Any:
            return transformations.apply(dataset, _sequential(stage))

        base = cpu_each(taken.dataset.repeat(), self._clock)
        return max(cpu_per_input(put, taken, self._clock) - base, 0.0)

    def _note(self, number: int, name: str, stage: Stage, taken: Samples, given: Samples) -> None:
        match stage:
            case Map():
                work = max(self._each(stage, taken) - self.cost.call, 0.0) / taken.rows
                known = self._function(name, work, taken, given.bytes / max(given.rows, 1.0))
                function = traced_by(self._steps[number], stage)
                seeded = is_seeded(function.graph_def)
                finder = FormFinder(function, taken, self._clock, self.cost)
                forms = {**finder.in_place(work), **finder.parts(work)} if taken.rows == 1 and not stage.forms else {}
                following = self._following_batch(number)
                if following is not None and not stage.forms:
                    forms |= finder.of_batches(following)
                self.functions[stage.function] = dataclasses.replace(known, forms=forms, seeded=seeded)
            case Filter(predicate=predicate):
                kept = self._share(stage, taken)
                work = max(self._each(stage, taken) - self.cost.call, 0.0) / taken.rows
                self.functions[predicate] = self._function(name, work, taken, taken.bytes, kept)
                self._early(number, stage, kept)
            case FlatMap(map_func=function) | Interleave(map_func=Function() as function):
                known = self._function(name, self._each(stage, taken) / taken.rows, taken, given.bytes)
                self.functions[function] = dataclasses.replace(known, kept=self._multiplied(stage, taken))
            case OpaqueStage() | BucketBySequenceLength():
                ratio = self._multiplied(stage, taken)
                cost = self._each(stage, taken) / ratio if ratio else 0.0
                self.stages[name] = StageFacts(cost, 0.0, given.bytes, ratio, given.rows)

    def _function(self, name: str, work: float, taken: Samples, row_bytes: float, kept: float = 1.0) -> FunctionFacts:
        purity = self._purities[name]
        python = "calls Python" in purity.evidence
        return FunctionFacts(purity.kind, purity.evidence, work, 0.0, row_bytes, kept, python, seen=taken.rows)

    def _share(self, stage: Filter, taken: Samples) -> float:
        kept = transformations.apply(taken.dataset, stage)
        return float(kept.reduce(tf.constant(0.0), lambda total, *_: total + 1.0)) / taken.elements

    def _multiplied(self, stage: Stage, taken: Samples) -> float:
        few = taken.elements if isinstance(stage, OpaqueStage | BucketBySequenceLength) else min(taken.elements, 4)
        whole = transformations.apply(taken.dataset.take(few), _sequential(stage)).take(1 << 14)
        return float(whole.reduce(tf.constant(0.0), lambda total, *_: total + 1.0)) / few

    def _early(self, number: int, stage: Filter, kept: float) -> None:
        """What the predicate costs before each of the maps that it follows: TensorFlow runs only what it needs of them."""
        early = stage.predicate
        for before in reversed(range(number)):
            item = self._steps[before].item
            if not isinstance(item, Map) or before not in self._taken:
                return
            early, taken = early_predicate(item.function, early), self._taken[before]
            alone = needed(traced(early, taken.dataset.element_spec))
            purity = purity_of_graph(alone, alone.concrete.graph)
            work = self._filtering(stage, early, taken) if purity.kind == "pure" else 0.0
            self.functions[early] = FunctionFacts(purity.kind, purity.evidence, work, 0.0, taken.bytes, kept)
            if purity.kind != "pure":
                return

    def _filtering(self, stage: Filter, predicate: Function, taken: Samples) -> float:
        asked = dataclasses.replace(stage, predicate=predicate)
        return max(self._each(asked, taken) - self.cost.call, 0.0) / taken.rows

    def _following_batch(self, number: int) -> Stage | None:
        """The stage that batches what a stage makes, if one does."""
        for step in self._steps[number + 1 :]:
            if isinstance(step.item, BATCHING) and not isinstance(step.item, Rebatch):
                return step.item
            if isinstance(step.item, Source | FlatMap | Interleave | OpaqueStage):
                return None
        return None


def _all_inside(stage: Stage) -> Iterator[Stage]:
    """The stages inside a stage, which run where it opens its inputs."""
    for inner in inner_stages(stage):
        yield inner
        yield from _all_inside(inner)


def _sequential(stage: Stage) -> Stage:
    if isinstance(stage, Map | Interleave):
        return dataclasses.replace(stage, num_parallel_calls=None, deterministic=None)
    return stage


def _cardinality(dataset: Any) -> int | None:
    known = int(dataset.cardinality())
    return known if known >= 0 else None
