"""What a plan will do, by operational analysis: the busiest resource bounds the throughput.

With software pipelining, every resource works at the same time on other elements, and the one that needs the most time for an
element sets the pace (the utilization law: Denning and Buzen, "The Operational Analysis of Queueing Network Models", 1978).
Resources are the cores together, every chain of stages that one thread runs, every parallel stage's calls, and the storage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts, FunctionFacts, StageFacts
from pipeline_opt.optimizer.flow import Flow, flows, form_of, source_flow, within
from pipeline_opt.optimizer.memory import held_bytes
from pipeline_opt.plan import Combination, Plan
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
    Stage,
)


@dataclass(frozen=True)
class Load:
    """What a resource does for one row that leaves the plan.

    Args:
        name: The stage, or `cores`, `storage`, `consumer`.
        seconds: How long it needs.
    """

    name: str
    seconds: float


@dataclass(frozen=True)
class Prediction:
    """What a plan is predicted to do.

    Args:
        rows_per_s: In a first epoch.
        steady_rows_per_s: In later epochs, with what caches hold.
        bottleneck: The resource that sets the pace of the first epoch.
        loads: Seconds of every resource for a row, in the first epoch.
        peak_bytes: The most that caches and buffers hold.
        seconds: Seconds of a row over all epochs of the job: what the optimizer makes small.
    """

    rows_per_s: float
    steady_rows_per_s: float
    bottleneck: str
    loads: tuple[Load, ...]
    peak_bytes: float
    seconds: float


def predict(plan: Plan, facts: Facts) -> Prediction:
    """Predict what a plan does."""
    first = _Walk(plan, facts, cached=False).run()
    steady = _Walk(plan, facts, cached=True).run()
    slowest, later = max(first, key=lambda load: load.seconds), max(steady, key=lambda load: load.seconds)
    job = slowest.seconds + (facts.epochs - 1) * later.seconds
    return Prediction(
        1.0 / max(slowest.seconds, 1e-12),
        1.0 / max(later.seconds, 1e-12),
        slowest.name,
        tuple(first),
        held_bytes(plan, facts),
        job,
    )


@dataclass
class _Walk:
    """A walk from a plan's source to its end, which counts what every resource does for one element of the source.

    Args:
        plan: The plan.
        facts: What is known.
        cached: Whether caches are full.
        loads: Seconds of every resource but the cores, so far.
        cpu: Core-seconds in all, so far.
        chain: Seconds of the stages that one thread runs one after another, since the last hand-over.
        chain_name: The last of them.
    """

    plan: Plan
    facts: Facts
    cached: bool
    loads: list[Load] = field(default_factory=list)
    cpu: float = 0.0
    chain: float = 0.0
    chain_name: str = ""

    def run(self) -> list[Load]:
        """The seconds of every resource for a row that leaves the plan."""
        ends = list(flows(self.plan, self.facts))
        out = ends[-1][2] if ends else source_flow(self.plan, self.facts)
        skipped = _behind_last_cache(self.plan) if self.cached else 0
        if not skipped:
            self._source()
        for stage, taken, given in ends[skipped:]:
            self._stage(stage, taken, given)
        self._consumer(out)
        loads = [*self.loads, Load("cores", self.cpu / self.facts.cores)]
        rows = max(out.rows_in_all, 1e-12)
        return [Load(load.name, load.seconds / rows) for load in loads]

    def _add(self, name: str, cpu: float, wait: float = 0.0) -> None:
        self.cpu += cpu
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
        self.loads.append(Load(name, (cpu + wait) / calls))

    def _consumer(self, out: Flow) -> None:
        step = self.facts.step_s * out.elements
        if not has_prefetch(self.plan):
            self.chain += step
        self._hand_over()
        self.loads.append(Load("consumer", step))

    def _source(self) -> None:
        source = self.plan.source
        if isinstance(source, Combination):
            self._inner(source)
        known = self.facts.stage(source.kind)
        if known is None:
            return
        if known.total_bytes_per_s:
            self.loads.append(Load("storage", known.bytes_out / known.total_bytes_per_s))
        if self.plan.reader is None:
            self._add(source.kind, known.cpu_s, self._stream_wait(known))

    def _inner(self, source: Combination) -> None:
        share = 1.0 if source.kind == "zip" else 1.0 / len(source.plans)
        for number, part in enumerate(source.plans):
            for load in _Walk(part, within(self.facts, number), self.cached).run():
                if load.name == "cores":
                    self.cpu += load.seconds * self.facts.cores * share
                else:
                    self.loads.append(Load(f"in{number}_{load.name}", load.seconds * share))

    def _stream_wait(self, known: StageFacts) -> float:
        """Seconds that one stream waits for the storage for an element: opening its share of the files, and reading."""
        reading = known.bytes_out / known.stream_bytes_per_s if known.stream_bytes_per_s else known.wait_s
        opening = known.open_s * known.files / known.elements if known.elements else 0.0
        return reading + opening

    def _stage(self, stage: Stage, taken: Flow, given: Flow) -> None:
        cost = self.facts.overheads
        match stage:
            case Map():
                self._map(stage, taken)
            case Interleave(map_func=None):
                self._reader(stage, taken)
            case Interleave(map_func=Function() as function) | FlatMap(map_func=function):
                self._inner_datasets(stage, self.facts.of(function), taken, given)
            case Filter(predicate=predicate):
                self._add(stage.name, taken.rows_in_all * self.facts.of(predicate).cpu_s + taken.elements * cost.call)
            case Batching():
                self._batch(stage, taken, given)
            case Prefetch():
                self._add(stage.name, given.elements * cost.switch)
                self._hand_over()
            case OpaqueStage() | BucketBySequenceLength():
                known = self.facts.stage(stage.name) or StageFacts()
                self._add(stage.name, given.elements * known.cpu_s, given.elements * known.wait_s)
            case Options():
                pass
            case _:
                self._add(stage.name, taken.elements * cost.element)

    def _map(self, stage: Map, taken: Flow) -> None:
        known, cost = form_of(stage, self.facts), self.facts.overheads
        work, wait = taken.rows_in_all * known.cpu_s, taken.rows_in_all * known.wait_s
        if stage.num_parallel_calls is None and not (tunes_itself(self.plan) and known.purity == "pure"):
            self._add(stage.name, work + taken.elements * cost.call, wait)
            return
        # The thread that starts the calls takes the elements from the stage before.
        self._add(stage.name, taken.elements * cost.element)
        self._hand_over()
        calls = 1.0 if known.python else self._calls(stage.num_parallel_calls)
        self._parallel(stage.name, work + taken.elements * cost.parallel_call, wait, calls)
        self._add(stage.name, taken.elements * cost.element)

    def _reader(self, stage: Interleave, taken: Flow) -> None:
        cost, known = self.facts.overheads, self.facts.stage(self.plan.source.kind) or StageFacts()
        work, wait = taken.elements * known.cpu_s, taken.elements * self._stream_wait(known)
        if stage.num_parallel_calls is None:
            self._add(stage.name, work + taken.elements * cost.element, wait)
            return
        streams = min(self._calls(stage.num_parallel_calls, stage.cycle_length), max(known.files, 1))
        self._parallel(stage.name, work, wait, streams)
        self._add(stage.name, taken.elements * cost.interleave)

    def _inner_datasets(self, stage: Stage, known: FunctionFacts, taken: Flow, given: Flow) -> None:
        cost, calls = self.facts.overheads, taken.rows_in_all
        work, wait = calls * known.cpu_s + given.elements * cost.element, calls * known.wait_s
        if isinstance(stage, Interleave) and stage.num_parallel_calls is not None:
            self._hand_over()
            self._parallel(stage.name, work, wait, self._calls(stage.num_parallel_calls, stage.cycle_length))
            self._add(stage.name, given.elements * cost.interleave)
        else:
            self._add(stage.name, work, wait)

    def _batch(self, stage: Batching, taken: Flow, given: Flow) -> None:
        cost = self.facts.overheads
        work = taken.elements * (cost.row + taken.bytes * cost.byte)
        if isinstance(stage, Batch) and stage.num_parallel_calls is not None:
            self._add(stage.name, taken.elements * cost.element)
            self._hand_over()
            self._parallel(stage.name, work, 0.0, self._calls(stage.num_parallel_calls))
        else:
            self._add(stage.name, work + given.elements * cost.element)

    def _calls(self, *given: int | None) -> float:
        """Calls at a time: those said, or as many as AUTOTUNE can make use of."""
        said = [float(number) for number in given if number is not None and number != AUTO]
        return min(said) if said else max(1.0, math.ceil(self.facts.cores))


def _behind_last_cache(plan: Plan) -> int:
    """How many stages a full cache spares: those before it, and it."""
    at = [number for number, stage in enumerate(plan.stages) if isinstance(stage, Cache)]
    return at[-1] + 1 if at else 0


def tunes_itself(plan: Plan) -> bool:
    """Whether TensorFlow parallelises maps of pure functions and adds a prefetch by itself."""
    return all(s.default_optimizations is not False for s in plan.stages if isinstance(s, Options))


def has_prefetch(plan: Plan) -> bool:
    """Whether the next element is made while the consumer works on the last one."""
    return tunes_itself(plan) or any(isinstance(stage, Prefetch) for stage in plan.stages[-2:])
