"""Where text goes: results to stdout, unless that is kept for JSON; progress, notes and errors to stderr."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pipeline_opt.lazy import lazy_module

rich_console = lazy_module("rich.console")
rich_progress = lazy_module("rich.progress")

REDRAW_S: Final = 0.1
"""A bar is told of its progress this often, so that telling it costs a run nothing."""

Advance = Callable[[float, str], None]
"""Takes the share done, 0 to 1 (less than 0 if it cannot be known), and what to say beside the bar."""


class Output:
    """What a verb prints.

    Args:
        quiet_stdout: Whether stdout is kept for JSON, so that everything else goes to stderr.
    """

    def __init__(self, *, quiet_stdout: bool = False) -> None:
        self._console = rich_console.Console(stderr=quiet_stdout, highlight=False, markup=False, emoji=False)

    def show(self, renderable: Any) -> None:
        """Print a table or a panel, as wide as the terminal."""
        self._console.print(renderable)

    def line(self, text: str = "") -> None:
        """Print a line of text, never broken up."""
        self._console.print(text, soft_wrap=True)

    def cropped(self, text: str) -> None:
        """Print lines, each cut at the terminal's width."""
        for line in text.splitlines():
            self._console.print(line, no_wrap=True, overflow="ellipsis")

    def raw(self, text: str) -> None:
        """Print text as it is, for a file or a pipe."""
        self._console.file.write(text if text.endswith("\n") else text + "\n")

    def text(self, text: str) -> None:
        """Print a sentence, broken at the terminal's width."""
        self._console.print(text)


def note(text: str) -> None:
    """Print a line to stderr."""
    print(text, file=sys.stderr)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print warnings as one line each until the block ends, in the place of Python's own way with file and code."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            note(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """A bar on stderr until the block ends, drawn once it has taken some time; nothing where stderr is no terminal."""
    console = rich_console.Console(stderr=True)
    if not console.is_terminal:
        yield lambda _share, _said: None
        return
    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.TextColumn("{task.fields[said]}", markup=False),
    )
    # Four times a second: drawing takes the processor from what is measured.
    with rich_progress.Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        task = progress.add_task(title, total=None, said="")
        last, shown = 0.0, 0.0

        def advance(share: float, said: str) -> None:
            nonlocal last, shown
            now = time.monotonic()
            # Less than before is something new.
            if now - last >= REDRAW_S or share < shown:
                last, shown = now, share
                total = 1.0 if share >= 0 else None
                progress.update(task, total=total, completed=max(share, 0.0), said=said)

        yield advance
