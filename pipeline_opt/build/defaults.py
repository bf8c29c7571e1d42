"""Which transform a bare path gets: by the format of its source and by a look at its first records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from pipeline_opt.build.transforms import decode_image, parse_csv, parse_example, split_and_hash
from pipeline_opt.errors import FormatError
from pipeline_opt.functions import Function
from pipeline_opt.lazy import lazy_module
from pipeline_opt.sources import Csv, FileSource, Images, ResolvedSource, TextLines, TFRecords
from pipeline_opt.stages import Map
from pipeline_opt.storage.csv_form import first_lines, is_number, rows_of
from pipeline_opt.storage.tfrecord import read_records

tf = lazy_module("tensorflow")

_SAMPLE: Final = 64
"""Records looked at to infer a schema, spread over `_FILES` files."""
_FILES: Final = 4
_IMAGE_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_WHOLE: Final = re.compile(r"\s*[+-]?\d+\s*")
_TYPES: Final = {"int64_list": "int64", "float_list": "float32", "bytes_list": "string"}


class Defaults(NamedTuple):
    """The maps that a source gets where the user gives none, and what the user should know of them."""

    maps: tuple[Map, ...]
    notes: tuple[str, ...] = ()


def default_maps(source: FileSource, resolved: ResolvedSource) -> tuple[Map, ...]:
    """The maps alone; see `infer_defaults`."""
    return infer_defaults(source, resolved).maps


def infer_defaults(source: FileSource, resolved: ResolvedSource) -> Defaults:
    """Choose the default transform of a source, reading its first records where their schema decides.

    Args:
        source: What the plan reads.
        resolved: Its files.

    Returns:
        One map, or none where raw bytes are all that can be said; `notes` has the reason, and what was assumed.

    Raises:
        CorruptRecordError: a file is damaged in its first records or lines.
        FormatError: the rows of a CSV file differ in length, or it has no lines.
    """
    match source:
        case Images():
            return Defaults((_map("decode", decode_image),))
        case TextLines():
            return Defaults((_map("tokenize", split_and_hash),))
        case Csv():
            return _csv_defaults(source, resolved)
        case TFRecords():
            return _record_defaults(source, resolved)
    return Defaults((), (f"{source.kind}: no default transform; elements are raw bytes",))


def _map(name: str, function: Callable[..., Any], **arguments: Any) -> Map:
    return Map(name=name, function=Function.of(function, **arguments), random=False, batched=False)


def _spread(files: Sequence[str]) -> list[str]:
    """A few files from the whole list, the first one among them."""
    step = max(1, len(files) // _FILES)
    return list(files[::step][:_FILES])


# TFRecords


def _record_defaults(source: TFRecords, resolved: ResolvedSource) -> Defaults:
    files = _spread(resolved.files)
    each = (resolved.compression, _SAMPLE // len(files), source.access)
    records = [r for f in files for r in read_records(f, *each)]
    if not records:
        return Defaults((), ("tfrecords: the files looked at are empty; elements are raw bytes",))
    if all(record.startswith(_IMAGE_MAGIC) for record in records):
        return Defaults((_map("decode", decode_image),))
    sequences = any(_is_sequence(record) for record in records)
    examples = [_features(record) for record in records]
    if sequences or not all(examples):
        what = "tf.train.SequenceExample" if sequences else "neither tf.train.Example nor images"
        return Defaults((), (f"tfrecords: records are {what}; no default transform, elements are raw bytes",))
    names = sorted({name for example in examples for name in example})
    notes: list[str] = []
    schema = {name: spec for name in names if (spec := _feature_spec(name, examples, notes))}
    if not schema:
        return Defaults((), (*notes, "tfrecords: no feature can be parsed; elements are raw bytes"))
    return Defaults((_map("parse", parse_example, schema=schema),), tuple(notes))


def _features(record: bytes) -> dict[str, tuple[str, Sequence[Any]]]:
    """The features of a `tf.train.Example` that hold values: name, type and values; nothing if it is none."""
    try:
        features = tf.train.Example.FromString(record).features.feature
    except Exception:  # noqa: BLE001 - protobuf's error class differs between its implementations
        return {}
    found = {}
    for name, feature in features.items():
        kind = feature.WhichOneof("kind")
        if kind is not None:
            found[name] = (_TYPES[kind], getattr(feature, kind).value)
    return found


def _is_sequence(record: bytes) -> bool:
    try:
        return bool(tf.train.SequenceExample.FromString(record).feature_lists.feature_list)
    except Exception:  # noqa: BLE001 - protobuf's error class differs between its implementations
        return False


def _feature_spec(name: str, examples: Sequence[dict[str, tuple[str, Sequence[Any]]]], notes: list[str]) -> str | None:
    """The schema entry of one feature, as `parse_example` reads it; adds to `notes` what was assumed."""
    seen = [example[name] for example in examples if name in example]
    kinds, lengths = {kind for kind, _ in seen}, {len(values) for _, values in seen}
    if len(kinds) > 1:
        notes.append(f"tfrecords: feature {name!r} is left out, its type varies: {', '.join(sorted(kinds))}")
        return None
    kind, longest = kinds.pop(), max(lengths)
    if len(lengths) > 1 or longest == 0:
        notes.append(f"tfrecords: feature {name!r} varies in length; cut or filled up to {max(1, longest)} values")
        return f"{kind} at_most {max(1, longest)}"
    missing = len(examples) - len(seen)
    if missing:
        notes.append(f"tfrecords: feature {name!r} is missing in {missing} of {len(examples)} records; zeros there")
        return f"{kind} optional {longest}"
    images = longest == 1 and kind == "string" and all(values[0].startswith(_IMAGE_MAGIC) for _, values in seen)
    return f"{'image' if images else kind} exactly {longest}"


# CSV


def _csv_defaults(source: Csv, resolved: ResolvedSource) -> Defaults:
    files = _spread(resolved.files)
    header: list[str] = []
    rows: list[list[str]] = []
    for path in files:
        wanted = _SAMPLE // len(files) + source.header
        lines = first_lines(path, resolved.compression, wanted, source.access)
        cells = rows_of(lines, source.delimiter)
        header = header or (cells[0] if source.header and cells else [])
        rows += _same_width(path, cells[source.header :], len(header or cells[0]) if cells else 0)
    if not rows:
        return Defaults((), ("csv: the files looked at hold no rows; elements are lines",))
    columns = _unique(header or [f"column_{number}" for number in range(len(rows[0]))])
    types = tuple(_column_type(values) for values in zip(*rows, strict=True))
    notes = () if len(columns) > 1 else (f"csv: one column only; is {source.delimiter!r} the delimiter?",)
    delimiter = {} if source.delimiter == "," else {"delimiter": source.delimiter}
    return Defaults((_map("parse", parse_csv, columns=columns, types=types, **delimiter),), notes)


def _same_width(path: str, rows: Sequence[list[str]], width: int) -> Iterable[list[str]]:
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise FormatError(f"csv: data row {number} of {path} has {len(row)} values where {width} are expected")
    return rows


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which none stands twice and none is empty."""
    given: list[str] = []
    for number, name in enumerate(names):
        plain = name.strip() or f"column_{number}"
        given.append(f"{plain}_{number}" if plain in given else plain)
    return tuple(given)


def _column_type(values: Sequence[str]) -> str:
    """The narrowest type that holds all values; with `?` where one is missing."""
    present = [value for value in values if value.strip()]
    missing = len(present) < len(values)
    if not present or not all(is_number(value) for value in present):
        return "string?"
    whole = all(_WHOLE.fullmatch(value) for value in present)
    if whole and not all(-(2**63) <= int(value) < 2**63 for value in present):
        return "string?"
    # Whole numbers have nothing that could stand for a missing one.
    return ("float32?" if missing else "int64") if whole else "float32?"
