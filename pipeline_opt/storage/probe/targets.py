"""Which byte of which file is asked for next: another one every time, so that no cache of one object is measured."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline_opt.storage.probe.client import File

SPARE: Final = 1 << 16
"""Bytes of a client's block that a request leaves free: those by which tails differ."""


def within(block: int) -> int:
    """The largest request that is one to a client that asks for blocks."""
    return max(1, block - SPARE)


class Range(NamedTuple):
    """A part of a file."""

    path: str
    offset: int
    length: int


class Targets:
    """Ranges of some files in turn, at places drawn at random; safe for several threads.

    Args:
        files: With their sizes, none of which is 0.
        tail_only: Whether ranges have to end where the file does.
    """

    def __init__(self, files: Sequence[File], *, tail_only: bool) -> None:
        self._files = [(file.path, file.size) for file in files if file.size]
        self._tail_only = tail_only
        self._random = random.Random(0)
        self._random.shuffle(self._files)
        self._drawn = 0
        self._lock = threading.Lock()

    @property
    def largest(self) -> int:
        """Bytes of the largest file; 0 without files."""
        return max((size for _, size in self._files), default=0)

    @property
    def typical(self) -> int:
        """Bytes of the file in the middle; 0 without files."""
        sizes = sorted(size for _, size in self._files)
        return sizes[len(sizes) // 2] if sizes else 0

    def draw(self, count: int, *, whole: bool = True) -> Range:
        """The next range of `count` bytes; unless `whole`, of fewer where the file whose turn it is has fewer.

        There has to be a file that is long enough.
        """
        with self._lock:
            while True:
                path, size = self._files[self._drawn % len(self._files)]
                round_, self._drawn = self._drawn // len(self._files), self._drawn + 1
                if size >= count or not whole:
                    break
            count = min(count, size)
            # Where only tails can be had, one byte more each time round makes them differ.
            last = (
                min(size - count, round_ % (SPARE // 2)) if self._tail_only else self._random.randint(0, size - count)
            )
            return Range(path, size - count - last, count + last) if self._tail_only else Range(path, last, count)
