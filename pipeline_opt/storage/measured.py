"""What a storage was measured to be: the figures of a probe, as a file that the emulator and the cost model read."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from pipeline_opt.errors import SourceError

SCHEMA: Final = 1
KIND: Final = "storage profile"
MOST: Final = 1e18
"""No figure is larger: what is, was not measured."""


@dataclass(frozen=True)
class Latency:
    """Seconds that some requests took, smallest first, with the quantiles that people ask for.

    Attributes:
        samples: Every one measured, sorted.
        reason: Why there are none, where there are none.
    """

    samples: tuple[float, ...] = ()
    reason: str = ""

    def quantile(self, share: float) -> float | None:
        """The smallest sample that `share` (0 to 1) of them do not exceed; None without samples."""
        if not self.samples:
            return None
        return self.samples[min(len(self.samples) - 1, max(0, math.ceil(share * len(self.samples)) - 1))]

    @property
    def median_s(self) -> float | None:
        """Half of the requests were as fast."""
        return self.quantile(0.5)

    @property
    def p95_s(self) -> float | None:
        """95 % of the requests were as fast."""
        return self.quantile(0.95)

    @property
    def p99_s(self) -> float | None:
        """99 % of the requests were as fast; with fewer than 100 samples, the slowest."""
        return self.quantile(0.99)


@dataclass(frozen=True)
class StreamRate:
    """What so many streams moved together, for how long, in how many requests, and what failed meanwhile."""

    streams: int
    bytes_per_s: float
    seconds: float
    bytes: int
    errors: int = 0
    requests: int = 0


@dataclass(frozen=True)
class RequestRate:
    """What one stream moves in requests of one size."""

    request_bytes: int
    bytes_per_s: float
    seconds: float


@dataclass(frozen=True)
class StorageProfile:
    """The figures of one storage. Rates are bytes a second, times seconds; None where it was not or cannot be measured.

    Attributes:
        uri: What was probed.
        route: `local`, `tf` or `fsspec`: the client that was used.
        client: The client in words, with its version.
        created: When, in ISO 8601.
        cold: Time to the first byte on a new connection.
        warm: The same on a connection that has been used.
        client_s: CPU time that the client needs for itself at every request; it is not in `cold` and `warm`.
        stat: Time to ask for a file's size.
        listing_s: Time to list what was probed; `files` is how many files that gave.
        files: Files that the URI stands for, with their sizes in all in `bytes`.
        stream_bytes_per_s: One stream's rate after its first byte.
        streams: The aggregate over 1, 2, 4 ... streams, times to first byte included.
        requests: The effect of the request's size on one stream.
        knee: The number of streams from which on more of them add nothing; None if that was not reached.
        total_bytes_per_s: The most that was moved by all streams together.
        spent_s: What the probe took; `spent_bytes` what it read.
        block_bytes: What the client takes in one request at the most, wherever it is told to begin; None: what it is told.
        interrupted: Whether the probe was ended before it had measured all.
        notes: What could not be measured and why, for people.
    """

    uri: str
    route: str
    client: str
    created: str
    cold: Latency = Latency()
    warm: Latency = Latency()
    client_s: float = 0.0
    stat: Latency = Latency()
    listing_s: float | None = None
    files: int | None = None
    bytes: int | None = None
    stream_bytes_per_s: float | None = None
    streams: tuple[StreamRate, ...] = ()
    requests: tuple[RequestRate, ...] = ()
    knee: int | None = None
    total_bytes_per_s: float | None = None
    spent_s: float = 0.0
    spent_bytes: int = 0
    block_bytes: int | None = None
    interrupted: bool = False
    notes: tuple[str, ...] = ()

    @property
    def ttfb(self) -> Latency:
        """The time to first byte that reading a file pays: on a kept connection where the client keeps one."""
        return self.warm if self.warm.samples else self.cold

    def to_json(self) -> dict[str, Any]:
        """As plain data, for a file."""
        return {"schema": SCHEMA, "kind": KIND, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, data: Any, where: str = "storage profile") -> Self:
        """The profile that `to_json` gave.

        Raises:
            SourceError: It is none; names the field.
        """
        if not isinstance(data, dict) or data.get("kind") != KIND or data.get("schema") != SCHEMA:
            raise SourceError(
                f"{where}: not a storage profile of version {SCHEMA}; `pipeline-opt probe --save` makes one"
            )
        try:
            return cls(**{f.name: _field(f.name, data[f.name]) for f in dataclasses.fields(cls) if f.name in data})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise SourceError(f"{where}: damaged storage profile: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a profile from a file.

        Raises:
            SourceError: The file cannot be read, or holds no profile.
        """
        try:
            text = Path(path).read_text("utf-8")
            data = json.loads(text)
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise SourceError(f"{path}: not JSON: {error}") from error
        return cls.from_json(data, str(path))


_LATENCIES: Final = ("cold", "warm", "stat")
_TEXTS: Final = ("uri", "route", "client", "created")
_COUNTS: Final = ("files", "bytes", "knee", "spent_bytes", "block_bytes")


def _field(name: str, value: Any) -> Any:
    """One field as the dataclass holds it, checked.

    Raises:
        ValueError: The value is not of the field's kind.
    """
    if name in _LATENCIES:
        return Latency(tuple(sorted(_number(name, each) for each in value["samples"])), str(value.get("reason", "")))
    if name == "streams":
        rates = tuple(StreamRate(**_numbers(name, each)) for each in value)
        if any(rate.streams < 1 for rate in rates):
            raise ValueError("streams.streams=0 is no number from 1 on")
        return rates
    if name == "requests":
        return tuple(RequestRate(**_numbers(name, each)) for each in value)
    if name == "notes":
        return tuple(str(each) for each in value)
    if name == "interrupted":
        return bool(value)
    if name in _TEXTS:
        return str(value)
    if value is None:
        return None
    return int(_number(name, value)) if name in _COUNTS else _number(name, value)


def _numbers(name: str, table: dict[str, Any]) -> dict[str, Any]:
    return {key: _number(f"{name}.{key}", value) for key, value in table.items()}


def _number(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise ValueError(f"{name}={value!r:.80} is no number from 0 to {MOST:g}")
    return value
