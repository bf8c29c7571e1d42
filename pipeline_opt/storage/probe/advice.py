"""From what a storage was measured to be to the knobs of the pipeline that reads it. Predictions are labelled so."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final

from pipeline_opt.bounds import MOST_PARALLEL
from pipeline_opt.errors import UsageError
from pipeline_opt.stages import AUTO
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.probe import wording as say
from pipeline_opt.storage.probe.knee import slower_from
from pipeline_opt.storage.probe.model import Reading, reads_by_buffer

HEADROOM: Final = 2.0
"""More streams than Little's law needs: those of an interleave are not all at work at every moment, and wait for the processor,
too. Where decoding took all of it, cycles of 4, 6, 8, 12 and 20 gave 0.71, 0.76, 0.77, 0.80 and 0.85 of the local rate, with 3.8
needed (TensorFlow 2.21, an emulator beside it on two cores)."""

AHEAD: Final = 1.5
"""Requests that a parallel interleave has under way for each place of its cycle, at least, where a file is one request: it
opens files ahead of the cycle. On TensorFlow 2.21 a server saw 2.1 to 2.8 for each, and 1.4 where the processor was short."""

IN_ORDER: Final = 1.9
"""How much longer the cycle of an interleave that keeps its order has to be: it waits for the slowest of its files. For 0.9 of
20 MB/s in all, at 100 ms and 10 MB/s a stream, it took 10 places for files of 1 MB and 50 for files of 100 KB; 4 and 19 where
records came as they were ready (`deterministic=False`), with all of the rate (TensorFlow 2.21)."""

MOST_AHEAD: Final = 3
"""The same at the most, for storage that more streams make slower."""

WAITING: Final = 0.1
"""The share of a file's time that may be time to first byte before larger shards are advised."""

MIB: Final = 1 << 20
LARGEST_BLOCK: Final = 16 * MIB
"""TensorFlow's GCS client clears a block for every file that it opens: 0.6 ms of a core for 16 MiB, 29 ms for 64 MiB, measured
on TensorFlow 2.21 (memory of more than some 25 MiB comes from the system page by page every time)."""

LEAST_BLOCK: Final = MIB
READER_BUFFER: Final = MIB // 4
"""What TensorFlow's readers set aside unless told."""


@dataclass(frozen=True)
class Setting:
    """A knob, its value, and why."""

    knob: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.knob}={'AUTO' if self.value == AUTO else self.value}: {self.reason}"


@dataclass(frozen=True)
class Advice:
    """Settings for a pipeline that reads a storage. Rates are bytes a second, and predictions.

    Attributes:
        uri: The storage.
        cycle_length: Of an interleave with `deterministic=False`; the other knobs are called as tf.data and `Access` call them.
        cycle_length_in_order: Of one that keeps its order.
        private_threadpool_size: Where files are read inside a map, as images are: TensorFlow's own pool has a thread for
            each core, and reads no more files than that at a time.
        buffer_size: Of the source's reader, where TensorFlow makes a request for every buffer; None where it does not.
        route: The client that was probed: `local`, `tf` or `fsspec`.
        streams: How many requests should be under way.
        goal_bytes_per_s: What is aimed at: the demand, or the most that the storage gives.
        predicted_bytes_per_s: What the settings should give.
        now_bytes_per_s: What one stream after another gives.
        limit: What ends there: `demand`, `storage`, `files` or `streams`.
        shard_bytes: From what size on shards spend little of their time waiting; None where they do now.
        settings: Every knob with its reason.
        warnings: What no setting of a pipeline mends.
    """

    uri: str
    route: str
    cycle_length: int
    cycle_length_in_order: int
    num_parallel_calls: int
    block_length: int
    private_threadpool_size: int
    buffer_size: int | None
    prefetch: int
    block_bytes: int
    read_ahead: int
    streams: int
    goal_bytes_per_s: float | None
    predicted_bytes_per_s: float
    now_bytes_per_s: float
    limit: str
    shard_bytes: int | None
    settings: tuple[Setting, ...]
    warnings: tuple[str, ...]

    def sentences(self) -> tuple[str, ...]:
        """Everything in words, the warnings last."""
        return (
            say.prediction(self),
            *map(str, self.settings),
            *self.warnings,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data, with the sentences."""
        return {**dataclasses.asdict(self), "sentences": list(self.sentences())}


def advise(
    profile: StorageProfile,
    *,
    files: int | None = None,
    file_bytes: float | None = None,
    demand_bytes_per_s: float | None = None,
    cores: float = 1.0,
    batch_bytes: float | None = None,
) -> Advice:
    """Settings by Little's law.

    Args:
        profile: What was measured.
        files: Number of files; the profile's unless given.
        file_bytes: Their mean size; the profile's unless given.
        demand_bytes_per_s: What the consumer takes of stored bytes, or what the CPU can work off; None: as fast as can be.
        cores: Cores that the pipeline has.
        batch_bytes: Stored bytes of a batch, for the prefetch.

    Raises:
        UsageError: A figure that is needed is missing or out of range.
    """
    count, size = _files_of(profile, files, file_bytes)
    _require_positive(demand_bytes_per_s=demand_bytes_per_s, batch_bytes=batch_bytes, cores=cores)
    case = _case(profile, count, size, demand_bytes_per_s, cores)
    reading = case.reading
    prefetch = _prefetch(profile, demand_bytes_per_s or case.goal, batch_bytes)
    knobs = {
        "cycle_length": (case.cycle, say.of_streams(case)),
        "deterministic": (False, say.of_order(case)),
        "num_parallel_calls": (case.cycle, say.of_calls(case)),
        "block_length": (1, say.of_block_length(case)),
        "prefetch": (prefetch, say.of_prefetch(profile, batch_bytes)),
        "block_bytes": (int(reading.block_bytes), say.of_block_bytes(case)),
        "read_ahead": (0 if reading.requests == 1 else 1, say.of_read_ahead(case)),
    }
    if reads_by_buffer(profile):
        knobs["buffer_size"] = (buffer_for(size), say.of_buffer_size())
    return Advice(
        uri=profile.uri,
        route=profile.route,
        **{name: value for name, (value, _) in knobs.items() if name not in ("buffer_size", "deterministic")},
        cycle_length_in_order=case.in_order,
        private_threadpool_size=case.streams,
        buffer_size=knobs["buffer_size"][0] if "buffer_size" in knobs else None,
        streams=case.streams,
        goal_bytes_per_s=case.goal,
        predicted_bytes_per_s=min(reading.rate_of(case.streams), demand_bytes_per_s or math.inf),
        now_bytes_per_s=reading.one_stream,
        limit=case.limit,
        shard_bytes=case.shard,
        settings=tuple(Setting(name, value, reason) for name, (value, reason) in knobs.items()),
        warnings=say.warnings_of(case),
    )


def _case(profile: StorageProfile, files: int, file_bytes: float, demand: float | None, cores: float) -> say.Case:
    reading = Reading.of(profile, file_bytes, block_for(file_bytes))
    goal = _goal(reading, demand)
    slower = slower_from(profile.streams)
    most_tried = float(max((rate.streams for rate in profile.streams), default=16))
    needed = most_tried if goal is None else reading.streams_for(goal)
    bounds = {"files": files, "streams": min(MOST_PARALLEL, slower - 1 if slower else MOST_PARALLEL)}
    wanted = math.ceil(HEADROOM * needed - 1e-9)
    streams = max(1, min(wanted, *bounds.values()))
    waits = reading.waiting_share > 2 * WAITING and reading.ttfb_s >= say.ON_DISK
    return say.Case(
        profile=profile,
        reading=reading,
        files=files,
        cores=cores,
        goal=goal,
        demand=demand,
        needed=needed,
        streams=streams,
        cycle=_cycle(streams, slower, one_request=reading.requests == 1),
        in_order=_cycle(
            min(math.ceil(IN_ORDER * streams), *bounds.values()), slower, one_request=reading.requests == 1
        ),
        limit=_limit(streams, wanted, bounds, reading, demand, needed),
        slower=slower,
        shard=shard_bytes(reading) if waits else None,
    )


def block_for(file_bytes: float) -> int:
    """A whole file in one request where it is not too large, in whole MiB, as TensorFlow's GCS client counts.

    No more than that: the client sets a whole block aside, and clears it, for every file that it opens.
    """
    return int(min(LARGEST_BLOCK, max(LEAST_BLOCK, math.ceil(file_bytes * 1.25 / MIB) * MIB)))


def buffer_for(file_bytes: float) -> int:
    """A whole file in one of a reader's buffers, in multiples of the one that it has untold: every open file has its own."""
    return int(min(LARGEST_BLOCK, math.ceil(file_bytes * 1.25 / READER_BUFFER) * READER_BUFFER))


def shard_bytes(reading: Reading) -> int:
    """From what size on a tenth of a file's time at the most is time to first byte: a power of two of megabytes."""
    least = reading.ttfb_s * reading.stream_bytes_per_s * (1 - WAITING) / WAITING
    return int(1e6 * 2 ** max(0, math.ceil(math.log2(least / 1e6))))


def _require_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name}={value!r} is out of range; valid: a number above 0")


def _files_of(profile: StorageProfile, files: int | None, file_bytes: float | None) -> tuple[int, float]:
    count = profile.files if files is None else files
    if not count or count < 1:
        raise UsageError(f"{profile.uri}: files={count!r} is out of range; valid: how many files there are, from 1 on")
    size = profile.bytes / (profile.files or count) if file_bytes is None and profile.bytes else file_bytes
    if size is None or not size > 0:
        raise UsageError(f"{profile.uri}: file_bytes={size!r} is out of range; valid: the mean size of a file, above 0")
    return count, size


def _goal(reading: Reading, demand: float | None) -> float | None:
    """What to aim at; None where neither the storage's most nor a demand is known."""
    known = [rate for rate in (reading.total_bytes_per_s, demand) if rate is not None]
    return min(known) if known else None


def _cycle(streams: int, slower: int | None, *, one_request: bool) -> int:
    """How long a cycle has so many requests under way."""
    if not one_request:
        return streams
    cycle = math.ceil(streams / AHEAD)
    return cycle if slower is None else max(1, min(cycle, (slower - 1) // MOST_AHEAD))


def _limit(
    streams: int, wanted: int, bounds: dict[str, int], reading: Reading, demand: float | None, needed: float
) -> str:
    if streams < needed:
        return min(bounds, key=lambda name: bounds[name])
    total = reading.total_bytes_per_s
    if demand is not None and (total is None or demand <= total):
        return "demand"
    return "storage" if total is not None else "streams"


def _prefetch(profile: StorageProfile, rate: float | None, batch_bytes: float | None) -> int:
    """Batches that last for as long as the slowest request in a hundred takes; AUTO where that cannot be known."""
    slowest = profile.ttfb.p99_s
    if batch_bytes is None or rate is None or slowest is None:
        return AUTO
    return max(2, math.ceil(rate * slowest / batch_bytes))
