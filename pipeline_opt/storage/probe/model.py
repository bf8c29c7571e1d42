"""Little's law for reading files: how many requests have to be under way for a rate, and what a number of them gives."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Self

from pipeline_opt.errors import UsageError
from pipeline_opt.storage.measured import StorageProfile


@dataclass(frozen=True)
class Reading:
    """What reading one file after another through one stream costs. Rates are bytes a second.

    Attributes:
        ttfb_s: Mean time to the first byte of a request.
        stream_bytes_per_s: One stream's rate after that.
        total_bytes_per_s: What all streams together can move; None where that was not reached.
        file_bytes: Size of a file.
        block_bytes: What one request asks for at the most.
    """

    ttfb_s: float
    stream_bytes_per_s: float
    total_bytes_per_s: float | None
    file_bytes: float
    block_bytes: float

    @classmethod
    def of(cls, profile: StorageProfile, file_bytes: float, block_bytes: float) -> Self:
        """The figures of a probed storage.

        Raises:
            UsageError: The profile lacks the time to first byte or any rate.
        """
        samples = profile.ttfb.samples
        if not samples:
            raise UsageError(f"{profile.uri}: the time to first byte is not known: {profile.ttfb.reason}")
        ttfb_s = sum(samples) / len(samples)
        rate = profile.stream_bytes_per_s or _rate_of_requests(profile, ttfb_s)
        if rate is None:
            raise UsageError(f"{profile.uri}: no rate of a stream is known; probe for longer")
        total = profile.total_bytes_per_s if profile.knee is not None else None
        return cls(ttfb_s, rate, total, file_bytes, block_bytes)

    @property
    def requests(self) -> int:
        """Requests for a file."""
        return max(1, math.ceil(self.file_bytes / self.block_bytes))

    @property
    def file_s(self) -> float:
        """Seconds that a stream takes for a file."""
        return self._waiting_s + self.file_bytes / self.stream_bytes_per_s

    @property
    def one_stream(self) -> float:
        """Bytes a second of one stream, times to first byte included."""
        return self.file_bytes / self.file_s

    @property
    def waiting_share(self) -> float:
        """The share (0 to 1) of a file's time that is time to first byte."""
        return self._waiting_s / self.file_s

    @property
    def _waiting_s(self) -> float:
        return self.requests * self.ttfb_s

    def streams_for(self, bytes_per_s: float) -> float:
        """How many streams a rate takes: files a second times seconds a file (Little, 1961)."""
        return bytes_per_s / self.file_bytes * self.file_s

    def with_files(self, file_bytes: float) -> Reading:
        """The same storage with files of another size, in requests of up to 16 MiB."""
        return dataclasses.replace(self, file_bytes=file_bytes, block_bytes=min(file_bytes, 16 << 20))

    def rate_of(self, streams: float) -> float:
        """What so many streams move together."""
        alone = streams * self.one_stream
        return alone if self.total_bytes_per_s is None else min(alone, self.total_bytes_per_s)


def reads_by_buffer(profile: StorageProfile) -> bool:
    """Whether TensorFlow's readers make a request for every buffer that they fill.

    So they do on HDFS: with the 256 KiB that they take unless told, a file of 1 MB took 0.51 s where 0.21 were possible
    (100 ms to the first byte, 10 MB/s).
    """
    return profile.route == "tf" and profile.block_bytes is None


def _rate_of_requests(profile: StorageProfile, ttfb_s: float) -> float | None:
    """The rate of a stream by its largest request; without its time to first byte where that leaves something."""
    if not profile.requests:
        return None
    largest = profile.requests[-1]
    moving = largest.seconds - ttfb_s
    return largest.request_bytes / (moving if moving > 0.1 * largest.seconds else largest.seconds)
