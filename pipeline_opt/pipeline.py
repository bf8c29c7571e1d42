"""The user's pipeline: a plan with a fluent builder and everything that can be done with it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pipeline_opt import stages as s
from pipeline_opt import text
from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.build.dataset import build
from pipeline_opt.build.defaults import infer_defaults
from pipeline_opt.build.purities import purities, random_of
from pipeline_opt.build.purity import Purity
from pipeline_opt.errors import PlanWarning
from pipeline_opt.functions import Function
from pipeline_opt.ingest import imported
from pipeline_opt.order import Harm, apply_order, harms
from pipeline_opt.plan import Concatenate, Plan, Sample, Zip, unfolded
from pipeline_opt.sources import Csv, FileSource, FixedLength, Images, OpaqueDataset, Tensors, TextLines, TFRecords
from pipeline_opt.stages import AUTO, Knob
from pipeline_opt.storage import resolve
from pipeline_opt.storage.bare import file_source

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
UserFunction = str | Callable[..., Any] | Function


def _paths(paths: Paths) -> tuple[str, ...]:
    return (os.fspath(paths),) if isinstance(paths, str | os.PathLike) else tuple(os.fspath(p) for p in paths)


@dataclass(frozen=True)
class Pipeline(Plan):
    """An input pipeline: where elements come from, and the stages that they pass through.

    Immutable: every method gives a new pipeline. Names and arguments of stages are those of `tf.data.Dataset`; every knob is
    `AUTO` unless given, and `num_parallel_calls=None` asks for tf.data's sequential form. A function is a callable or a
    reference, `"package.module:function"` or `"path/to/file.py:function"`. How files are reached is said with `access`, such as
    `po.Access(via="fsspec", block_bytes=4 << 20)`.

    Example:
        >>> import pipeline_opt as po
        >>> pipe = po.Pipeline.from_tensors([1, 2, 3, 4]).shuffle(4, seed=1).batch(2).prefetch()
        >>> [stage.name for stage in pipe.stages]
        ['shuffle', 'batch', 'prefetch']
    """

    @classmethod
    def from_tfrecords(
        cls, paths: Paths, *, compression: str = "auto", buffer_size: int | None = None, access: Access = DEFAULT
    ) -> Self:
        """Records of TFRecord files, given as files, folders, globs or a list of them: scalar byte strings."""
        return cls(TFRecords(paths=_paths(paths), compression=compression, buffer_size=buffer_size, access=access))

    @classmethod
    def from_images(cls, paths: Paths, *, access: Access = DEFAULT) -> Self:
        """Images in one folder a class: pairs of encoded bytes and class number (int64)."""
        return cls(Images(paths=_paths(paths), access=access))

    @classmethod
    def from_text(cls, paths: Paths, *, compression: str = "auto", access: Access = DEFAULT) -> Self:
        """Lines of text files: scalar byte strings."""
        return cls(TextLines(paths=_paths(paths), compression=compression, access=access))

    @classmethod
    def from_csv(
        cls,
        paths: Paths,
        *,
        header: bool = True,
        delimiter: str = ",",
        compression: str = "auto",
        access: Access = DEFAULT,
    ) -> Self:
        """Rows of CSV files, as lines; with `header`, the first line of every file is left out."""
        source = Csv(paths=_paths(paths), header=header, delimiter=delimiter, compression=compression, access=access)
        return cls(source)

    @classmethod
    def from_fixed_length(
        cls,
        paths: Paths,
        record_bytes: int,
        *,
        header_bytes: int = 0,
        footer_bytes: int = 0,
        compression: str = "auto",
        access: Access = DEFAULT,
    ) -> Self:
        """Records of `record_bytes` bytes each."""
        source = FixedLength(
            paths=_paths(paths),
            record_bytes=record_bytes,
            header_bytes=header_bytes,
            footer_bytes=footer_bytes,
            compression=compression,
            access=access,
        )
        return cls(source)

    @classmethod
    def from_files(cls, paths: Paths, *, file_format: str | None = None, **arguments: Any) -> Self:
        """Elements of files whose format is found out from their names and first bytes.

        Further arguments are those of the format's own method: `delimiter` and `header` of CSV files, which are found out
        unless given, `record_bytes` of records of fixed length, and `access`.

        Raises:
            FormatError: It cannot be told; `file_format` then says it: tfrecords, images, text, csv or fixed_length.
            KnobError: The format has no such argument.
        """
        return cls(file_source(_paths(paths), file_format, **arguments))

    @classmethod
    def from_tensors(cls, value: Any) -> Self:
        """Slices of tensors in memory, along their first axis."""
        return cls(Tensors(value=value))

    @classmethod
    def from_dataset(cls, dataset: Any) -> Self:
        """The pipeline of a `tf.data.Dataset`, read from its graph; what a function makes is one source until it is needed."""
        if callable(dataset) or isinstance(dataset, str):
            return cls(OpaqueDataset(factory=Function.of(dataset)))
        return cls.of(imported(dataset))

    @classmethod
    def zip(cls, *pipelines: Plan) -> Self:
        """Tuples of one element from each pipeline, until the shortest ends."""
        return cls(Zip(plans=pipelines))

    @classmethod
    def concatenate(cls, *pipelines: Plan) -> Self:
        """The elements of one pipeline after those of another."""
        return cls(Concatenate(plans=pipelines))

    @classmethod
    def sample(
        cls,
        *pipelines: Plan,
        weights: Sequence[float] | None = None,
        seed: int | None = None,
        stop_on_empty_dataset: bool = False,
    ) -> Self:
        """Elements drawn at random from several pipelines, with given weights."""
        drawn = None if weights is None else tuple(weights)
        return cls(Sample(plans=pipelines, weights=drawn, seed=seed, stop_on_empty_dataset=stop_on_empty_dataset))

    @classmethod
    def from_config(cls, path: str | os.PathLike[str]) -> Self:
        """Read a pipeline from a TOML file, as `to_toml` writes it. Runs no code: functions are imported when it is built.

        Raises:
            ConfigError: The file cannot be read; names the stage, the value and what would be valid.
        """
        plan = text.load_path(Path(path))
        return cls(plan.source, plan.stages)

    # ---- stages ----------------------------------------------------------------------------------------------------

    def interleave(
        self,
        map_func: UserFunction | None = None,
        *,
        cycle_length: int = AUTO,
        block_length: int = 1,
        num_parallel_calls: Knob = AUTO,
        deterministic: bool | None = None,
        name: str = "",
    ) -> Self:
        """Read `cycle_length` files at a time; with `map_func`, interleave the datasets that it returns."""
        stage = s.Interleave(
            name=name,
            map_func=s.as_function(map_func),
            cycle_length=cycle_length,
            block_length=block_length,
            num_parallel_calls=num_parallel_calls,
            deterministic=deterministic,
        )
        return self.append(stage)

    def map(
        self,
        function: UserFunction | None = None,
        *,
        num_parallel_calls: Knob = AUTO,
        deterministic: bool | None = None,
        random: bool | None = None,
        batched: bool | None = None,
        name: str = "",
        **arguments: Any,
    ) -> Self:
        """Apply a function to every element; further keyword arguments are bound to it.

        Without a function, the default transforms of the source's format are added: images are decoded, resized and scaled to
        0..1, Examples parsed by the schema found in the data, lines of text split and hashed, rows of CSV parsed.
        """
        if function is None:
            return self.with_stages((*self.stages, *self.default_maps()))
        stage = s.Map(
            name=name,
            function=Function.of(function, **arguments),
            num_parallel_calls=num_parallel_calls,
            deterministic=deterministic,
            random=random,
            batched=batched,
        )
        return self.append(stage)

    def default_maps(self) -> tuple[s.Map, ...]:
        """The default transforms for this source's data, which is looked at for it; none for sources that need none.

        Warns:
            PlanWarning: Something of the data is left out or cut to a common shape, with what and how.
        """
        if not isinstance(self.source, FileSource):
            return ()
        found = infer_defaults(self.source, resolve(self.source))
        for note in found.notes:
            warnings.warn(f"default transforms: {note}", PlanWarning, stacklevel=2)
        return found.maps

    def filter(self, predicate: UserFunction, *, name: str = "") -> Self:
        """Keep the elements for which the predicate is true."""
        return self.append(s.Filter(name=name, predicate=Function.of(predicate)))

    def flat_map(self, map_func: UserFunction, *, name: str = "") -> Self:
        """Replace every element by those of the dataset that the function returns."""
        return self.append(s.FlatMap(name=name, map_func=Function.of(map_func)))

    def cache(self, filename: str | os.PathLike[str] = "", *, name: str = "") -> Self:
        """Keep the elements of the first epoch, in memory or in files."""
        return self.append(s.Cache(name=name, filename=os.fspath(filename)))

    def shuffle(
        self, buffer_size: int, seed: int | None = None, *, reshuffle_each_iteration: bool = True, name: str = ""
    ) -> Self:
        """Draw at random from a buffer of `buffer_size` elements."""
        stage = s.Shuffle(
            name=name, buffer_size=buffer_size, seed=seed, reshuffle_each_iteration=reshuffle_each_iteration
        )
        return self.append(stage)

    def repeat(self, count: int | None = None, *, name: str = "") -> Self:
        """Go through the data `count` times, for ever if None."""
        return self.append(s.Repeat(name=name, count=count))

    def batch(
        self,
        batch_size: int,
        *,
        drop_remainder: bool = False,
        num_parallel_calls: Knob = None,
        deterministic: bool | None = None,
        name: str = "",
    ) -> Self:
        """Stack `batch_size` elements of one shape."""
        stage = s.Batch(
            name=name,
            batch_size=batch_size,
            drop_remainder=drop_remainder,
            num_parallel_calls=num_parallel_calls,
            deterministic=deterministic,
        )
        return self.append(stage)

    def padded_batch(
        self,
        batch_size: int,
        padded_shapes: Any = None,
        padding_values: Any = None,
        *,
        drop_remainder: bool = False,
        name: str = "",
    ) -> Self:
        """Stack elements of several shapes, padded."""
        stage = s.PaddedBatch(
            name=name,
            batch_size=batch_size,
            padded_shapes=padded_shapes,
            padding_values=padding_values,
            drop_remainder=drop_remainder,
        )
        return self.append(stage)

    def ragged_batch(self, batch_size: int, *, drop_remainder: bool = False, name: str = "") -> Self:
        """Put elements of several shapes into ragged tensors."""
        return self.append(s.RaggedBatch(name=name, batch_size=batch_size, drop_remainder=drop_remainder))

    def bucket_by_sequence_length(
        self,
        element_length_func: UserFunction,
        bucket_boundaries: Sequence[int],
        bucket_batch_sizes: Sequence[int],
        *,
        name: str = "",
        **arguments: Any,
    ) -> Self:
        """Batch elements of similar length; further arguments as in tf.data."""
        stage = s.BucketBySequenceLength(
            name=name,
            element_length_func=Function.of(element_length_func),
            bucket_boundaries=tuple(bucket_boundaries),
            bucket_batch_sizes=tuple(bucket_batch_sizes),
            **arguments,
        )
        return self.append(stage)

    def unbatch(self, *, name: str = "") -> Self:
        """Split every batch into its elements."""
        return self.append(s.Unbatch(name=name))

    def rebatch(self, batch_size: int, *, drop_remainder: bool = False, name: str = "") -> Self:
        """Change the size of batches."""
        return self.append(s.Rebatch(name=name, batch_size=batch_size, drop_remainder=drop_remainder))

    def take(self, count: int, *, name: str = "") -> Self:
        """Keep the first `count` elements."""
        return self.append(s.Take(name=name, count=count))

    def skip(self, count: int, *, name: str = "") -> Self:
        """Leave out the first `count` elements."""
        return self.append(s.Skip(name=name, count=count))

    def shard(self, num_shards: int, index: int, *, name: str = "") -> Self:
        """Keep every `num_shards`-th element, from the `index`-th on."""
        return self.append(s.Shard(name=name, num_shards=num_shards, index=index))

    def prefetch(self, buffer_size: int = AUTO, *, name: str = "") -> Self:
        """Make the next elements while the consumer works on this one."""
        return self.append(s.Prefetch(name=name, buffer_size=buffer_size))

    def snapshot(self, path: str | os.PathLike[str], *, compression: str | None = "AUTO", name: str = "") -> Self:
        """Write the elements to `path` once, and read them from there afterwards."""
        return self.append(s.Snapshot(name=name, path=os.fspath(path), compression=compression))

    def prefetch_to_device(self, device: str = "/gpu:0", buffer_size: int = 1, *, name: str = "") -> Self:
        """Copy the next elements to the accelerator while it works on this one."""
        return self.append(s.PrefetchToDevice(name=name, device=device, buffer_size=buffer_size))

    def options(self, **options: Any) -> Self:
        """Set tf.data options; see `stages.Options` for those there are."""
        return self.append(s.Options(**options))

    # ---- what can be done with it ----------------------------------------------------------------------------------

    def order(self, names: Sequence[str], defaults: Mapping[str, s.Stage] | None = None) -> Self:
        """The same stages in another order.

        Raises:
            OrderError: They cannot stand so; says why, and the nearest legal order.
        """
        return type(self).of(apply_order(self, names, defaults or {}))

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """A pipeline of any plan."""
        return cls(plan.source, plan.stages)

    def build(self) -> Any:
        """The `tf.data.Dataset` that this pipeline describes; see `pipeline_opt.build.dataset.build` for errors."""
        return build(self)

    def purities(self) -> dict[str, Purity]:
        """For every stage with a function: whether it is pure, random or unknown, with the evidence. Traces the functions."""
        return purities(self)

    def warnings(self) -> tuple[Harm, ...]:
        """Legal but harmful orders, with what they do."""
        plan = unfolded(self)
        return harms(plan, random_of(purities(plan)))

    def explain(self) -> str:
        """The pipeline as text, one stage a line, with knobs, purity of functions, and warnings."""
        plan = unfolded(self)
        found = purities(plan)
        shown = {name: f"{purity.kind}: {purity.evidence}" for name, purity in found.items()}
        return text.explain(plan, shown, harms(plan, random_of(found)))

    def to_python(self) -> str:
        """Plain tf.data code that makes the same elements and imports nothing of this package."""
        return text.to_python(self, resolve)

    def to_toml(self) -> str:
        """The pipeline as TOML, which `from_config` reads."""
        return text.to_toml(self)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when the pipeline does."""
        return text.fingerprint(self)

    def __str__(self) -> str:
        return text.plan_text(self)
