"""A nameless file that holds one piece at a time, for readers that want a path.

Nothing is left behind, however the process ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Final

from pipeline_opt.storage.bridge.cutting import Part

_MOST_PARTS: Final = 512


class Scratch:
    """In memory where the system has such files, else on disk with its name removed."""

    def __init__(self) -> None:
        self._fd = _nameless()
        self.path = f"/dev/fd/{self._fd}"

    def hold(self, parts: Sequence[Part]) -> None:
        """Hold these bytes in place of the ones before; its pages are used again."""
        at = 0
        for first in range(0, len(parts), _MOST_PARTS):
            views = [memoryview(part) for part in parts[first : first + _MOST_PARTS]]
            while views:
                written = os.pwritev(self._fd, views, at)
                at += written
                while views and written >= len(views[0]):
                    written -= len(views.pop(0))
                if views:
                    views[0] = views[0][written:]
        os.ftruncate(self._fd, at)

    def close(self) -> None:
        """Free it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pipeline_opt", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(prefix="pipeline_opt_") as file:
        return os.dup(file.fileno())
