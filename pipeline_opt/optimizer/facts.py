"""What the optimizer knows of a pipeline, its data and the machine: measured before it starts, plain data to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pipeline_opt.functions import Beside, Chain, Function

_PURITIES: Final = ("pure", "random", "unknown")


@dataclass(frozen=True)
class FormFacts:
    """Another way to compute a function.

    Args:
        preserves: `exact`, `rounding` or `set`.
        cpu_s: Core-seconds for a row.
        evidence: How it is known that the results are the same, a sentence.
        bytes_out: Bytes of what it gives for a row.
        alone_s: Core-seconds for a row where every op has one thread; None where that was not measured.
        refused: Why there is no such form of this function; None where there is one.
    """

    preserves: str = "exact"
    cpu_s: float = 0.0
    evidence: str = ""
    bytes_out: float = 0.0
    alone_s: float | None = None
    refused: str | None = None


@dataclass(frozen=True)
class FunctionFacts:
    """What is known of a user's function. A row is one element of a batch, or an element where nothing is batched.

    Args:
        purity: `pure`, `random` or `unknown`.
        evidence: How that is known, a sentence.
        cpu_s: Core-seconds for a row, without what tf.data adds to every call.
        wait_s: Seconds in which a call waits for storage, for a row.
        bytes_out: Bytes of what it gives for a row.
        kept: Of a predicate, the share of rows for which it holds; of a function that gives a dataset, its rows.
        python: Whether it runs Python code, which only one thread does at a time.
        seeded: Whether what it draws at random follows from a seed, so that other elements would get other numbers if any were
            left out.
        forms: Other ways to compute it, by name.
        alone_s: Core-seconds for a row where every op has one thread; None where that was not measured.
    """

    purity: str = "unknown"
    evidence: str = ""
    cpu_s: float = 0.0
    wait_s: float = 0.0
    bytes_out: float = 0.0
    kept: float = 1.0
    python: bool = False
    seeded: bool = False
    forms: Mapping[str, FormFacts] = field(default_factory=dict)
    alone_s: float | None = None

    def work_s(self, *, alone: bool) -> float:
        """Core-seconds for a row, where every op may have several threads or one."""
        return self.alone_s if alone and self.alone_s is not None else self.cpu_s

    def form(self, name: str) -> FormFacts:
        """A form of it; one that was never looked for is refused."""
        return self.forms.get(name, FormFacts(refused=f"the form {name} was not looked for"))


def _parts(function: Function) -> tuple[Function, ...]:
    """The functions that one consists of; none of a single one."""
    call = function.call
    return tuple(part for part in call.functions if part is not None) if isinstance(call, Chain | Beside) else ()


def _chained(functions: tuple[FunctionFacts, ...]) -> FunctionFacts:
    """What is known of functions that are called one after another."""
    worst = max(functions, key=lambda known: _PURITIES.index(known.purity))
    measured = any(known.alone_s is not None for known in functions)
    return replace(
        functions[-1],
        purity=worst.purity,
        evidence=worst.evidence,
        cpu_s=sum(known.cpu_s for known in functions),
        wait_s=sum(known.wait_s for known in functions),
        bytes_out=next((known.bytes_out for known in reversed(functions) if known.bytes_out), 0.0),
        python=any(known.python for known in functions),
        seeded=any(known.seeded for known in functions),
        forms={},
        alone_s=sum(known.work_s(alone=True) for known in functions) if measured else None,
    )


@dataclass(frozen=True)
class StageFacts:
    """What was measured of a stage without a function that a plan knows: an opaque one, one that cuts rows, a source.

    Args:
        cpu_s: Core-seconds for an element that it gives.
        bytes_out: Bytes of an element that it gives.
        ratio: Elements that it gives for one that it takes; of an unbatch or a rebatch, rows for one row.
        rows: Rows in an element that it gives.
        elements: Elements that it gives in an epoch; None where that is not known, or it never ends.
        files: Files that it reads.
        open_s: Seconds to open a file, up to its first byte.
        stream_bytes_per_s: What one file's reading gives at the most; None where storage does not limit it.
        total_bytes_per_s: What all files together give at the most.
        uncut: Of an unbatch, why batches may not be cut from what it takes at once; nothing where they may.
        dense: Of an unbatch, whether all that it takes are known to be tensors, none of them sparse or ragged.
        fixed_rows: Of an unbatch, the rows of each element that it takes, where TensorFlow knows; None where it does not.
    """

    cpu_s: float = 0.0
    bytes_out: float = 0.0
    ratio: float = 1.0
    rows: float = 1.0
    elements: int | None = None
    files: int = 0
    open_s: float = 0.0
    stream_bytes_per_s: float | None = None
    total_bytes_per_s: float | None = None
    uncut: str = "its rows were not looked at"
    dense: bool = False
    fixed_rows: int | None = None

    @property
    def is_far(self) -> bool:
        """Whether reading waits for a storage that is not local."""
        return bool(self.open_s or self.stream_bytes_per_s)


@dataclass(frozen=True)
class Overheads:
    """Core-seconds that tf.data takes for an element or a call, whatever the function.

    The defaults are assumed; the tuner measures those of the machine.

    Args:
        element: To hand an element from one stage to the next on one thread.
        call: To run a function where its map is sequential.
        parallel_call: To run it on another thread.
        many_calls: Likewise where many calls are under way, so that the thread finds its next one there and need not be woken.
        interleave: To hand over an element that another thread has read.
        lone_interleave: Likewise where that thread has one input at a time, so that either waits for the other.
        switch: To hand an element to another thread through a buffer.
        row: To copy a row into a batch, whatever its size.
        byte: To copy a byte into a batch.
        lock: To take Python's lock from a thread that wants it too, for a call of a function in Python; not measured anew.
        in_front: The part of a parallel map's work that cores wait, with a call each, for the one whose element is the next; the
            less, the more calls are under way. Not seconds, and not measured anew but over six workloads (CONTRIBUTING.md).
    """

    element: float = 0.3e-6
    call: float = 12e-6
    parallel_call: float = 20e-6
    many_calls: float = 8e-6
    interleave: float = 4e-6
    lone_interleave: float = 12e-6
    switch: float = 3e-6
    row: float = 0.2e-6
    byte: float = 0.2e-9
    in_front: float = 0.07
    lock: float = 25e-6


@dataclass(frozen=True)
class Facts:
    """Everything that rules and the cost model may know.

    Args:
        cores: Cores that the pipeline may use.
        memory_bytes: Bytes that it may hold in caches and buffers.
        functions: By function.
        stages: By the name of a stage of the plan that was measured, `in0_batch` in a plan inside another one.
        overheads: Of tf.data on this machine.
        epochs: Epochs that the job runs.
        step_s: Seconds that a training step takes for a batch; 0 where the pipeline is only drained.
        order_free: Whether the user says that the order of elements does not matter.
        bits: Whether results have to be the same bit for bit.
        prefix: What the names of `stages` begin with for the plan that is looked at.
        whole: Whether every element of the plan that is looked at is asked for in an epoch: not in a zip that ends early.
        ordered: What the options around the plan that is looked at say of the order: whether elements keep it; None if nothing.
        free: Whether the order is free of what leaves the plan that is looked at; None where nothing is around it.
        swallows: The stage behind the plan that is looked at that might leave out what a function fails on; "" if none does.
        start_s: Seconds to make an iterator of the whole pipeline.
        take_s: Core-seconds in which a loop in Python takes an element of the whole pipeline. They count where the pipeline is
            only drained: a training step that is told has them in it.
        pace: How many times as long the pipeline that was measured took as its stages, measured alone, would have it. All plans
            are taken to do so.
    """

    cores: float = 1.0
    memory_bytes: int = 1 << 30
    functions: Mapping[Function, FunctionFacts] = field(default_factory=dict)
    stages: Mapping[str, StageFacts] = field(default_factory=dict)
    overheads: Overheads = Overheads()
    epochs: int = 1
    step_s: float = 0.0
    order_free: bool = False
    bits: bool = False
    prefix: str = ""
    whole: bool = True
    ordered: bool | None = None
    free: bool | None = None
    swallows: str = ""
    start_s: float = 0.0
    take_s: float = 0.0
    pace: float = 1.0

    def looked_at(self, function: Function) -> bool:
        """Whether a function, or every part of a chain, was looked at."""
        parts = _parts(function)
        return function in self.functions or (bool(parts) and all(map(self.looked_at, parts)))

    def of(self, function: Function) -> FunctionFacts:
        """What is known of a function; one that was not looked at is of unknown purity and costs nothing.

        Of a chain that was not looked at, what follows from its parts.
        """
        known = self.functions.get(function)
        if known is None and (parts := _parts(function)):
            found = tuple(map(self.of, parts))
            whole = _chained(found)
            given = sum(part.bytes_out for part in found)
            return replace(whole, bytes_out=given) if isinstance(function.call, Beside) else whole
        return known or FunctionFacts(evidence="it was not looked at")

    def stage(self, name: str) -> StageFacts | None:
        """What was measured of a stage; None where it was not there then."""
        return self.stages.get(self.prefix + name)
