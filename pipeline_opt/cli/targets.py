"""From what is typed to a pipeline: paths, a TOML file, or a function that makes one, with the options for its stages."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline_opt.access import Access
from pipeline_opt.build.defaults import infer_defaults
from pipeline_opt.build.runtime import is_dataset
from pipeline_opt.cli.console import note
from pipeline_opt.cli.reaching import reached_pipeline
from pipeline_opt.errors import FunctionError, PipelineOptError, UsageError
from pipeline_opt.functions import Function, load_reference
from pipeline_opt.order import check_order, parse_order
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import Plan
from pipeline_opt.sources import FILE_SOURCES, Csv, FileSource, FixedLength, Images, OpaqueDataset
from pipeline_opt.stages import STAGES, Batch, Batching, Map, PaddedBatch, PrefetchToDevice, RaggedBatch, Shuffle, Stage
from pipeline_opt.storage import SOURCES, resolve
from pipeline_opt.storage.formats import is_hidden
from pipeline_opt.storage.nearby import some

BATCH_SIZE: Final = 64
BUFFER_SIZE: Final = 1000

_REFERENCE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*|.+\.py:[A-Za-z_][\w.]*")
_KINDS: Final = tuple(stage.kind for stage in STAGES)


@dataclass(frozen=True)
class PlanOptions:
    """What the options say of a plan; None where they say nothing."""

    order: tuple[str, ...] | None = None
    config: Path | None = None
    file_format: str | None = None
    maps: tuple[Map, ...] = ()
    batch_size: int | None = None
    shuffle_buffer: int | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    access: Mapping[str, Any] = field(default_factory=dict)

    @property
    def addable(self) -> dict[str, Stage]:
        """The stages that an order may add to a plan, with their arguments, by kind."""
        size = BATCH_SIZE if self.batch_size is None else self.batch_size
        buffer = BUFFER_SIZE if self.shuffle_buffer is None else self.shuffle_buffer
        stages = (
            Shuffle(buffer_size=buffer),
            Batch(batch_size=size),
            PaddedBatch(batch_size=size),
            RaggedBatch(batch_size=size),
            PrefetchToDevice(),
        )
        return {stage.kind: stage for stage in stages}


def plan_options(
    order: str | None = None,
    config: Path | None = None,
    file_format: str | None = None,
    maps: Sequence[str] | None = None,
    random_maps: Sequence[str] | None = None,
    batch_size: int | None = None,
    shuffle_buffer: int | None = None,
    reading: Mapping[str, Any] | None = None,
    access: Mapping[str, Any] | None = None,
) -> PlanOptions:
    """Check the options as far as that goes without looking at data, and before any code of the user's runs.

    Raises:
        PlanError: an order, a reference or a size is not valid.
        UsageError: the format is not one.
    """
    if file_format is not None and file_format not in SOURCES:
        raise UsageError(f"--format={file_format!r} is not valid; valid: {', '.join(SOURCES)}")
    if file_format == FixedLength.kind and "record_bytes" not in (reading or {}):
        raise UsageError(f"--format {file_format} needs the length of a record: --record-bytes N")
    pure, random = (tuple(Function.of(ref) for ref in refs or ()) for refs in (maps, random_maps))
    options = PlanOptions(
        order=None if order is None else parse_order(order),
        config=config,
        file_format=file_format,
        maps=tuple(_named_maps(pure, random)),
        batch_size=batch_size,
        shuffle_buffer=shuffle_buffer,
        reading=reading or {},
        access=access or {},
    )
    # Made to check the sizes.
    assert options.addable
    return options


def reading_options(delimiter: str | None, header: bool | None, record_bytes: int | None) -> dict[str, Any]:
    """The arguments of a source that the options say."""
    between = "\t" if delimiter in ("tab", "\\t") else delimiter
    given = {"delimiter": between, "header": header, "record_bytes": record_bytes}
    return {name: value for name, value in given.items() if value is not None}


def is_reference(target: str) -> bool:
    """Whether a target is a function rather than a path."""
    return not os.path.exists(target) and "://" not in target and _REFERENCE.fullmatch(target) is not None


def make_pipeline(
    targets: Sequence[str], options: PlanOptions, *, device: bool = False, endless: bool = False
) -> Pipeline:
    """The pipeline that is meant.

    Args:
        targets: Paths; or one function or TOML file; or nothing, with a config.
        options: What was said of it.
        device: Whether the order that paths get unless another is given ends with the copy to an accelerator.
        endless: Whether it goes through the data again and again.

    Raises:
        UsageError: Options and targets do not go together.
        PipelineOptError: As making a pipeline raises.
    """
    # As `python -m` does: a console script would find no module of the folder that it is run in.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    config = options.config
    if config is None and len(targets) == 1 and targets[0].endswith(".toml"):
        config, targets = Path(targets[0]), ()
    if config is None and not (len(targets) == 1 and is_reference(targets[0])):
        return _checked(_from_paths(targets, options, device, endless), options)
    if options.maps or options.file_format or options.reading:
        reading = next((f"--{name.replace('_', '-')}" for name in options.reading), "--map")
        option = "--format" if options.file_format else reading
        raise UsageError(f"{option} goes with a path to data, not with a pipeline that has stages already")
    pipeline = _from_config(config, targets) if config is not None else _from_function(targets[0])
    pipeline = reached_pipeline(pipeline, options.access)
    if options.order is not None:
        pipeline = pipeline.order(options.order, options.addable)
    return _checked(pipeline, options)


def _checked(pipeline: Pipeline, options: PlanOptions) -> Pipeline:
    """The pipeline with the sizes asked for.

    Raises:
        UsageError: A size is given and no stage has it.
        OrderError: The order cannot be built.
    """
    sizes = (
        ("--batch-size", "batch_size", options.batch_size, Batching),
        ("--shuffle-buffer", "buffer_size", options.shuffle_buffer, Shuffle),
    )
    for option, argument, value, kind in sizes:
        having = [stage.name for stage in pipeline.stages if isinstance(stage, kind)]
        if value is not None and not having:
            names = ", ".join(stage.name for stage in pipeline.stages) or "none"
            raise UsageError(f"{option}={value}: the pipeline has no stage for it; stages: {names}")
        for name in having if value is not None else ():
            pipeline = pipeline.replace(name, **{argument: value})
    check_order(pipeline)
    return pipeline


def _from_config(config: Path, paths: Sequence[str]) -> Pipeline:
    pipeline = Pipeline.from_config(config)
    if not paths:
        return pipeline
    if not isinstance(pipeline.source, FileSource):
        raise UsageError(f"{config} reads {pipeline.source.kind}, which paths cannot replace; leave the paths out")
    return dataclasses.replace(pipeline, source=dataclasses.replace(pipeline.source, paths=tuple(paths)))


def _from_function(ref: str) -> Pipeline:
    """What a function of the user's returns."""
    value = load_reference(ref)
    try:
        made = value() if callable(value) else value
    except PipelineOptError:
        raise
    except (Exception, SystemExit) as error:
        raise FunctionError(f"{ref} raised {type(error).__name__}: {error}") from error
    if isinstance(made, Plan):
        return Pipeline.of(made)
    if not is_dataset(made):
        raise FunctionError(f"{ref} returned {type(made).__name__}; valid: a tf.data.Dataset or a Pipeline")
    return Pipeline(OpaqueDataset(dataset=made, factory=Function.of(ref)))


def _from_paths(paths: Sequence[str], options: PlanOptions, device: bool, endless: bool) -> Pipeline:
    code = next((path for path in paths if path.endswith(".py")), None)
    if code is not None:
        raise UsageError(f"{code} is Python code; name its function that returns a dataset: {code}:FUNCTION")
    access = Access(**options.access)
    pipeline = Pipeline.from_files(
        _data_among(paths), file_format=options.file_format, access=access, **options.reading
    )
    assert isinstance(pipeline.source, FileSource)
    if isinstance(pipeline.source, Csv) and not {"delimiter", "header"} <= options.reading.keys():
        header = "the first line names columns" if pipeline.source.header else "no header"
        note(f"note: csv: {pipeline.source.delimiter!r} between values, {header}; or say --delimiter, --header")
    resolved = resolve(pipeline.source)
    maps: tuple[Map, ...] = options.maps
    if not maps:
        found = infer_defaults(pipeline.source, resolved)
        maps = found.maps
        for text in found.notes:
            note(f"note: {text}")
    if options.order is not None:
        # An order without a map asks for the elements as they are read.
        named = {"map", *(stage.name for stage in maps)} & set(options.order)
        maps = maps if named or options.maps else ()
    default = ("interleave", "shuffle", *["repeat"] * endless, *["map"] * bool(maps), "batch", "prefetch")
    order = options.order or (*default, *["prefetch_to_device"] * device)
    addable = options.addable
    if isinstance(pipeline.source, Images) and options.shuffle_buffer is None:
        addable["shuffle"] = Shuffle(buffer_size=min(BUFFER_SIZE, len(resolved.files)))
    return pipeline.with_stages(maps).order(order, addable)


def _data_among(paths: Sequence[str]) -> Sequence[str]:
    """The paths without hidden files, `_manifest.json` and its like, which a shell's `data/*` gives as well."""
    hidden = [path for path in paths if is_hidden(os.path.basename(path)) and os.path.isfile(path)]
    if not hidden or len(hidden) == len(paths):
        return paths
    note(f"note: left out, as their names say that they are no data: {some(hidden)}")
    return [path for path in paths if path not in hidden]


def _named_maps(pure: Sequence[Function], random: Sequence[Function]) -> Iterator[Map]:
    """A map for each function, called after it where that tells it from other stages."""
    taken = {*_KINDS, *(source.kind for source in FILE_SOURCES)}
    for function, declared in (*((each, None) for each in pure), *((each, True) for each in random)):
        name = "" if function.label in taken else function.label
        taken.add(name)
        yield Map(name=name, function=function, random=declared)
