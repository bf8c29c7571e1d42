"""What the probe needs of a client: list, stat, and one request for a range of a file."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class File(NamedTuple):
    """A file with its size in bytes; None where the listing did not tell."""

    path: str
    size: int | None


class Connection(Protocol):
    """A way to a storage on which requests are made one after another.

    Attributes:
        own_s: Seconds of the last request in which the client was busy with itself before it asked, as far as it can tell.
    """

    own_s: float

    def read(self, path: str, offset: int, count: int) -> int:
        """Ask for `count` bytes from `offset` on, in one request; how many came."""


class Client(Protocol):
    """A storage through one client. What it raises counts as an error of the request.

    Attributes:
        route: `local`, `tf` or `fsspec`.
        name: The client in words, with its version.
        tail_only: Whether a request of a given size can only be had at the end of a file, since the client asks for a
            block of its own size anywhere else.
        block_bytes: The most that the client asks for in one request; None where it takes what it is told.
        cold_reason: Why there are no times on a new connection; empty if there are.
        warm_reason: The same for a kept connection.
        remembered_s: A stat that takes less was answered from what the client remembers, and says nothing of the storage.
    """

    route: str
    name: str
    tail_only: bool
    block_bytes: int | None
    cold_reason: str
    warm_reason: str
    remembered_s: float

    def list(self, uri: str) -> list[File]:
        """The files that a URI stands for: a file, a folder, a glob."""

    def stat(self, path: str) -> int | None:
        """The size of a file; None if it is a folder."""

    def cold(self) -> Connection:
        """A connection that no request has been made on; where the client cannot be told, one like any other."""

    def warm(self) -> Connection:
        """A connection that is kept: from the second request on nothing has to be set up."""
