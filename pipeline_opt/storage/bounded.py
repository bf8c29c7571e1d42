"""Questions to clients that have no time limit of their own: an answer in time, or an error that says there was none."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Final, Protocol, TypeVar

from pipeline_opt.errors import SourceError
from pipeline_opt.storage.preflight import problem_now
from pipeline_opt.storage.preflight.network import Asked

Seen = TypeVar("Seen")

ANSWER_S: Final = 10.0
"""Seconds that a request may take, unless said (`Access.timeout_s`)."""
SIGN_S: Final = 4.0
"""Seconds for a sign of life from a store that is listing meanwhile."""
LISTING_S: Final = 600.0
"""Seconds that a listing may take of a store that gives signs of life."""
_CONNECTIONS: Final = 16
_BUFFER: Final = 512 << 10


def answered(
    path: str,
    client: str,
    look: Callable[[], Seen],
    timeout_s: float | None = None,
    sign_of_life: Callable[[], object] | None = None,
) -> Seen:
    """What `look` returns or raises.

    A thread that hangs in a client is left behind, and keeps no process from ending.

    Args:
        path: What is asked about, for messages.
        client: By which it is reached: `tf` or `fsspec`.
        look: Asks the client.
        timeout_s: Seconds that it may take; `ANSWER_S` unless given.
        sign_of_life: A small question to the same store. As long as that comes back, whatever it says, `look` may take
            longer: a listing can be many requests.

    Raises:
        SourceError: No answer came; names the path, the seconds and what would help.
    """
    limit_s = timeout_s or ANSWER_S
    asked = Asked(look)
    waited_s = 0.0
    while not asked.ends_within(limit_s):
        waited_s += limit_s
        if sign_of_life is None or waited_s >= LISTING_S or not Asked(sign_of_life).ends_within(min(SIGN_S, limit_s)):
            raise _silent(path, client, waited_s)
    return asked.answer()


def each_answer(look: Callable[[str], Seen], paths: Sequence[str]) -> list[Seen]:
    """One answer for each path, several asked for at a time; after the first error no more are asked for."""
    pool = ThreadPoolExecutor(_CONNECTIONS)
    try:
        return list(pool.map(look, paths))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Ask(Protocol):
    """Asks a client, bounded, and turns its errors into ours."""

    def __call__(self, look: Callable[[], Seen], /) -> Seen:
        """What `look` returns."""


def guarded(stream: Any, ask: Ask) -> BinaryIO:
    """A client's open file, every read of which goes through `ask`."""
    return io.BufferedReader(_Guarded(stream, ask), _BUFFER)


class _Guarded(io.RawIOBase):
    def __init__(self, stream: Any, ask: Ask) -> None:
        self._stream = stream
        self._ask = ask
        self._failed = False

    def readable(self) -> bool:
        """True: a stream to read from."""
        return True

    def seekable(self) -> bool:
        """As the file below."""
        return bool(self._stream.seekable())

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer, or a part of it; 0 at the end."""
        data = self._asked(lambda: self._stream.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place; returns it."""
        self._asked(lambda: self._stream.seek(offset, whence))
        return self.tell()

    def tell(self) -> int:
        """The place."""
        return int(self._asked(self._stream.tell))

    def close(self) -> None:
        """Close the file below, unless it failed: a client that hangs would be waited for."""
        if not self.closed and not self._failed:
            self._failed = True
            self._ask(self._stream.close)
        super().close()

    def _asked(self, look: Callable[[], Seen]) -> Seen:
        try:
            return self._ask(look)
        except BaseException:
            self._failed = True
            raise


def _silent(path: str, client: str, seconds: float) -> SourceError:
    said = f"cannot read {path}: no answer within {seconds:g} s"
    problem = problem_now(path, client)
    if problem is not None:
        return problem.error(f"{said}; {problem}")
    remedy = "check that the server works, and the network; a slow storage needs a longer time (access: timeout_s)"
    return SourceError(f"{said}; {remedy}")
