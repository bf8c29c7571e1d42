"""How a CSV file is written: what stands between its values, and whether its first row is a header."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from pipeline_opt.errors import FormatError
from pipeline_opt.storage.compression import open_decompressed

DELIMITERS: Final = ("\t", ";", "|", ",")
"""What may stand between values. The comma comes last: where values hold decimal commas it is as regular as the others."""

_LINES: Final = 20
_LONGEST: Final = 2**31 - 1


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
    first = next(iter(cells(lines[:1], between)), [])
    return CsvForm(between, not (first and all(is_number(value) for value in first)))


def first_lines(path: str, compression: str, count: int = _LINES) -> list[str]:
    """The first lines of a file, without their ends.

    Raises:
        FormatError: Its lines do not end as TensorFlow ends them, or it does not decompress.
    """
    try:
        with open_decompressed(path, compression) as stream:
            lines = [line.decode("utf-8-sig", "replace").rstrip("\r\n") for line in islice(stream, count)]
    except zlib.error as error:
        raise FormatError(f"csv: {path} is damaged: the {compression} stream cannot be read: {error}") from error
    if any("\r" in line and '"' not in line for line in lines):
        raise FormatError(f"csv: the lines of {path} end with a carriage return alone; valid: line feed, or both")
    return lines


def cells(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The values of each line that has any, however long they are; a quote that is not closed ends with the last line."""
    # The limit is the process's: others may count on theirs.
    before = csv.field_size_limit(_LONGEST)
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return [line.split(delimiter) for line in lines if line]
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
    widths = {len(row) for row in cells(lines, delimiter)}
    return len(widths) == 1 and widths.pop() > 1
