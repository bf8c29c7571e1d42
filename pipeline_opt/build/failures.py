"""The one place where TensorFlow's errors become ours: with the stage, the file, the offset and the remedy."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline_opt.build.functions import scope_name
from pipeline_opt.build.messages import Message, parse_message
from pipeline_opt.build.reading import Resolve, file_sources, listed
from pipeline_opt.errors import (
    CacheError,
    CorruptRecordError,
    FormatError,
    MissingPathError,
    PipelineOptError,
    SchemeError,
    SourceError,
    StageError,
)
from pipeline_opt.lazy import lazy_module
from pipeline_opt.plan import Plan, item_names
from pipeline_opt.sources import Csv, FileSource, Images, ResolvedSource, Source, TFRecords
from pipeline_opt.stages import BATCHING, FUNCTION_FIELDS, Cache, PaddedBatch, Snapshot, Stage
from pipeline_opt.storage import resolve as list_files
from pipeline_opt.storage.damage import (
    Damage,
    damaged_piece,
    damaged_record,
    damaged_stream,
    foreign_file,
    misfit_row,
    undecodable_image,
)
from pipeline_opt.storage.preflight import problem_now
from pipeline_opt.storage.remote_failures import explain_remote, may_read

tf = lazy_module("tensorflow")

COUNTERPARTS: Final[Mapping[str, type[PipelineOptError]]] = {
    "AbortedError": StageError,
    "AlreadyExistsError": CacheError,
    "CancelledError": StageError,
    "DataLossError": CorruptRecordError,
    "DeadlineExceededError": StageError,
    "FailedPreconditionError": StageError,
    "InternalError": StageError,
    "InvalidArgumentError": StageError,
    "NotFoundError": MissingPathError,
    "OpError": StageError,
    "OutOfRangeError": StageError,
    "PermissionDeniedError": SourceError,
    "ResourceExhaustedError": StageError,
    "UnauthenticatedError": SourceError,
    "UnavailableError": StageError,
    "UnimplementedError": StageError,
    "UnknownError": StageError,
}
"""What an error of TensorFlow becomes where nothing more can be said of it."""

OWN_ERRORS: Final = {kind.__name__: kind for kind in (CorruptRecordError, FormatError, MissingPathError, SourceError)}
"""What the bridge raises."""

_RECORD: Final = re.compile(r"(?:corrupted|truncated) record at (\d+)")
_STREAM: Final = re.compile(r"inflate\(\) failed|Failed to inflate|EOF reached|zlib", re.IGNORECASE)
_PATH: Final = re.compile(r"(?:^|[\s'\"(])((?:[a-z0-9]+:/)?/[^\s;'\"]+)")
_IMAGE: Final = re.compile(
    r"image file format|Uncompress failed|Invalid (PNG|GIF|BMP|JPEG)|Expected image|image/", re.I
)
_IMAGE_OPS: Final = re.compile(
    r"/?(DecodeImage|DecodeJpeg|DecodePng|DecodeBmp|DecodeGif|DecodeAndCropJpeg|ExtractJpeg)"
)
_FIELDS: Final = re.compile(r"Expect \d+ fields but have (\d+) in record")
_FIELD: Final = re.compile(r"Field (\d+) in record \d+ is not a valid \w+: (.*)", re.DOTALL)
_SHAPES: Final = re.compile(r"Cannot (add tensor to the batch|batch tensors)|pad to a smaller size|different shapes")


def translate(error: BaseException, plan: Plan, *, resolve: Resolve = list_files) -> PipelineOptError:
    """Say what an error that ended a pipeline means.

    Args:
        error: What the iterator, or making it, raised.
        plan: What was running.
        resolve: Lists the files of a source, to search them for damage.

    Returns:
        An error of ours that names the stage and, where it can be found, the file and the offset; its `__cause__` is
        `error`. An error that is ours already comes back as it is.
    """
    if isinstance(error, PipelineOptError):
        return error
    translated = _translate(error, plan, resolve)
    translated.__cause__ = error
    return translated


@dataclass(frozen=True)
class Failure:
    """An error with what is needed to explain it."""

    kind: str
    message: Message
    plan: Plan
    resolve: Resolve

    @functools.cached_property
    def names(self) -> Mapping[str, Stage | Source]:
        """Every source and stage by the name of its dataset."""
        return item_names(self.plan)

    @functools.cached_property
    def stage(self) -> str | None:
        """The stage whose function failed: as TensorFlow says, or by the scope of the op, or as the only candidate."""
        if self.message.transformation in self.names:
            return self.message.transformation
        scopes = {scope_name(name): name for name in self.names}
        for node in self.message.nodes:
            parts = node.split("/")
            for end in range(len(parts), 0, -1):
                if "/".join(parts[:end]) in scopes:
                    return scopes["/".join(parts[:end])]
        inside = [node for node in self.message.nodes if not node.startswith("__wrapped__")]
        having = [name for name, stage in self.names.items() if any(getattr(stage, f, None) for f in FUNCTION_FIELDS)]
        return having[0] if inside and len(having) == 1 else None

    @functools.cached_property
    def files(self) -> tuple[tuple[str, FileSource, ResolvedSource], ...]:
        """Every file source with its files and the name of the stage that reads them."""
        return tuple(listed(self.plan, self.resolve))

    def only(self, *kinds: type[Stage] | type[Source]) -> str | None:
        """The name of the stage or source of some kinds, if there is one only."""
        found = [name for name, stage in self.names.items() if isinstance(stage, kinds)]
        return found[0] if len(found) == 1 else None


def _translate(error: BaseException, plan: Plan, resolve: Resolve) -> PipelineOptError:
    kind = type(error).__name__
    if not isinstance(error, tf.errors.OpError):
        return StageError(f"the pipeline failed: {kind}: {error}")
    failure = Failure(kind, parse_message(str(error.message)), plan, resolve)
    for explain in EXPLANATIONS:
        # What goes wrong in a search for more must not be told in place of what ended the pipeline.
        with contextlib.suppress(PipelineOptError, OSError, tf.errors.OpError):
            explained = explain(failure)
            if explained is not None:
                return explained
    return _plain(failure)


def _bridge(failure: Failure) -> PipelineOptError | None:
    """An error of ours that the bridge raised inside the pipeline."""
    raised = failure.message.raised
    kind = OWN_ERRORS.get(raised.kind.rpartition(".")[2]) if raised else None
    if raised is None or kind is None:
        return None
    reader = next((name for name, source in file_sources(failure.plan) if may_read(source, raised.text)), None)
    said = f"{reader}: {raised.text}" if reader else raised.text
    return kind(said, reader) if issubclass(kind, StageError) else kind(said)


def _raised_in_python(failure: Failure) -> PipelineOptError | None:
    raised = failure.message.raised
    if raised is None:
        return None
    where = f" ({raised.where})" if raised.where else ""
    stage = failure.stage
    return StageError(f"{stage or 'the pipeline'}: Python code raised {raised.kind}: {raised.text}{where}", stage)


def _cache(failure: Failure) -> PipelineOptError | None:
    """A cache or snapshot on disk, known by its path in the message."""
    text = failure.message.text
    for name, stage in failure.names.items():
        path = stage.filename if isinstance(stage, Cache) else stage.path if isinstance(stage, Snapshot) else ""
        parent = path.rpartition("/")[0]
        if path and (path in text or (isinstance(stage, Snapshot) and parent and parent in text)):
            return CacheError(f"{name}: {_cache_reason(failure.kind, text, path)}", name)
    if "cache lockfile" in text:
        stage_name = failure.only(Cache)
        return CacheError(f"{stage_name or 'cache'}: {_cache_reason(failure.kind, text, '')}", stage_name)
    return None


def _cache_reason(kind: str, text: str, path: str) -> str:
    lockfile = re.search(r"'([^']+\.lockfile)'", text)
    if lockfile:
        return (
            f"another process is writing this cache, or one that did has died: {lockfile.group(1)}; "
            "if no other process writes this cache, delete that file and run again"
        )
    if kind == "DataLossError":
        return f"the cache at {path} is damaged ({text}); delete {path}* and let it be written again"
    if kind == "ResourceExhaustedError":
        return f"no space for the cache at {path} ({text}); free some, or cache in memory or elsewhere"
    parent = path.rpartition("/")[0]
    remedy = (
        f"create the folder {parent}" if kind == "NotFoundError" and parent else "choose a path that can be written"
    )
    return f"cannot use the cache path {path} ({text}); {remedy}"


def _damaged_data(failure: Failure) -> PipelineOptError | None:
    """A record or a compressed stream that cannot be read: search the files for it."""
    text = failure.message.text
    record = _RECORD.search(text)
    if failure.kind != "DataLossError" or not (record or _STREAM.search(text)):
        return None
    for reader, source, resolved in failure.files:
        if record is not None and not isinstance(source, TFRecords):
            continue
        damage = _find(source, resolved, int(record.group(1)) if record else None)
        if damage is not None and damage.offset is None:
            return FormatError(f"{reader}: {damage.path} {damage.reason}")
        if damage is not None:
            return CorruptRecordError(f"{reader}: {damage.path}, byte {damage.offset}: {damage.reason}", reader)
    readers = {reader: resolved for reader, _, resolved in failure.files}
    where = "; ".join(f"in one of the {len(r.files)} files that {name} reads" for name, r in readers.items())
    return CorruptRecordError(
        f"{text}{', ' if where else ''}{where}", next(iter(readers)) if len(readers) == 1 else None
    )


def _find(source: FileSource, resolved: ResolvedSource, offset: int | None) -> Damage | None:
    records = isinstance(source, TFRecords)
    if not offset:
        foreign = foreign_file(resolved.files, resolved.compression, records=records, access=source.access)
        if foreign is not None:
            return foreign
    if offset is not None:
        found = damaged_piece(resolved.files, resolved.compression, offset, source.access)
        if found is not None:
            return found
    if offset is None:
        return damaged_stream(resolved.files, resolved.compression, access=source.access)
    return damaged_record(resolved.files, resolved.compression, offset, source.access)


def _missing_scheme(failure: Failure) -> PipelineOptError | None:
    if "File system scheme" not in failure.message.text:
        return None
    return SchemeError(f"{failure.message.text}; `pipeline-opt doctor` says what opens here")


def _remote(failure: Failure) -> PipelineOptError | None:
    """What the client of a remote storage says: before any search of files, which would ask the storage again."""
    return explain_remote(failure.kind, failure.message.text, file_sources(failure.plan))


def _unreadable_path(failure: Failure) -> PipelineOptError | None:
    """A file of a source that is gone, is a folder, or may not be read."""
    path = _path_in(failure)
    if failure.kind not in ("NotFoundError", "PermissionDeniedError", "FailedPreconditionError") or path is None:
        return None
    reader = (
        next((name for name, source in file_sources(failure.plan) if may_read(source, path)), None) or failure.stage
    )
    problem = problem_now(path) if failure.kind == "NotFoundError" else None
    if problem is not None:
        return StageError(f"{reader or 'the pipeline'}: {path}: {problem}", reader)
    says = {"NotFoundError": "the file is gone", "PermissionDeniedError": "the file may not be read"}
    error = MissingPathError if failure.kind == "NotFoundError" else SourceError
    prefix = f"{reader}: " if reader else ""
    return error(f"{prefix}{says.get(failure.kind, 'the file cannot be read')}: {path} ({failure.message.text})")


def _path_in(failure: Failure) -> str | None:
    """The path that a message names: TensorFlow writes `path; reason`, other libraries write sentences."""
    path, semicolon, _ = failure.message.text.partition("; ")
    if semicolon and any(may_read(source, path) for _, source in file_sources(failure.plan)):
        return path
    return next(iter(_PATH.findall(failure.message.text)), None)


def _undecodable(failure: Failure) -> PipelineOptError | None:
    text = failure.message.text
    if failure.kind != "InvalidArgumentError":
        return None
    if not (_IMAGE.search(text) or any(_IMAGE_OPS.search(node) for node in failure.message.nodes)):
        return None
    stage = failure.stage
    images = [(source, resolved) for _, source, resolved in failure.files if isinstance(source, Images)]
    found = [undecodable_image(resolved.files, source.access) for source, resolved in images]
    damage = next((damage for damage in found if damage is not None), None)
    which = f"{damage.path} {damage.reason} ({text})" if damage else text
    return StageError(
        f"{stage or 'a map'}: an image does not decode: {which}; remove it, or filter such elements out before", stage
    )


def _misfit_row(failure: Failure) -> PipelineOptError | None:
    """A CSV row that does not parse: TensorFlow counts rows in the op's input, which holds one."""
    text = failure.message.text
    count, value = _FIELDS.search(text), _FIELD.search(text)
    if failure.kind != "InvalidArgumentError" or not (count or value):
        return None

    def misfit(values: list[str]) -> bool:
        if count:
            return len(values) == int(count[1])
        return value is not None and values[int(value[1]) :][:1] == [value[2]]

    for _, source, resolved in failure.files:
        if isinstance(source, Csv):
            form = (resolved.compression, source.delimiter, source.header)
            found = misfit_row(resolved.files, *form, misfit, source.access)
            if found is not None:
                where = f"{found[0]}, line {found[1]}"
                return StageError(
                    f"{failure.stage or 'a map'}: {where}: {text.replace(' in record 0', '')}", failure.stage
                )
    return None


def _unequal_shapes(failure: Failure) -> PipelineOptError | None:
    """Elements that do not fit into one batch."""
    text = failure.message.text
    if not _SHAPES.search(text):
        return None
    if "smaller size" in text:
        stage = failure.only(PaddedBatch) or failure.only(*BATCHING)
        return StageError(f"{stage or 'padded_batch'}: an element is larger than padded_shapes: {text}", stage)
    stage = failure.only(*BATCHING)
    remedy = "give them one shape in a map before, or use padded_batch or ragged_batch"
    return StageError(f"{stage or 'batch'}: elements of different shapes: {text}; {remedy}", stage)


def _fixed_length(failure: Failure) -> PipelineOptError | None:
    if "exact multiple of the record length" not in failure.message.text:
        return None
    return FormatError(f"fixed_length: {failure.message.text}")


def _no_memory(failure: Failure) -> PipelineOptError | None:
    if failure.kind != "ResourceExhaustedError":
        return None
    stage = failure.stage
    remedy = "lower batch sizes, shuffle or prefetch buffers, or parallelism"
    return StageError(f"{stage or 'the pipeline'}: out of memory or space: {failure.message.text}; {remedy}", stage)


def _plain(failure: Failure) -> PipelineOptError:
    """The counterpart of TensorFlow's class, with the stage where it is known."""
    stage = failure.stage
    kind = COUNTERPARTS.get(failure.kind, StageError)
    message = f"{stage or 'the pipeline'}: {failure.message.text or failure.kind}"
    return kind(message, stage) if issubclass(kind, StageError) else kind(message)


EXPLANATIONS: Final[tuple[Callable[[Failure], PipelineOptError | None], ...]] = (
    _bridge, _raised_in_python, _cache, _missing_scheme, _remote, _unequal_shapes, _damaged_data, _fixed_length, _undecodable,
    _misfit_row, _unreadable_path, _no_memory,
)  # fmt: skip
"""What is tried, in this order; the first that knows the case explains it."""
