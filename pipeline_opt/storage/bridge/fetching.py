"""The bytes of a file in their order, fetched in blocks ahead of the reader on a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from pipeline_opt.access import BLOCK_BYTES, Access
from pipeline_opt.errors import MissingPathError, PipelineOptError, SourceError
from pipeline_opt.storage.bridge.ahead import Ahead
from pipeline_opt.storage.bridge.budget import Budget
from pipeline_opt.storage.bridge.ranges import Ranges
from pipeline_opt.storage.bridge.threads import on_a_thread
from pipeline_opt.storage.client_errors import passes, reason_of, remedy_of, status_of
from pipeline_opt.storage.preflight import problem_now

RETRIES: Final = 7
"""How often a request is tried again, unless said: for 9 s, so that a DataNode may start again, and a refusal is no hang."""
TIMEOUT_S: Final = 10.0
"""Seconds for which a block may let wait, unless said; the next try asks for less."""
_HANGS: Final = 3
"""So many times in a row nothing may come at all: each costs the whole timeout."""
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 3.0
_SMALLEST: Final = 64 << 10
_LESS: Final = 16
"""After a block that did not come in time, one so much smaller is asked for: the third is small enough for a slow link."""


class Fetching:
    """One file on its way. Iterating gives its blocks; `close` ends it at any time, also while a request hangs.

    Args:
        path: The file, for messages.
        open_file: Opens it; called on the fetching thread, and again after a request hung.
        access: Size of blocks, how many ahead, tries and timeout.
        budget: Bounds the blocks that wait.
        ahead: Told what is under way and who waits.
    """

    def __init__(
        self, path: str, open_file: Callable[[], Ranges], access: Access, budget: Budget, ahead: Ahead
    ) -> None:
        self._path = path
        self._open = open_file
        self._access = access
        self._claim = budget.claim()
        self._ahead = ahead
        self._size = access.block_bytes or BLOCK_BYTES
        self._tries = 1 + (RETRIES if access.retries is None else access.retries)
        self._changed = threading.Condition()
        self._ready: deque[bytes] = deque()
        self._waiting = 0
        self._wanted = False
        self._ended = False
        self._error: BaseException | None = None
        self._at = 0
        self._run_number = 0
        self._start()

    def __iter__(self) -> Iterator[bytes]:
        """The blocks, none of them empty.

        Raises:
            MissingPathError: The file is not there.
            SourceError: It cannot be read; names the byte, what happened, and what would help.
        """
        while True:
            block = self._next()
            if block is None:
                return
            self._claim.give_back(len(block))
            yield block

    def close(self) -> None:
        """Give up; a request that is under way ends on its own."""
        with self._changed:
            self._run_number += 1
            self._ended = True
            self._ahead.asks(False)
            left, self._waiting = self._waiting, 0
            self._ready.clear()
            self._changed.notify_all()
        self._claim.close()
        self._claim.give_back(left)

    def _next(self) -> bytes | None:
        timeout_s = self._access.timeout_s or TIMEOUT_S
        hangs = 0

        def came() -> bool:
            return bool(self._ready or self._ended or self._error)

        with self._changed:
            if not came():
                self._wanted = True
                self._claim.hurry(True)
                self._ahead.waits(True)
                self._changed.notify_all()
                while not self._changed.wait_for(came, timeout_s):
                    hangs += 1
                    self._after_a_hang(hangs, timeout_s)
                self._ahead.waits(False)
            if not self._ready and self._error is not None:
                raise self._error
            parts = self._take()
            self._changed.notify_all()
        # Not under the lock: who fetches need not wait until a block is copied.
        return b"".join(parts) or None

    def _take(self) -> list[bytes]:
        """What is there, up to a block: a reader that is behind gets few large ones."""
        parts: list[bytes] = []
        room = self._size
        while self._ready and (not parts or len(self._ready[0]) <= room):
            parts.append(self._ready.popleft())
            room -= len(parts[-1])
        self._waiting -= sum(map(len, parts))
        return parts

    def _after_a_hang(self, hangs: int, timeout_s: float) -> None:
        """Leave the request that hangs to itself and ask for less, or give up."""
        if hangs >= min(_HANGS, self._tries):
            error = TimeoutError(f"nothing came within {timeout_s:g} s, {hangs} times")
            self._error = self._said(error, hangs)
            self._run_number += 1
            return
        self._size = max(min(_SMALLEST, self._size), self._size // _LESS)
        self._start()
        on_a_thread(partial(self._look, self._at), "pipeline_opt_look")

    def _start(self) -> None:
        self._run_number += 1
        on_a_thread(partial(self._run, self._run_number, self._at), "pipeline_opt_fetch")

    def _run(self, number: int, at: int) -> None:
        file: Ranges | None = None
        try:
            file = self._open()
            while count := self._allowed(number):
                end = at + count
                at = self._fetch(file, at, end, number)
                if at < end or at == file.size:
                    break
        except BaseException as error:  # noqa: BLE001 - raised again where the block is asked for
            self._fail(error if isinstance(error, PipelineOptError) else self._said(error, 1), number)
        finally:
            self._asks(False, number)
            if file is not None:
                file.close()

    def _look(self, at: int) -> None:
        """See whether the store answers at all: where it does not, asking again for byte `at` would only cost time."""
        problem = problem_now(self._path, "fsspec")
        with self._changed:
            if problem is not None and self._at == at and not self._ended and self._error is None:
                self._error = problem.error(f"{self._path}, byte {at}: {problem}")
                self._run_number += 1
                self._changed.notify_all()

    def _allowed(self, number: int) -> int:
        """Wait until one more block may be fetched, and its size; 0 once nobody wants it."""

        def over() -> bool:
            return number != self._run_number

        ahead = self._size * (self._access.read_ahead - 1)
        self._asks(False, number)
        with self._changed:
            self._changed.wait_for(lambda: over() or self._wanted or self._waiting <= ahead)
        count = self._size
        if over() or not self._claim.take(count):
            return 0
        self._asks(True, number)
        return count

    def _hand_over(self, part: bytes, last: bool, number: int) -> bool:
        """Give the reader the next bytes; whether it still wants them from here."""
        with self._changed:
            wanted = number == self._run_number
            if wanted:
                self._at += len(part)
                if part:
                    self._ready.append(part)
                    self._waiting += len(part)
                self._ended = last
                if self._wanted:
                    self._wanted = False
                    self._claim.hurry(False)
                self._changed.notify_all()
        if not wanted:
            self._claim.give_back(len(part))
        return wanted

    def _fail(self, error: BaseException, number: int) -> None:
        with self._changed:
            if number == self._run_number:
                self._error = error
                self._changed.notify_all()

    def _fetch(self, file: Ranges, at: int, end: int, number: int) -> int:
        """Hand over a block as it comes, on a passing error asking again for what is missing; returns where it ends."""
        room = end - at
        try:
            for tried in range(1, self._tries + 1):
                try:
                    for part in file.read(at, end - at):
                        at += len(part)
                        room -= len(part)
                        if not self._hand_over(part, at == file.size, number):
                            return at
                    break
                except Exception as error:
                    if tried == self._tries or not passes(error) or number != self._run_number:
                        raise self._said(error, tried, at) from error
                    self._pause(tried, number)
        finally:
            self._claim.give_back(room)
        if at < end:
            self._hand_over(b"", True, number)
        return at

    def _pause(self, tried: int, number: int) -> None:
        pause_s = min(_FIRST_PAUSE_S * 2 ** (tried - 1), _LONGEST_PAUSE_S)
        self._asks(False, number)
        with self._changed:
            self._changed.wait_for(lambda: number != self._run_number, pause_s)
        self._asks(True, number)

    def _asks(self, asks: bool, number: int) -> None:
        with self._changed:
            if number == self._run_number:
                self._ahead.asks(asks)

    def _said(self, error: BaseException, tries: int, at: int | None = None) -> SourceError:
        place = self._at if at is None else at
        if isinstance(error, FileNotFoundError) or status_of(error) == 404:
            problem = problem_now(self._path, "fsspec")
            if problem is not None:
                return problem.error(f"{self._path}, byte {place}: {problem}")
            return MissingPathError(f"{self._path}: the file is gone")
        times = f", {tries} times" if tries > 1 and not isinstance(error, TimeoutError) else ""
        said = SourceError(f"{self._path}, byte {place}: {reason_of(error)}{times}; {remedy_of(error)}")
        said.__cause__ = error
        return said
