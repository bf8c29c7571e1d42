"""What is made or fetched once for each user, then reused: whole or not there, also with several processes at work."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline_opt.errors import OutputError


def cache_folder() -> Path:
    """Where this user's data sets and packages are kept: below `XDG_CACHE_HOME`, or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pipeline_opt"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; `make` fills it if it is not there.

    A second process waits for the first. What a process that was killed had made so far is thrown away by the next.

    Raises:
        OutputError: The cache cannot be written.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _held(folder.parent / f".{name}.lock"):
            if not folder.is_dir():
                _fill(folder, make)
    except OSError as error:
        remedy = "free space there, or let XDG_CACHE_HOME name a folder that can be written"
        raise OutputError(f"cannot keep {name} in {folder.parent}: {error}; {remedy}") from error
    return folder


def _fill(folder: Path, make: Callable[[Path], None]) -> None:
    partial = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        make(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel gives back when the process ends, however it does."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
