"""Stdout and stderr that take all that is written, whatever the terminal, the locale or the reader is like."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any, Final

from pipeline_opt.errors import OutputError

STDOUT: Final = 1
STDERR: Final = 2

_PLAIN: Final = str.maketrans({"µ": "u", "–": "-", "…": ".", "·": ".", "•": "*", "■": "#", "█": "#"})  # noqa: RUF001
"""What is printed for letters that an encoding does not have, each as wide as the letter; others are escaped."""


class Descriptor(io.FileIO):
    """The raw end of a stream: file descriptor 1 or 2.

    Where the reader has gone (`| head`), what is written to files still counts: the rest goes nowhere.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "wb", closefd=False)

    def write(self, data: Any, /) -> int:
        """Write some bytes.

        Raises:
            OutputError: Results cannot be written, as on a full disk; nothing more is tried.
        """
        try:
            return super().write(data)
        except OSError as error:
            _send_nowhere(self.fileno())
            if self.fileno() == STDOUT and not isinstance(error, BrokenPipeError):
                raise OutputError(f"cannot write to stdout: {error.strerror or error}") from error
        return len(data)


def open_streams() -> None:
    """Put such streams in the place of Python's own; one that the caller has closed (`>&-`) leads nowhere."""
    codecs.register_error("plain", _spell_out)
    sys.stdout, sys.stderr = _stream(STDOUT, sys.stdout), _stream(STDERR, sys.stderr)


def _stream(number: int, replaced: Any) -> io.TextIOWrapper:
    if replaced is None:
        _send_nowhere(number)
    else:
        replaced.flush()
    encoding = getattr(replaced, "encoding", "utf-8")
    raw = io.BufferedWriter(Descriptor(number))
    at_once = number == STDERR or os.isatty(number)
    return io.TextIOWrapper(raw, encoding, "plain", line_buffering=at_once)


def _send_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end].translate(_PLAIN)
    return letters.encode("ascii", "backslashreplace").decode(), error.end
