"""What the figure and the table of probed storages show: one series and one row a storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline_opt.errors import UsageError
from pipeline_opt.reports.palette import SERIES_COLORS
from pipeline_opt.storage.measured import Latency, StorageProfile
from pipeline_opt.storage.probe.knee import slower_from


class LatencyLine(NamedTuple):
    """Times to first byte, smallest first, with the share (0 to 1) of requests that were as fast; `kind` is cold or warm."""

    kind: str
    seconds: tuple[float, ...]
    share: tuple[float, ...]
    median_s: float
    p95_s: float
    p99_s: float


class ProbeSeries(NamedTuple):
    """One storage. `ideal` is one stream's rate times the number of streams; rates are bytes a second."""

    name: str
    color: str
    streams: tuple[int, ...]
    rates: tuple[float, ...]
    ideal: tuple[float, ...]
    knee: int | None
    slower: int | None
    errors: int
    latencies: tuple[LatencyLine, ...]
    request_bytes: tuple[int, ...]
    request_rates: tuple[float, ...]


class ProbeInfo(NamedTuple):
    """Storages in the order given; `reason` says why there is nothing to draw."""

    series: tuple[ProbeSeries, ...]
    reason: str | None


class ProbeRow(NamedTuple):
    """One storage in the table: times in seconds, rates in bytes a second; None where it is not known."""

    source: str
    route: str
    files: int | None
    bytes: int | None
    cold_median_s: float | None
    cold_p95_s: float | None
    cold_p99_s: float | None
    warm_median_s: float | None
    warm_p95_s: float | None
    warm_p99_s: float | None
    stat_median_s: float | None
    listing_s: float | None
    stream_bytes_per_s: float | None
    total_bytes_per_s: float | None
    knee: int | None
    errors: int


def probe_info(profiles: Mapping[str, StorageProfile]) -> ProbeInfo:
    """Series by name, in the order given.

    Raises:
        UsageError: There are no profiles.
    """
    if not profiles:
        raise UsageError("probe: no profiles given; valid: one or more")
    series = tuple(
        _series(name, profile, SERIES_COLORS[number % len(SERIES_COLORS)])
        for number, (name, profile) in enumerate(profiles.items())
    )
    drawn = any(each.streams or each.latencies or each.request_bytes for each in series)
    return ProbeInfo(series, None if drawn else "nothing was measured: " + _why(profiles))


def probe_rows(profiles: Mapping[str, StorageProfile]) -> tuple[ProbeRow, ...]:
    """Rows by name, in the order given."""
    return tuple(
        ProbeRow(
            source=name,
            route=profile.route,
            files=profile.files,
            bytes=profile.bytes,
            cold_median_s=profile.cold.median_s,
            cold_p95_s=profile.cold.p95_s,
            cold_p99_s=profile.cold.p99_s,
            warm_median_s=profile.warm.median_s,
            warm_p95_s=profile.warm.p95_s,
            warm_p99_s=profile.warm.p99_s,
            stat_median_s=profile.stat.median_s,
            listing_s=profile.listing_s,
            stream_bytes_per_s=profile.stream_bytes_per_s,
            total_bytes_per_s=profile.total_bytes_per_s,
            knee=profile.knee,
            errors=sum(rate.errors for rate in profile.streams),
        )
        for name, profile in profiles.items()
    )


def _series(name: str, profile: StorageProfile, color: str) -> ProbeSeries:
    streams = tuple(rate.streams for rate in profile.streams)
    first = profile.streams[0] if profile.streams else None
    alone = first.bytes_per_s / first.streams if first else 0.0
    lines = (_line("cold", profile.cold), _line("warm", profile.warm))
    return ProbeSeries(
        name=name,
        color=color,
        streams=streams,
        rates=tuple(rate.bytes_per_s for rate in profile.streams),
        ideal=tuple(alone * count for count in streams),
        knee=profile.knee,
        slower=slower_from(profile.streams),
        errors=sum(rate.errors for rate in profile.streams),
        latencies=tuple(line for line in lines if line is not None),
        request_bytes=tuple(request.request_bytes for request in profile.requests),
        request_rates=tuple(request.bytes_per_s for request in profile.requests),
    )


def _line(kind: str, latency: Latency) -> LatencyLine | None:
    """The samples as an empirical distribution; None without any."""
    median, p95, p99 = latency.median_s, latency.p95_s, latency.p99_s
    if median is None or p95 is None or p99 is None:
        return None
    count = len(latency.samples)
    share = tuple((number + 1) / count for number in range(count))
    return LatencyLine(kind, latency.samples, share, median, p95, p99)


def _why(profiles: Mapping[str, StorageProfile]) -> str:
    return (
        "; ".join(dict.fromkeys(note for profile in profiles.values() for note in profile.notes))
        or "no reason is known"
    )
