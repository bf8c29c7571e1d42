"""What a probe has found so far: filled by its threads, made into a profile whenever it ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from pipeline_opt.storage.measured import Latency, RequestRate, StorageProfile, StreamRate
from pipeline_opt.storage.probe.budget import Budget
from pipeline_opt.storage.probe.client import Client, File
from pipeline_opt.storage.probe.knee import knee_of

LONGEST_ERROR: Final = 200
REMEMBERED: Final = "the client remembers the sizes that it was asked for just before"


@dataclass
class Findings:
    """Samples, in seconds. A probe that is interrupted keeps them."""

    uri: str
    client: Client
    created: str
    listing_s: float | None = None
    files: int | None = None
    bytes: int | None = None
    sized: list[File] = field(default_factory=list)
    stats: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    sizes: dict[int, list[float]] = field(default_factory=dict)
    stream_bytes_per_s: float | None = None
    streams: dict[int, StreamRate] = field(default_factory=dict)
    interrupted: bool = False
    errors: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, topic: str, text: str) -> None:
        """Say why something is missing; once a topic."""
        self.notes.setdefault(topic, text)

    def failed(self, error: BaseException) -> None:
        """Count a request that failed."""
        text = f"{type(error).__name__}: {error}".splitlines()[0][:LONGEST_ERROR]
        with self._lock:
            self.errors[text] = self.errors.get(text, 0) + 1

    def profile(self, budget: Budget) -> StorageProfile:
        """What was measured until now."""
        rates = tuple(self.streams[count] for count in sorted(self.streams))
        moved = max((rate.bytes_per_s for rate in rates), default=0.0)
        return StorageProfile(
            uri=self.uri,
            route=self.client.route,
            client=self.client.name,
            created=self.created,
            cold=_latency(self.cold, self.client.cold_reason),
            warm=_latency(self.warm, self.client.warm_reason),
            client_s=median(self.own) if any(self.own) else 0.0,
            stat=_latency(self.stats, REMEMBERED if self.sized else ""),
            listing_s=self.listing_s,
            files=self.files,
            bytes=self.bytes,
            stream_bytes_per_s=self.stream_bytes_per_s,
            streams=rates,
            requests=tuple(_request_rate(size, times) for size, times in sorted(self.sizes.items()) if times),
            knee=knee_of(rates),
            total_bytes_per_s=moved or None,
            spent_s=budget.spent_s,
            spent_bytes=budget.spent_bytes,
            block_bytes=self.client.block_bytes,
            interrupted=self.interrupted,
            notes=self._said(),
        )

    def _said(self) -> tuple[str, ...]:
        with self._lock:
            errors = [f"{count} x {text}" for text, count in sorted(self.errors.items(), key=lambda item: -item[1])]
        return (*self.notes.values(), *([f"requests failed: {'; '.join(errors[:3])}"] if errors else ()))


def _latency(samples: list[float], reason: str) -> Latency:
    return Latency(tuple(sorted(samples)), "" if samples else reason or "it was not measured")


def _request_rate(size: int, times: list[float]) -> RequestRate:
    taken = median(times)
    return RequestRate(size, size / taken if taken > 0 else 0.0, taken)
