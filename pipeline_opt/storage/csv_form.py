"""How a CSV file is written: what stands between its values, and whether its first row is a header."""

from __future__ import annotations

import csv
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO, Final, NamedTuple

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.errors import CorruptRecordError, FormatError
from pipeline_opt.storage.compression import open_decompressed

DELIMITERS: Final = ("\t", ";", "|", ",")
"""What may stand between values. The comma comes last: where values hold decimal commas it is as regular as the others."""

_LINES: Final = 20
_LINE_BYTES: Final = 16 << 20
_QUOTED: Final = re.compile(r'"[^"]*"')


class CsvForm(NamedTuple):
    """What stands between values, and whether the first row names the columns."""

    delimiter: str
    header: bool


def csv_form(lines: Sequence[str], delimiter: str | None = None) -> CsvForm:
    """Tell the form of a file from its first lines.

    Args:
        lines: Without their ends.
        delimiter: What stands between values, where that is known.
    """
    between = delimiter or next((d for d in DELIMITERS if _is_regular(lines, d)), ",")
    first = next(iter(rows_of(lines, between)), [])
    return CsvForm(between, not (first and all(is_number(value) for value in first)))


def first_lines(path: str, compression: str, count: int = _LINES, access: Access = DEFAULT) -> list[str]:
    """The first lines of a file, without their ends.

    Raises:
        CorruptRecordError: The compressed stream is damaged there.
        FormatError: They are no lines to TensorFlow, which ends one at LF or CR LF.
    """
    try:
        with open_decompressed(path, compression, access=access) as stream:
            return list(islice(_lines(path, stream), count))
    except zlib.error as error:
        raise CorruptRecordError(f"csv: {path}: the {compression} stream is damaged: {error}") from error


def _lines(path: str, stream: BinaryIO) -> Iterator[str]:
    number = 0
    while raw := stream.readline(_LINE_BYTES):
        number += 1
        line = raw.decode("utf-8-sig", "replace").rstrip("\r\n")
        if "\r" in _QUOTED.sub("", line):
            held = "a CR that ends no line"
        elif len(raw) == _LINE_BYTES and not raw.endswith(b"\n"):
            held = f"more than {_LINE_BYTES:,} bytes"
        else:
            yield line
            continue
        raise FormatError(f"csv: line {number} of {path} holds {held}; valid: rows that end in LF or CR LF")


def rows_of(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The values in some lines, however long they are."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        return list(csv.reader(lines, delimiter=delimiter))
    finally:
        csv.field_size_limit(before)


def is_number(text: str) -> bool:
    """Whether a value is a number, as TensorFlow reads numbers."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _is_regular(lines: Sequence[str], delimiter: str) -> bool:
    """Whether it splits every line into as many values, and more than one."""
    widths = {len(row) for row in rows_of(lines, delimiter) if row}
    return len(widths) == 1 and widths.pop() > 1
