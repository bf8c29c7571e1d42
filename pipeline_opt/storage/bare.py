"""A path and nothing else, as a source."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from pipeline_opt.access import DEFAULT
from pipeline_opt.errors import FormatError, KnobError
from pipeline_opt.sources import Csv, FileSource, FixedLength, Images, TextLines, TFRecords
from pipeline_opt.storage.compression import head
from pipeline_opt.storage.csv_form import csv_form, first_lines
from pipeline_opt.storage.formats import detect_format
from pipeline_opt.storage.listing import resolve

SOURCES: Final[dict[str, type[FileSource]]] = {
    source.kind: source for source in (TFRecords, Images, TextLines, Csv, FixedLength)
}
"""The sources that a format's name stands for; what fixed-length records are cannot be found out."""


def file_source(paths: tuple[str, ...], file_format: str | None = None, **arguments: Any) -> FileSource:
    """The source for some paths, its format found out unless given; so are the delimiter and the header of CSV files.

    Args:
        paths: Files, folders, globs.
        file_format: One of `SOURCES`.
        **arguments: Of the source, where they are known.

    Raises:
        FormatError: The format cannot be told, no format is called so, or arguments are missing.
        KnobError: The format has no such argument.
    """
    known = detect_format(paths, arguments.get("access", DEFAULT)) if file_format is None else file_format
    if known not in SOURCES:
        raise FormatError(f"no format is called {known!r}; valid: {', '.join(SOURCES)}")
    valid = [field.name for field in dataclasses.fields(SOURCES[known]) if field.name != "paths"]
    for name in arguments:
        if name not in valid:
            raise KnobError(f"{known}: no argument is called {name!r}; it has: {', '.join(valid) or 'none'}")
    if SOURCES[known] is FixedLength and "record_bytes" not in arguments:
        raise FormatError("fixed_length: the length of a record is not known; say it with record_bytes")
    if SOURCES[known] is Csv:
        arguments = {**_csv_arguments(paths, arguments), **arguments}
    return SOURCES[known](paths=paths, **arguments)


def _csv_arguments(paths: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The delimiter and the header of the first file that is not empty."""
    if {"delimiter", "header"} <= given.keys():
        return {}
    source = Csv(paths=paths, **given)
    resolved = resolve(source)
    path = next((path for path in resolved.files if head(path, source.access)), resolved.files[0])
    return csv_form(first_lines(path, resolved.compression, access=source.access), given.get("delimiter"))._asdict()
