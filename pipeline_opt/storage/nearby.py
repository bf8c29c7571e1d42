"""What is there where something is missing, for messages."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import Final

from pipeline_opt.errors import MissingPathError
from pipeline_opt.storage import preflight
from pipeline_opt.storage.filesystem import FileSystem
from pipeline_opt.storage.uris import join

GLOB_SIGNS: Final = "*?["


def missing(storage: FileSystem, path: str, said: str) -> MissingPathError:
    """The error for a path that a storage does not find: what was said, and what is there instead.

    Raises:
        SourceError: The storage does not answer any more; its client says of every path then that it is missing.
    """
    preflight.require(path, storage.client, anew=True)
    return MissingPathError(f"{said}; {nearest(storage, path)}")


def nearest(storage: FileSystem, path: str) -> str:
    """Where the way to a missing path ends, what is there, and what may have been meant."""
    parent, last = os.path.split(path.rstrip("/"))
    while parent and not storage.is_dir(parent):
        above, name = os.path.split(parent)
        if above == parent:
            break
        parent, last = above, name
    where = parent or "."
    if not storage.is_dir(where):
        return "no folder above it exists either"
    folders, files = storage.entries(where)
    entries = [f"{name}/" for name in folders] + files
    near = difflib.get_close_matches(last, [*folders, *files], n=1)
    hint = f"; did you mean {join(where, near[0])}?" if near and not any(s in last for s in GLOB_SIGNS) else ""
    return f"the nearest folder that exists, {where}, holds {some(entries) if entries else 'nothing'}{hint}"


def some(names: Sequence[str], most: int = 6) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
