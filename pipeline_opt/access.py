"""How a source's files are reached: by which client, in requests of what size, and what is tried again."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, fields
from typing import Any, Final

from pipeline_opt.bounds import MOST, MOST_BYTES, MOST_PARALLEL, counts, is_count
from pipeline_opt.errors import KnobError

ROUTES: Final = ("auto", "tf", "fsspec")
"""TensorFlow's own client (or tensorflow-io's), fsspec's through the bridge, or whichever opens the scheme here."""

BLOCK_BYTES: Final = 16 << 20
"""What the bridge asks for in one request, unless said: at 60 ms and 50 MB/s the wait is some 15 % of a request."""

SCRATCH_BYTES: Final = 512 << 20


@dataclass(frozen=True, kw_only=True)
class Access:
    """How the files of a source are reached; None leaves the client's own default.

    Args:
        via: One of `ROUTES`.
        block_bytes: Bytes of one read request. TensorFlow's GCS client takes 64 MiB unless told, for every open file; the
            bridge 16 MiB.
        cache_bytes: TensorFlow's GCS client only: blocks that it keeps. It keeps none unless told.
        read_ahead: The bridge only: blocks of a file that are fetched while the one before is read; 0 fetches on demand.
        scratch_bytes: The bridge only: fetched blocks that wait to be read, all files together. Every open file may hold
            one block beyond that, or reading could not go on.
        retries: How often a request that failed for the moment (503, 429, a reset connection) is tried again.
        timeout_s: Seconds that a request may take to connect, and to go without a byte. For the bridge, which sees a block
            only when all of it is there (on HDFS: 256 KiB of it): to bring that; where it does not, the next try asks for
            a sixteenth.
        options: The bridge only: arguments of the fsspec file system, such as `endpoint_url` or `anon`. No secrets: a plan
            is saved with every run.

    What TensorFlow's GCS client takes is set for the whole process, when TensorFlow is loaded: `storage.gcs` says how.
    """

    via: str = "auto"
    block_bytes: int | None = None
    cache_bytes: int | None = None
    read_ahead: int = 1
    scratch_bytes: int = SCRATCH_BYTES
    retries: int | None = None
    timeout_s: float | None = None
    options: tuple[tuple[str, Any], ...] = field(default=())

    def __post_init__(self) -> None:
        options: Any = self.options
        with contextlib.suppress(TypeError, ValueError):
            options = dict(options)
        named = isinstance(options, dict) and all(isinstance(name, str) for name in options)
        self._require(named, "options", "values by the names of the file system's arguments")
        object.__setattr__(self, "options", tuple(sorted(options.items())))
        self._require(self.via in ROUTES, "via", ", ".join(ROUTES))
        for name, least, most in (("block_bytes", 4096, MOST_BYTES), ("cache_bytes", 0, MOST), ("retries", 0, 100)):
            if getattr(self, name) is not None:
                self._require(is_count(getattr(self, name), least, most), name, f"{counts(least, most)}, or None")
        for name, least, most in (("read_ahead", 0, MOST_PARALLEL), ("scratch_bytes", 4096, MOST)):
            self._require(is_count(getattr(self, name), least, most), name, counts(least, most))
        timeout = self.timeout_s
        holds = timeout is None or (
            isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout <= 3600
        )
        self._require(holds, "timeout_s", "seconds above 0, up to 3600, or None")

    def told(self) -> dict[str, Any]:
        """The settings that are not the defaults, by name."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in given.items() if value != getattr(DEFAULT, name)}

    def settings(self) -> dict[str, Any]:
        """The same with the options as a dictionary, as people write them."""
        told = self.told()
        return {**told, **({"options": dict(self.options)} if "options" in told else {})}

    def _require(self, holds: bool, name: str, valid: str) -> None:
        if not holds:
            raise KnobError(f"access: {name}={getattr(self, name)!r} is out of range; valid: {valid}")


DEFAULT: Final = Access()
