"""The stages of a plan: frozen, named as tf.data names them, checking their own arguments.

A stage says what is to be done; `build` does it. Every argument that tf.data can tune is a *knob* and is
`AUTO` unless given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Final

from pipeline_opt.bounds import MOST, MOST_IN_BATCH, MOST_IN_MEMORY, MOST_ON_DEVICE, MOST_PARALLEL, counts, is_count
from pipeline_opt.errors import KnobError
from pipeline_opt.functions import Function

AUTO: Final = -1
"""Let tf.data choose while the pipeline runs; equal to `tf.data.AUTOTUNE`."""

Knob = int | None
"""A number, `AUTO`, or None for tf.data's sequential form."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a pipeline. `name` is unique in its plan and joins plan, trace, table and figure."""

    kind: ClassVar[str] = "stage"
    name: str = ""

    def _require(self, holds: bool, argument: str, valid: str) -> None:
        if not holds:
            value = getattr(self, argument)
            raise KnobError(f"{self.name or self.kind}: {argument}={value!r} is out of range; valid: {valid}")

    def _require_count(self, argument: str, *, least: int = 1, most: int = MOST) -> None:
        self._require(is_count(getattr(self, argument), least, most), argument, counts(least, most))

    def _require_knob(self, argument: str) -> None:
        value = getattr(self, argument)
        holds = value is None or value == AUTO or is_count(value, 1, MOST_PARALLEL)
        self._require(holds, argument, f"{counts(1, MOST_PARALLEL)}, AUTO, or None for the sequential form")


@dataclass(frozen=True, kw_only=True)
class Interleave(Stage):
    """Open several inputs at a time and take their elements in turn.

    Without `map_func` the elements before it are the source's files, and it reads them; with one, it is
    `tf.data.Dataset.interleave` of a function that returns a dataset.

    Args:
        inner: Stages that the elements of each input pass through before they are taken in turn.
    """

    kind: ClassVar[str] = "interleave"
    map_func: Function | None = None
    cycle_length: int = AUTO
    block_length: int = 1
    num_parallel_calls: Knob = AUTO
    deterministic: bool | None = None
    inner: tuple[Stage, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", tuple(self.inner))
        auto = self.cycle_length == AUTO
        if not auto:
            self._require_count("cycle_length", most=MOST_PARALLEL)
        self._require_count("block_length", most=MOST_IN_MEMORY)
        self._require_knob("num_parallel_calls")


@dataclass(frozen=True, kw_only=True)
class Map(Stage):
    """Apply a function to every element (or batch, where it stands after one).

    Args:
        random: True or False where the user says so; None to find it out by tracing the function.
        batched: True if the function needs a batch, False if it needs a single element, None if unknown.
        forms: Other ways to compute the function, applied one after another: their names in `pipeline_opt.build.forms`, or pairs
            of a name and arguments. `batched` computes what the function gives for every row of a batch.
    """

    kind: ClassVar[str] = "map"
    function: Function
    num_parallel_calls: Knob = AUTO
    deterministic: bool | None = None
    random: bool | None = None
    batched: bool | None = None
    forms: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        self._require_knob("num_parallel_calls")
        object.__setattr__(self, "forms", tuple(tuple(f) if isinstance(f, list) else f for f in self.forms))
        named = all(isinstance(f, str) or (len(f) == 2 and isinstance(f[0], str)) for f in self.forms)
        self._require(named, "forms", "names of forms, or pairs of a name and arguments")


@dataclass(frozen=True, kw_only=True)
class Filter(Stage):
    """Keep the elements for which the predicate is true."""

    kind: ClassVar[str] = "filter"
    predicate: Function


@dataclass(frozen=True, kw_only=True)
class FlatMap(Stage):
    """Replace every element by the elements of the dataset that the function returns.

    Args:
        inner: Stages that the elements of each such dataset pass through.
    """

    kind: ClassVar[str] = "flat_map"
    map_func: Function
    inner: tuple[Stage, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", tuple(self.inner))


@dataclass(frozen=True, kw_only=True)
class Cache(Stage):
    """Keep the elements of the first epoch: in memory, or in files that start with `filename`."""

    kind: ClassVar[str] = "cache"
    filename: str = ""


@dataclass(frozen=True, kw_only=True)
class Shuffle(Stage):
    """Draw at random from a buffer of `buffer_size` elements."""

    kind: ClassVar[str] = "shuffle"
    buffer_size: int
    seed: int | None = None
    reshuffle_each_iteration: bool = True

    def __post_init__(self) -> None:
        self._require_count("buffer_size", most=MOST_IN_MEMORY)
        if self.seed is not None:
            self._require_count("seed", least=-MOST)


@dataclass(frozen=True, kw_only=True)
class Repeat(Stage):
    """Go through the data `count` times; None repeats for ever."""

    kind: ClassVar[str] = "repeat"
    count: int | None = None

    def __post_init__(self) -> None:
        if self.count == -1:
            object.__setattr__(self, "count", None)
        if self.count is not None:
            self._require_count("count", least=0)


@dataclass(frozen=True, kw_only=True)
class Batching(Stage):
    """Base of the stages that put several elements into one."""

    batch_size: int
    drop_remainder: bool = False

    def __post_init__(self) -> None:
        self._require_count("batch_size", most=MOST_IN_BATCH)


@dataclass(frozen=True, kw_only=True)
class Batch(Batching):
    """Stack `batch_size` elements of one shape."""

    kind: ClassVar[str] = "batch"
    num_parallel_calls: Knob = None
    deterministic: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_knob("num_parallel_calls")


@dataclass(frozen=True, kw_only=True)
class PaddedBatch(Batching):
    """Stack elements of several shapes, padded to the largest or to `padded_shapes`."""

    kind: ClassVar[str] = "padded_batch"
    padded_shapes: Any = None
    padding_values: Any = None


@dataclass(frozen=True, kw_only=True)
class RaggedBatch(Batching):
    """Put elements of several shapes into ragged tensors."""

    kind: ClassVar[str] = "ragged_batch"


@dataclass(frozen=True, kw_only=True)
class BucketBySequenceLength(Stage):
    """Batch elements of similar length; `bucket_batch_sizes` has one entry more than `bucket_boundaries`."""

    kind: ClassVar[str] = "bucket_by_sequence_length"
    element_length_func: Function
    bucket_boundaries: tuple[int, ...]
    bucket_batch_sizes: tuple[int, ...]
    padded_shapes: Any = None
    padding_values: Any = None
    pad_to_bucket_boundary: bool = False
    no_padding: bool = False
    drop_remainder: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "bucket_boundaries", tuple(self.bucket_boundaries))
        object.__setattr__(self, "bucket_batch_sizes", tuple(self.bucket_batch_sizes))
        bounds, sizes = self.bucket_boundaries, self.bucket_batch_sizes
        rising = all(is_count(bound, -MOST, MOST) for bound in bounds) and all(a < b for a, b in pairwise(bounds))
        self._require(bool(bounds) and rising, "bucket_boundaries", "whole numbers, rising, from -2**63 to 2**63-1")
        valid = f"{len(bounds) + 1} whole numbers from 1 to {MOST_IN_BATCH:,}, one more than bucket_boundaries"
        fits = len(sizes) == len(bounds) + 1 and all(is_count(size, 1, MOST_IN_BATCH) for size in sizes)
        self._require(fits, "bucket_batch_sizes", valid)


@dataclass(frozen=True, kw_only=True)
class Unbatch(Stage):
    """Split every batch into its elements.

    Args:
        dense: Whether the rows of ragged tensors are tensors, as they were before they were batched. As tf.data splits them,
            they stay ragged tensors, without any ragged dimension.
    """

    kind: ClassVar[str] = "unbatch"
    dense: bool = False


@dataclass(frozen=True, kw_only=True)
class Rebatch(Batching):
    """Change the batch size of elements that are batches already."""

    kind: ClassVar[str] = "rebatch"


@dataclass(frozen=True, kw_only=True)
class Take(Stage):
    """Keep the first `count` elements."""

    kind: ClassVar[str] = "take"
    count: int

    def __post_init__(self) -> None:
        self._require_count("count", least=0)


@dataclass(frozen=True, kw_only=True)
class Skip(Stage):
    """Leave out the first `count` elements."""

    kind: ClassVar[str] = "skip"
    count: int

    def __post_init__(self) -> None:
        self._require_count("count", least=0)


@dataclass(frozen=True, kw_only=True)
class Shard(Stage):
    """Keep every `num_shards`-th element, from the `index`-th on."""

    kind: ClassVar[str] = "shard"
    num_shards: int
    index: int

    def __post_init__(self) -> None:
        self._require_count("num_shards")
        self._require_count("index", least=0)
        self._require(self.index < self.num_shards, "index", f"0 to {self.num_shards - 1}")


@dataclass(frozen=True, kw_only=True)
class Prefetch(Stage):
    """Make the next elements while the consumer works on this one."""

    kind: ClassVar[str] = "prefetch"
    buffer_size: int = AUTO

    def __post_init__(self) -> None:
        if self.buffer_size != AUTO:
            self._require_count("buffer_size", least=0, most=MOST_IN_MEMORY)


@dataclass(frozen=True, kw_only=True)
class Snapshot(Stage):
    """Write the elements to `path` once, and read them from there afterwards."""

    kind: ClassVar[str] = "snapshot"
    path: str
    compression: str | None = "AUTO"

    def __post_init__(self) -> None:
        known = (None, "AUTO", "NONE", "GZIP", "SNAPPY")
        self._require(self.compression in known, "compression", "AUTO, GZIP, SNAPPY or None")


@dataclass(frozen=True, kw_only=True)
class PrefetchToDevice(Stage):
    """Copy the next `buffer_size` elements to the accelerator while it works on this one (double buffering)."""

    kind: ClassVar[str] = "prefetch_to_device"
    device: str = "/gpu:0"
    buffer_size: int = 1

    def __post_init__(self) -> None:
        self._require_count("buffer_size", most=MOST_ON_DEVICE)


@dataclass(frozen=True, kw_only=True)
class Options(Stage):
    """tf.data options for the pipeline as a whole; None leaves TensorFlow's default.

    Args:
        private_threadpool_size: Threads of a pool of the pipeline's own.
        max_intra_op_parallelism: Threads that one op may use.
        deterministic: False lets elements come as they are ready.
        slack: Whether the last prefetch leaves the CPU to the consumer at the start of a step.
        autotune: Whether TensorFlow tunes the knobs that are `AUTO`.
        default_optimizations: Whether TensorFlow rewrites the pipeline by itself.
        map_and_batch_fusion: Whether a map before a batch is fused with it.
        ram_budget: Bytes that autotuned buffers may take.
        others: Further options by their path in `tf.data.Options`, `experimental_distribute.auto_shard_policy`, say.
    """

    kind: ClassVar[str] = "options"
    private_threadpool_size: int | None = None
    max_intra_op_parallelism: int | None = None
    deterministic: bool | None = None
    slack: bool | None = None
    autotune: bool | None = None
    default_optimizations: bool | None = None
    map_and_batch_fusion: bool | None = None
    ram_budget: int | None = None
    others: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        bounds = {
            "private_threadpool_size": MOST_PARALLEL,
            "max_intra_op_parallelism": MOST_PARALLEL,
            "ram_budget": MOST,
        }
        for argument, most in bounds.items():
            if getattr(self, argument) is not None:
                self._require_count(argument, most=most)
        object.__setattr__(self, "others", tuple((str(path), value) for path, value in self.others))


@dataclass(frozen=True, kw_only=True)
class OpaqueStage(Stage):
    """A transformation `tf.data.Dataset -> tf.data.Dataset` known to its own code only; a barrier to every rewrite."""

    kind: ClassVar[str] = "opaque"
    transformation: Function | None = None
    detail: Any = field(default=None, compare=False, repr=False)


OPTION_PATHS: Final = {
    "private_threadpool_size": "threading.private_threadpool_size",
    "max_intra_op_parallelism": "threading.max_intra_op_parallelism",
    "deterministic": "deterministic",
    "slack": "experimental_slack",
    "autotune": "autotune.enabled",
    "ram_budget": "autotune.ram_budget",
    "default_optimizations": "experimental_optimization.apply_default_optimizations",
    "map_and_batch_fusion": "experimental_optimization.map_and_batch_fusion",
}
"""Where in `tf.data.Options` each argument of an options stage goes."""

STAGES: Final[tuple[type[Stage], ...]] = (
    Interleave, Map, Filter, FlatMap, Cache, Shuffle, Repeat, Batch, PaddedBatch, RaggedBatch, BucketBySequenceLength,
    Unbatch, Rebatch, Take, Skip, Shard, Prefetch, Snapshot, PrefetchToDevice, Options, OpaqueStage,
)  # fmt: skip

BATCHING: Final[tuple[type[Stage], ...]] = (Batch, PaddedBatch, RaggedBatch, BucketBySequenceLength, Rebatch)
"""The stages after which an element is a batch."""

FUNCTION_FIELDS: Final = ("function", "predicate", "map_func", "element_length_func", "transformation")
"""The fields of stages that hold a `Function`."""


def inner_stages(stage: Stage) -> tuple[Stage, ...]:
    """The stages inside a stage: those that each of its inputs passes through."""
    return stage.inner if isinstance(stage, Interleave | FlatMap) else ()


def as_function(value: str | Callable[..., Any] | Function | None) -> Function | None:
    """Wrap what a user gives as a function; None stays None."""
    return None if value is None else Function.of(value)
