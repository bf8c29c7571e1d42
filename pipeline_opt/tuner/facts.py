"""The facts of a plan: every function and stage run for a moment on a few elements of its own data."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline_opt.build import transformations
from pipeline_opt.build.forms.needed import needed
from pipeline_opt.build.purities import purities_of
from pipeline_opt.build.purity import calls_python, is_seeded, purity_of_graph
from pipeline_opt.build.steps import Built, build_steps
from pipeline_opt.build.traced import traced
from pipeline_opt.clock import Clock
from pipeline_opt.functions import Function
from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import Machine
from pipeline_opt.optimizer.facts import Facts, FormFacts, FunctionFacts, Overheads, StageFacts
from pipeline_opt.optimizer.rules import chunks
from pipeline_opt.optimizer.rules.early_filter import early_predicate
from pipeline_opt.plan import Plan, with_inner
from pipeline_opt.sources import FileSource, Source
from pipeline_opt.stages import (
    BATCHING,
    Batch,
    Batching,
    BucketBySequenceLength,
    Cache,
    Filter,
    FlatMap,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    PaddedBatch,
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
from pipeline_opt.tuner.rows import rows_of
from pipeline_opt.tuner.samples import (
    MOST_ELEMENTS,
    Samples,
    Taken,
    cost_per_input,
    cpu_each,
    gathered,
    one_thread,
    started,
    taking_each,
)
from pipeline_opt.tuner.streams import stream_of

tf = lazy_module("tensorflow")

_PASSING: Final = (Cache, Shuffle, Repeat, Take, Skip, Shard, Prefetch, PrefetchToDevice, Options, Snapshot)
"""Stages that leave elements what they are: what comes out of them need not be gathered anew."""
UNCOUNTED: Final = "it is known how many elements there are, and TensorFlow would not know it any more"
"""Why what takes elements apart is not put into a pipeline, or changed."""
BATCHES: Final = 64
"""Batches of rows cut from larger elements of which something is known; assumed."""
PASSES: Final = 4
"""How often elements are gone through anew to see how many a stage makes of them that gathers several before it gives one."""
MOST_CUT: Final = 1 << 14
"""Rows that are cut for a measurement."""


def gather_facts(
    plan: Plan, machine: Machine, clock: Clock, forms_s: float, on_progress: Callable[[str], object]
) -> Facts:
    """Measure what the optimizer has to know of a plan.

    Args:
        plan: A plan whose functions are unfolded.
        machine: What the pipeline may use.
        clock: Measures.
        forms_s: Seconds, from the first stage on, after which no further form of a function is looked for.
        on_progress: Told the stage that is looked at.
    """
    cost = overheads(clock, math.ceil(machine.cores))
    gatherer = _Gatherer(plan, clock, cost, clock.now() + forms_s, on_progress)
    gatherer.run()
    known = (machine.cores, machine.ram_available_bytes, gatherer.functions, gatherer.stages, gatherer.cost)
    return Facts(*known, start_s=gatherer.start_s(), take_s=gatherer.take_s())


class _Gatherer:
    """Goes through the built stages of a plan, with a few elements of each."""

    def __init__(
        self, plan: Plan, clock: Clock, cost: Overheads, deadline: float, on_progress: Callable[[str], object]
    ) -> None:
        steps = build_steps(plan, resolve, on_host=True)
        self._purities = purities_of(steps)
        inside = {
            id(inner) for step in steps if isinstance(step.item, Stage) for inner in with_inner(inner_stages(step.item))
        }
        self._steps = [step for step in steps if id(step.item) not in inside]
        self._clock, self._deadline = clock, deadline
        self._tell = on_progress
        self.cost = cost
        self.functions: dict[Function, FunctionFacts] = {}
        self.stages: dict[str, StageFacts] = {}
        self._taken: dict[int, Samples] = {}
        self._last: Samples | None = None

    def run(self) -> None:
        before: Samples | None = None
        for number, step in enumerate(self._steps):
            self._tell(step.name)
            if isinstance(step.item, Source):
                before = self._source(step, step.item)
            elif before is not None:
                self._taken[number] = before
                before = self._looked_at(number, step, step.item, before)
            if before is None or not before.elements:
                return
        self._last = before

    def start_s(self) -> float:
        """Seconds to make an iterator of the whole pipeline: TensorFlow optimises it and its functions then."""
        try:
            return started(self._steps[-1].after, self._clock)
        except tf.errors.OpError:
            # As of a stage that fails, nothing is known of it.
            return 0.0

    def take_s(self) -> float:
        """Core-seconds in which a loop in Python takes an element of the whole pipeline; 0 where none could be looked at."""
        return 0.0 if self._last is None else taking_each(self._last.dataset.take(1), self._clock)

    def _source(self, step: Built, source: Source) -> Samples:
        if isinstance(source, FileSource):
            return self._files(step.name, source)
        kept = gathered(step.after, self._clock, batched=False)
        each = cpu_each(step.after.repeat(), self._clock) if kept.elements else 0.0
        self.stages[step.name] = StageFacts(cpu_s=each, bytes_out=kept.bytes, elements=_cardinality(step.after))
        return kept

    def _files(self, name: str, source: FileSource) -> Samples:
        listed = resolve(source)
        dataset = build_steps(Plan(source), lambda _: listed, on_host=True)[-1].after
        kept = gathered(dataset, self._clock, batched=False)
        count = int(listed.bytes / max(kept.bytes, 1.0)) if listed.bytes else None
        known = StageFacts(bytes_out=kept.bytes, elements=count, files=len(listed.files))
        if listed.via != "local":
            stream = stream_of(source, listed, self._clock)
            known = dataclasses.replace(
                known, cpu_s=stream.cpu_s, open_s=stream.open_s, stream_bytes_per_s=stream.bytes_per_s
            )
        elif kept.elements:
            known = dataclasses.replace(known, cpu_s=cpu_each(dataset.repeat(), self._clock))
        self.stages[name] = known
        return kept

    def _looked_at(self, number: int, step: Built, stage: Stage | Source, taken: Samples) -> Samples | None:
        """What a stage makes of a few elements; None where it fails on one, and nothing is known from there on."""
        try:
            return self._stage(number, step, stage, _whole_batches(stage, taken))
        except tf.errors.OpError:
            return None

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
        most = self._enough(number) if isinstance(stage, Unbatch) else MOST_ELEMENTS
        made = transformations.apply(taken.dataset, _sequential(stage))
        given = gathered(made, self._clock, batched=batched, most=most)
        self._note(number, step.name, stage, taken, given)
        return given

    def _each(self, stage: Stage, taken: Samples, *, alone: bool = False) -> Taken:
        """What a stage takes for an element that it takes, without what handing it over takes; `alone`: with one thread an op."""

        def put(dataset: Any) -> Any:
            made = transformations.apply(dataset, _sequential(stage))
            return one_thread(made) if alone else made

        base = cpu_each(taken.dataset.repeat(), self._clock)
        found = cost_per_input(put, taken, self._clock)
        return Taken(max(found.wall_s - base, 0.0), max(found.cpu_s - base, 0.0))

    def _called(self, stage: Stage, taken: Samples, *, alone: bool = False) -> tuple[float, float]:
        """Core-seconds of a function for a row, and seconds in which it waits."""
        found = self._each(stage, taken, alone=alone)
        work, wait = max(found.cpu_s - self.cost.call, 0.0), max(found.wall_s - found.cpu_s, 0.0)
        return work / taken.rows, wait / taken.rows

    def _note(self, number: int, name: str, stage: Stage, taken: Samples, given: Samples) -> None:
        match stage:
            case Map():
                self.functions[stage.function] = self._map(number, name, stage, taken, given)
            case Filter(predicate=predicate):
                kept = self._share(stage, taken)
                known = self._function(name, *self._called(stage, taken), taken.bytes)
                self.functions[predicate] = dataclasses.replace(known, kept=kept)
                self._early(number, stage, kept)
            case FlatMap(map_func=function) | Interleave(map_func=Function() as function):
                known = self._function(name, *self._called(stage, taken), given.bytes)
                self.functions[function] = dataclasses.replace(known, kept=self._multiplied(stage, taken))
            case Unbatch() | Rebatch():
                step, known_cut = self._steps[number], self._cut(stage, taken, given)
                self.stages[name] = dataclasses.replace(
                    known_cut, uncut=uncut(step), dense=is_dense(step), fixed_rows=fixed_rows(step)
                )
            case OpaqueStage() | BucketBySequenceLength():
                ratio = self._multiplied(stage, taken)
                cost = self._each(stage, taken).cpu_s / ratio if ratio else 0.0
                self.stages[name] = StageFacts(cost, given.bytes, ratio, given.rows)

    def _map(self, number: int, name: str, stage: Map, taken: Samples, given: Samples) -> FunctionFacts:
        work, wait = self._called(stage, taken)
        function = traced_by(self._steps[number], stage)
        known = self._function(name, work, wait, given.bytes / max(given.rows, 1.0))
        forms: dict[str, FormFacts] = {}
        if not stage.forms and self._clock.now() < self._deadline:
            finder = FormFinder(function, taken, self._clock, self.cost)
            forms |= {**finder.in_place(work), **finder.parts(work)} if taken.rows == 1 else {}
            following = self._following_batch(number)
            forms |= finder.of_batches(following) if isinstance(following, Batch | PaddedBatch) else {}
            if isinstance(following, Batch) and taken.rows == 1 and forms["batched"].refused is not None:
                forms |= finder.of_ends(following.batch_size)
            if taken.rows == 1 and self._ends_single(number):
                forms |= self._chunks(number, name, finder, given)
        seeded, python = is_seeded(function.graph_def), calls_python(function.graph_def)
        alone = self._called(stage, taken, alone=True)[0] if work * taken.rows > self.cost.call else None
        return dataclasses.replace(known, forms=forms, seeded=seeded, python=python, alone_s=alone)

    def _function(self, name: str, work: float, wait: float, row_bytes: float) -> FunctionFacts:
        """What is known of a function. It waits where it reads files; else what passes beside its work is noise."""
        purity = self._purities[name]
        waits = wait if "it reads files" in purity.evidence else 0.0
        python = "calls Python" in purity.evidence
        return FunctionFacts(purity.kind, purity.evidence, work, waits, row_bytes, python=python)

    def _share(self, stage: Filter, taken: Samples) -> float:
        kept = transformations.apply(taken.dataset, stage)
        return float(kept.reduce(tf.constant(0.0), lambda total, *_: total + 1.0)) / taken.elements

    def _cut(self, stage: Unbatch | Rebatch, taken: Samples, given: Samples) -> StageFacts:
        """What is known of a stage that cuts elements into rows, of which each may have had many that counted as one.

        What a rebatch takes is not measured: the cost model works it out.
        """
        rows = sum(map(rows_of, taken.dataset)) / taken.elements
        if isinstance(stage, Rebatch):
            return StageFacts(0.0, given.bytes, rows / taken.rows, given.rows)
        few = max(1, min(taken.elements, int(MOST_CUT / max(rows, 1.0))))
        some = taken._replace(dataset=taken.dataset.take(few), elements=few)
        cost = self._each(stage, some).cpu_s * given.rows / rows if rows else 0.0
        return StageFacts(cost, given.bytes, rows / taken.rows, given.rows)

    def _enough(self, number: int) -> int:
        """Elements to take of the rows that an element is cut into: enough for some of the batches that they go into."""
        following = self._following_batch(number)
        size = following.batch_size if isinstance(following, Batching) else 1
        return min(MOST_CUT, max(MOST_ELEMENTS, BATCHES * size))

    def _multiplied(self, stage: Stage, taken: Samples) -> float:
        """Elements that a stage gives for one, without those that it only gives as there are no more."""
        gathers = isinstance(stage, OpaqueStage | BucketBySequenceLength)
        few = taken.elements if gathers else min(taken.elements, 4)

        def given(passes: int) -> float:
            whole = transformations.apply(taken.dataset.take(few).repeat(passes), _sequential(stage))
            whole = whole.take(passes * MOST_CUT)
            return float(whole.reduce(tf.constant(0.0), lambda total, *_: total + 1.0))

        more = (given(1 + PASSES) - given(1)) / PASSES if gathers else 0.0
        return (more or given(1)) / few

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
            work = self._called(dataclasses.replace(stage, predicate=early), taken)[0] if purity.kind == "pure" else 0.0
            self.functions[early] = FunctionFacts(purity.kind, purity.evidence, work, 0.0, taken.bytes, kept)
            if purity.kind != "pure":
                return

    def _chunks(self, number: int, name: str, finder: FormFinder, given: Samples) -> Mapping[str, FormFacts]:
        """The forms of a map's function that compute many rows at once, which are taken apart again behind it."""
        known = int(self._steps[-1].after.cardinality())
        repeated = any(isinstance(step.item, Repeat) and step.item.count is None for step in self._steps[number + 1 :])
        if known != tf.data.UNKNOWN_CARDINALITY and not (known == tf.data.INFINITE_CARDINALITY and repeated):
            return {chunks.FORM: FormFacts(refused=UNCOUNTED)}
        found, apart = finder.of_chunks(given.bytes)
        if apart is not None:
            self.stages.setdefault(chunks.rows_name(name), apart)
        return found

    def _ends_single(self, number: int) -> bool:
        """Whether no batch stands where a map could come to stand before it."""
        items = (step.item for step in self._steps[number + 1 :])
        behind = itertools.takewhile(lambda item: isinstance(item, Stage), items)
        return chunks.batch_behind(tuple(item for item in behind if isinstance(item, Stage))) is None

    def _following_batch(self, number: int) -> Stage | None:
        """The stage that batches what a stage makes, if one does."""
        for step in self._steps[number + 1 :]:
            if isinstance(step.item, Source | FlatMap | Interleave | OpaqueStage | Unbatch | Rebatch):
                return None
            if isinstance(step.item, BATCHING):
                return step.item
        return None


def uncut(step: Built) -> str:
    """Why batches may not be cut at once from the elements that an unbatch takes apart; nothing where they may."""
    for spec in tf.nest.flatten(step.before.element_spec):
        if not isinstance(spec, tf.TensorSpec) or not spec.shape.rank or not spec.shape[1:].is_fully_defined():
            # An element without any rows may have another shape, which is an error only where it meets others.
            return f"rows of {spec} may be of several shapes"
    if int(step.after.cardinality()) != tf.data.UNKNOWN_CARDINALITY:
        return UNCOUNTED
    return ""


def is_dense(step: Built) -> bool:
    """Whether all that a stage takes are tensors; a sparse one is made wider where it is batched with others."""
    return all(isinstance(spec, tf.TensorSpec) for spec in tf.nest.flatten(step.before.element_spec))


def fixed_rows(step: Built) -> int | None:
    """The rows of each element that a stage takes, where TensorFlow knows of a number; None where it does not."""
    specs = (spec for spec in tf.nest.flatten(step.before.element_spec) if isinstance(spec, tf.TensorSpec))
    return next((spec.shape[0] for spec in specs if spec.shape.rank and spec.shape[0] is not None), None)


def _whole_batches(stage: Stage | Source, taken: Samples) -> Samples:
    """The elements of whole batches only, where there is one: what comes later may count on batches that an epoch never cuts."""
    size = getattr(stage, "batch_size", None) if isinstance(stage, BATCHING) else None
    if not isinstance(size, int) or taken.elements <= size:
        return taken
    count = taken.elements - taken.elements % size
    return taken._replace(dataset=taken.dataset.take(count), elements=count)


def _sequential(stage: Stage) -> Stage:
    if isinstance(stage, Map | Interleave):
        return dataclasses.replace(stage, num_parallel_calls=None, deterministic=None)
    return stage


def _cardinality(dataset: Any) -> int | None:
    known = int(dataset.cardinality())
    return known if known >= 0 else None
