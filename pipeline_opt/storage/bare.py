"""A path and nothing else, as a source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pipeline_opt.errors import FormatError
from pipeline_opt.sources import Csv, FileSource, Images, TextLines, TFRecords
from pipeline_opt.storage.formats import FORMATS, detect_format

SOURCES: Final[dict[str, Callable[..., FileSource]]] = {
    "tfrecords": TFRecords,
    "images": Images,
    "text": TextLines,
    "csv": Csv,
}


def file_source(paths: tuple[str, ...], file_format: str | None = None) -> FileSource:
    """The source for some paths, its format found out unless given.

    Raises:
        FormatError: The format cannot be told, or no format is called so.
    """
    known = detect_format(paths) if file_format is None else file_format
    if known not in SOURCES:
        raise FormatError(f"no format is called {known!r}; valid: {', '.join(FORMATS)}")
    return SOURCES[known](paths=paths)
