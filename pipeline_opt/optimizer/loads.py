"""What every resource does for one row that leaves a plan: found by a walk from its source to its end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.calls import call_s
from pipeline_opt.optimizer.facts import Facts, FunctionFacts, StageFacts
from pipeline_opt.optimizer.flow import Flow, Steps, flows, form_of, inside, shares, source_flow, within
from pipeline_opt.optimizer.rewrite import last_saying, last_working, works_ahead
from pipeline_opt.plan import Combination, Concatenate, Plan
from pipeline_opt.stages import (
    AUTO,
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
    Prefetch,
    PrefetchToDevice,
    Rebatch,
    Shuffle,
    Skip,
    Stage,
    Unbatch,
    inner_stages,
)

AHEAD: Final = 3
"""Files that a parallel interleave has open, or is opening, for each of its places (CONTRIBUTING.md).

Measured 2.6 to 3.0, but only where a file is one request, and 1.4 to 2.2 where the processor was short.
"""


CACHE_BYTES: Final = 32 << 20
"""What a processor's caches hold; assumed."""
FETCHED: Final = 0.5
"""The part of what it takes to copy a byte that it takes to fetch one from memory: 5 % of an epoch that shuffles 100 images of
1.3 MB (CONTRIBUTING.md)."""


@dataclass(frozen=True)
class Load:
    """What a resource does for one row that leaves the plan.

    Args:
        name: The stage, or `cores`, `storage`, `python`, `consumer`.
        seconds: How long it needs.
    """

    name: str
    seconds: float


@dataclass
class Walk:
    """A walk from a plan's source to its end, which counts what every resource does for one element of the source.

    Args:
        plan: The plan.
        facts: What is known.
        cached: Whether caches are full.
        tunes: Whether TensorFlow's own rewrites are on in the plan around this one.
        alone: Whether the whole pipeline leaves every op one thread; None where this plan is the whole pipeline.
        steps: The plan's stages with what each takes and gives, if that was found out before.
        loads: Seconds of every resource but the cores, so far.
        cpu: Core-seconds in all, so far.
        wait: Seconds in which something waits, calls that wait at once counted once, so far.
        python: Seconds of Python, which one thread runs at a time, so far.
        chain: Seconds of the stages that one thread runs one after another, since the last hand-over.
        chain_name: The last of them.
        paces: Seconds for an element of the source before each stage that takes many before it gives one.
        undrained_s: Seconds of the slowest resource for a row, were it nothing to take elements.
    """

    plan: Plan
    facts: Facts
    cached: bool
    tunes: bool = True
    alone: bool | None = None
    steps: Steps | None = None
    loads: list[Load] = field(default_factory=list)
    cpu: float = 0.0
    wait: float = 0.0
    python: float = 0.0
    chain: float = 0.0
    chain_name: str = ""
    paces: dict[str, float] = field(default_factory=dict)
    undrained_s: float = 0.0

    def run(self) -> list[Load]:
        """The seconds of every resource for a row that leaves the plan."""
        out = self.go()
        rows = max(out.rows_in_all, 1e-12)
        self._slow_down()
        own = self._step(out)
        self.undrained_s = max(load.seconds for load in self._all()) / rows
        self._loop(out, own)
        return [Load(load.name, load.seconds / rows) for load in self._all()]

    def go(self) -> Flow:
        """Walk to the end, where a thread has the chain so far in hand; gives what leaves the plan."""
        self.tunes = self.tunes and tunes_itself(self.plan)
        self.alone = has_lone_ops(self.plan) if self.alone is None else self.alone
        steps = flows(self.plan, self.facts) if self.steps is None else self.steps
        skipped = _behind_last_cache(self.plan) if self.cached else 0
        if skipped:
            self._cache(steps[skipped - 1][0].name, steps[skipped - 1][2])
        else:
            self._source()
        for stage, taken, given in steps[skipped:]:
            if isinstance(stage, Shuffle | Skip | Unbatch):
                slowest = max((load.seconds for load in self.loads), default=0.0)
                self.paces[stage.name] = max(slowest, self.chain, self.python, self.cpu / self.facts.cores)
            self._stage(stage, taken, given)
        return steps[-1][2] if steps else source_flow(self.plan, self.facts)

    def _add(self, name: str, cpu: float, wait: float = 0.0) -> None:
        self.cpu += cpu
        self.wait += wait
        if cpu + wait > 0:
            self.chain += cpu + wait
            self.chain_name = name

    def _hand_over(self) -> None:
        """Another thread goes on from here."""
        self.loads.append(Load(self.chain_name, self.chain))
        self.chain, self.chain_name = 0.0, ""

    def _parallel(self, name: str, cpu: float, wait: float, calls: float) -> None:
        """Work of several threads."""
        self.cpu += cpu
        self.wait += wait / calls
        self.loads.append(Load(name, (cpu + wait) / calls))

    def _step(self, out: Flow) -> float:
        """The step, and the end of the last chain; gives the seconds of it in which whoever takes elements makes them."""
        ahead, step = self.tunes or has_prefetch(self.plan), self.facts.step_s * out.elements
        own = 0.0 if ahead else self.chain
        if not ahead:
            self.chain += step
            self.chain_name = self.chain_name or self.plan.source.kind
        self._hand_over()
        if step:
            self.loads.append(Load("consumer", step))
        return own

    def _loop(self, out: Flow, own: float) -> None:
        """A loop in Python that takes elements, where no step is told that has it in it."""
        if self.facts.step_s:
            return
        taking = self.facts.take_s * out.elements
        self.cpu += taking
        # One thread at a time runs it or a function in Python.
        self.python += taking if self.python else 0.0
        self.loads.append(Load("consumer", own + taking if taking else 0.0))

    def _all(self) -> list[Load]:
        return [*self.loads, Load("python", self.python), Load("cores", self.cpu / self.facts.cores)]

    def _slow_down(self) -> None:
        """Everything but the consumer takes longer in a pipeline than alone."""
        pace = self.facts.pace
        self.loads = [Load(load.name, load.seconds * pace) for load in self.loads]
        self.paces = {name: seconds * pace for name, seconds in self.paces.items()}
        self.chain, self.cpu, self.python = self.chain * pace, self.cpu * pace, self.python * pace

    def _source(self) -> None:
        source = self.plan.source
        if isinstance(source, Combination):
            self._inner(source)
            return
        known = self.facts.stage(source.kind)
        if known is None:
            return
        if known.total_bytes_per_s:
            self.loads.append(Load("storage", known.bytes_out / known.total_bytes_per_s))
        if self.plan.reader is None:
            self._add(source.kind, known.cpu_s, _reading_wait(known) + _opening_wait(known))

    def _inner(self, source: Combination) -> None:
        """The plans that meet in the source. Its own thread runs the last chain of each of them."""
        slowest = 0.0
        for number, (part, share) in enumerate(zip(source.plans, shares(source, self.facts), strict=True)):
            walk = Walk(part, within(self.facts, number), self.cached, self.tunes, self.alone)
            end = walk.go()
            each = share / max(end.elements, 1e-12)
            self.cpu += walk.cpu * each
            self.python += walk.python * each
            self.chain += walk.chain * each
            self.chain_name = f"in{number}_{walk.chain_name}" if walk.chain else self.chain_name
            if isinstance(source, Concatenate):
                slowest += max((load.seconds for load in walk.loads), default=0.0) * each
                continue
            self.loads += [Load(f"in{number}_{load.name}", load.seconds * each) for load in walk.loads]
        if slowest:
            # The parts work one after another.
            self.loads.append(Load(source.kind, slowest))
        self._add(source.kind, self.facts.overheads.element)

    def _stage(self, stage: Stage, taken: Flow, given: Flow) -> None:
        cost = self.facts.overheads
        match stage:
            case Map():
                self._map(stage, taken)
            case Interleave(map_func=None):
                self._reader(stage, taken, given)
            case Interleave(map_func=Function() as function) | FlatMap(map_func=function):
                self._inner_datasets(stage, self.facts.of(function), taken, given)
            case Filter(predicate=predicate):
                known = self.facts.of(predicate)
                work = taken.rows_in_all * known.cpu_s
                self.python += work if known.python else 0.0
                self._add(stage.name, work + taken.elements * cost.call, taken.rows_in_all * known.wait_s)
            case Rebatch():
                # A part of an element, or of several, for each batch.
                work = (taken.elements + given.elements) * cost.row + taken.elements * taken.bytes * cost.byte
                self._add(stage.name, work + given.elements * cost.element)
            case Unbatch():
                measured = self.facts.stage(stage.name)
                each = unbatch_s(given, self.facts) if measured is None else measured.cpu_s
                self._add(stage.name, given.elements * each)
            case Batching():
                self._batch(stage, taken, given)
            case Prefetch() | PrefetchToDevice() if works_ahead(stage):
                self._add(stage.name, given.elements * cost.switch)
                self._hand_over()
            case OpaqueStage() | BucketBySequenceLength():
                known_stage = self.facts.stage(stage.name) or StageFacts()
                self._add(stage.name, given.elements * known_stage.cpu_s)
            case Cache():
                self._cache(stage.name, given)
            case Options():
                pass
            case Shuffle():
                self._add(stage.name, taken.elements * (cost.element + fetched_s(stage, taken, self.facts)))
            case _:
                self._add(stage.name, taken.elements * cost.element)

    def _cache(self, name: str, given: Flow) -> None:
        """What it takes to fill a cache: to read a full one takes next to nothing. Files count as memory does."""
        self._add(name, 0.0 if self.cached else given.elements * self.facts.overheads.element)

    def _map(self, stage: Map, taken: Flow) -> None:
        known, cost = form_of(stage, self.facts), self.facts.overheads
        work, wait = taken.rows_in_all * known.work_s(alone=bool(self.alone)), taken.rows_in_all * known.wait_s
        if known.python:
            self.python += work + (0.0 if stage.num_parallel_calls is None else taken.elements * cost.lock)
        if stage.num_parallel_calls is None and not (self.tunes and known.purity == "pure"):
            self._add(stage.name, work + taken.elements * cost.call, wait)
            return
        # The thread that starts the calls takes the elements from the stage before.
        self._add(stage.name, taken.elements * cost.element)
        self._hand_over()
        calls = self._calls(stage.num_parallel_calls)
        if wait:
            # A call that waits has a thread of the pool meanwhile.
            calls = min(calls, pool_size(self.plan) or max(1.0, math.ceil(self.facts.cores)))
        started = taken.elements * call_s(stage.num_parallel_calls, self.facts)
        waited = work * cost.in_front / max(calls / math.ceil(self.facts.cores), 1.0)
        self._parallel(stage.name, work + started + waited, wait, calls)
        self._add(stage.name, taken.elements * cost.element)

    def _reader(self, stage: Interleave, taken: Flow, given: Flow) -> None:
        cost, known = self.facts.overheads, self.facts.stage(self.plan.source.kind) or StageFacts()
        files = max(known.files, 1)
        streams = min(self._calls(stage.num_parallel_calls, places(stage, self.facts)), files)
        at_once = 1.0 if stage.num_parallel_calls is None else min(AHEAD * streams, files) / streams
        wait = taken.elements * (_reading_wait(known) + _opening_wait(known) / at_once)
        inner = self._inside(stage, taken)
        work, wait = taken.elements * (known.cpu_s + cost.element) + inner.cpu, wait + inner.wait
        if stage.num_parallel_calls is None:
            self._add(stage.name, work + given.elements * cost.element, wait)
            return
        self._interleaved(stage.name, work, wait, streams, given)

    def _interleaved(self, name: str, work: float, wait: float, streams: float, given: Flow) -> None:
        """What threads of their own read, and the handing over of it."""
        cost = self.facts.overheads
        self._parallel(name, work, wait, streams)
        self._add(name, given.elements * (cost.interleave if streams > 1 else cost.lone_interleave))

    def _inner_datasets(self, stage: Stage, known: FunctionFacts, taken: Flow, given: Flow) -> None:
        cost, calls = self.facts.overheads, taken.rows_in_all
        made = Flow(calls * known.kept, 1.0, known.bytes_out)
        inner = self._inside(stage, made)
        work, wait = calls * known.cpu_s + made.elements * cost.element + inner.cpu, calls * known.wait_s + inner.wait
        self.python += calls * known.cpu_s if known.python else 0.0
        if isinstance(stage, Interleave) and stage.num_parallel_calls is not None:
            self._hand_over()
            streams = self._calls(stage.num_parallel_calls, places(stage, self.facts))
            self._interleaved(stage.name, work, wait, streams, given)
        else:
            self._add(stage.name, work, wait)

    def _inside(self, stage: Stage, taken: Flow) -> Walk:
        """A walk through the stages inside another one. Their Python takes its turns with all other."""
        ends = inside(stage, taken, self.facts)
        inner = Walk(self.plan, self.facts, False, self.tunes, self.alone)
        for step, before, given in zip(inner_stages(stage), ends, ends[1:], strict=False):
            inner._stage(step, before, given)
        self.python += inner.python
        return inner

    def _batch(self, stage: Batching, taken: Flow, given: Flow) -> None:
        cost = self.facts.overheads
        work = taken.elements * (cost.row + taken.bytes * cost.byte)
        if isinstance(stage, Batch) and stage.num_parallel_calls is not None:
            self._add(stage.name, taken.elements * cost.element)
            self._hand_over()
            self._parallel(stage.name, work, 0.0, self._calls(stage.num_parallel_calls))
            self._add(stage.name, given.elements * cost.element)
        else:
            self._add(stage.name, work + given.elements * cost.element)

    def _calls(self, *given: int | None) -> float:
        """Calls at a time: those said, or as many as AUTOTUNE can make use of."""
        said = [float(number) for number in given if number is not None and number != AUTO]
        return min(said) if said else max(1.0, math.ceil(self.facts.cores))


def places(stage: Interleave, facts: Facts) -> int:
    """Inputs that an interleave takes elements of in turn; where that is left to TensorFlow, as it chooses (CONTRIBUTING.md)."""
    cores, calls = math.ceil(facts.cores), stage.num_parallel_calls
    if stage.cycle_length != AUTO:
        return stage.cycle_length
    if calls is None:
        return cores
    return math.ceil(cores / AHEAD) if calls == AUTO else min(calls, cores)


def fetched_s(stage: Shuffle, taken: Flow, facts: Facts) -> float:
    """Core-seconds to bring an element that a shuffle held back from memory; none where all that it holds stays in caches."""
    held = stage.buffer_size * taken.bytes
    return FETCHED * taken.bytes * facts.overheads.byte if held > CACHE_BYTES else 0.0


def unbatch_s(given: Flow, facts: Facts) -> float:
    """Core-seconds to make a row of a batch an element of its own, where that was not measured."""
    cost = facts.overheads
    return cost.element + cost.row + given.bytes * cost.byte


def _reading_wait(known: StageFacts) -> float:
    """Seconds that one stream waits for an element of a file that is open."""
    return known.bytes_out / known.stream_bytes_per_s if known.stream_bytes_per_s else 0.0


def _opening_wait(known: StageFacts) -> float:
    """Seconds that one stream waits for its files to be opened, for an element."""
    return known.open_s * known.files / known.elements if known.elements else 0.0


def _behind_last_cache(plan: Plan) -> int:
    """How many stages a full cache spares: those before it, and it."""
    at = [number for number, stage in enumerate(plan.stages) if isinstance(stage, Cache)]
    return at[-1] + 1 if at else 0


def tunes_itself(plan: Plan) -> bool:
    """Whether TensorFlow parallelises maps of pure functions and adds a prefetch by itself: not with AUTOTUNE off."""
    options = [stage for stage in plan.stages if isinstance(stage, Options)]
    return all(stage.default_optimizations is not False and stage.autotune is not False for stage in options)


def has_lone_ops(plan: Plan) -> bool:
    """Whether every op of a whole pipeline's functions has one thread: the last options that say something count."""
    said = last_saying(plan, "max_intra_op_parallelism")
    return said is not None and said.max_intra_op_parallelism == 1


def has_prefetch(plan: Plan) -> bool:
    """Whether the next element is made while the consumer works on the last one."""
    last = last_working(plan)
    return last is not None and works_ahead(last)


def pool_size(plan: Plan) -> int | None:
    """Threads of a pipeline's own pool; None where it uses the common one."""
    said = [stage.private_threadpool_size for stage in plan.stages if isinstance(stage, Options)]
    return next((size for size in reversed(said) if size is not None), None)
