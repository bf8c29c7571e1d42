"""The aggregate over more and more streams, each reading one range after another as an interleave's would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from pipeline_opt.clock import Clock
from pipeline_opt.storage.measured import StreamRate
from pipeline_opt.storage.probe.budget import Budget
from pipeline_opt.storage.probe.client import Connection
from pipeline_opt.storage.probe.findings import Findings
from pipeline_opt.storage.probe.knee import is_flat
from pipeline_opt.storage.probe.targets import Targets, within
from pipeline_opt.storage.probe.workers import run_together

MOST_FAILED: Final = 8
"""So many failures in a row end a stream."""

PAUSE_S: Final = 0.05
"""After a failure, so that errors that come at once do not become thousands."""

REQUEST_S: Final = 0.2
"""About how long the transfer of one request is to take: then windows of some seconds hold several."""

PASSES: Final = 3

WINDOW_PART: Final = 3
"""A window may read this part of the bytes that are left: fewer streams come first, and need more time than bytes."""

REQUESTING: Final = 0.75
"""The share of a window's time in which requests begin."""

LEAST_S: Final = 0.6
ROUNDS: Final = 3
"""A window is to hold so many requests of each stream, and so many seconds, if it need not be longer for that than
`MOST_LONGER` times its share of what is left; what it need not have is for going over all of them again."""

MOST_LONGER: Final = 1.6

LEAST_WINDOW: Final = 0.25
"""Of the time in which requests began: a shorter window holds too little."""


class Done(NamedTuple):
    """A request that came through, from when to when."""

    begun_s: float
    ended_s: float
    bytes: int


def levels(most: int) -> tuple[int, ...]:
    """Numbers of streams to try: powers of two, and the most itself.

    >>> levels(12)
    (1, 2, 4, 8, 12)
    """
    powers = [1 << power for power in range(most.bit_length()) if 1 << power < most]
    return (*powers, most)


def request_bytes(targets: Targets, block: int | None, ttfb_s: float, rate: float | None, budget: Budget) -> int:
    """What one request is to ask for: as much as a pipeline would, as far as time and bytes last.

    Args:
        targets: The files.
        block: What the client takes in one request at the most.
        ttfb_s: Time to first byte.
        rate: One stream's rate after that.
        budget: What is left of it bounds the request: some hundred are needed.
    """
    timely = int((rate or 1e7) * max(REQUEST_S, ttfb_s))
    affordable = budget.left_bytes // 256
    most = targets.typical if block is None else min(targets.typical, within(block))
    return max(1, min(most, max(65536, min(timely, affordable))))


def measure_scaling(
    connect: Callable[[], Connection],
    targets: Targets,
    most: int,
    size: int,
    clock: Clock,
    budget: Budget,
    findings: Findings,
    limit_s: float,
    watch: Callable[[int], object] | None = None,
) -> None:
    """Fill `findings.streams`: up to the number of streams from which two doublings gave nothing, then again.

    Raises:
        HangError: Requests did not end.
    """
    tried: list[int] = []
    wanted: Sequence[int] = levels(most)
    for number in range(PASSES):
        for place, count in enumerate(wanted):
            if budget.left_s <= 0 or budget.left_bytes < size * count:
                reason = f"streams above {max(tried, default=0)}: the limit in seconds or bytes was reached"
                if number == 0:
                    findings.note("streams", reason)
                return
            share = MOST_LONGER * budget.left_s / (len(wanted) - place)
            useful = max(LEAST_S, ROUNDS * _round_s(findings.streams.values(), count)) / REQUESTING
            if number > 0 and budget.left_s < useful:
                return
            share = min(budget.left_s, share, useful) if findings.streams else min(budget.left_s, share / MOST_LONGER)
            measured = _window(
                [connect() for _ in range(count)],
                targets,
                size,
                clock,
                budget,
                findings,
                share,
                limit_s,
                partial(watch, count) if watch else None,
            )
            if measured is None:
                continue
            findings.streams[count] = together(findings.streams.get(count), measured)
            tried.append(count)
            if number == 0 and is_flat(tuple(findings.streams.values())):
                break
        wanted = tuple(findings.streams)
        if not wanted:
            return


def _round_s(known: Iterable[StreamRate], count: int) -> float:
    """About what a request takes with so many streams, if they gain what the last ones did."""
    ordered = sorted((rate for rate in known if rate.streams <= count), key=lambda rate: rate.streams)
    last = ordered[-1] if ordered else None
    if last is None or not last.bytes or not last.requests:
        return 0.0
    more = max(1.0, count / last.streams)
    gain = last.bytes_per_s / ordered[-2].bytes_per_s if len(ordered) > 1 and ordered[-2].bytes_per_s else more
    return count * last.bytes / last.requests / (last.bytes_per_s * min(more, max(1.0, gain)))


def together(first: StreamRate | None, second: StreamRate) -> StreamRate:
    """Two windows with as many streams as one."""
    if first is None:
        return second
    seconds, moved = first.seconds + second.seconds, first.bytes + second.bytes
    errors, requests = first.errors + second.errors, first.requests + second.requests
    return StreamRate(first.streams, moved / seconds, seconds, moved, errors, requests)


def _window(
    connections: Sequence[Connection],
    targets: Targets,
    size: int,
    clock: Clock,
    budget: Budget,
    findings: Findings,
    seconds: float,
    limit_s: float,
    watch: Callable[[], object] | None,
) -> StreamRate | None:
    done: list[list[Done]] = [[] for _ in connections]
    begun = clock.now()
    bytes_left = [budget.left_bytes // WINDOW_PART]
    lock = threading.Lock()
    failed = [0]

    def stream(connection: Connection, mine: list[Done], stopped: Callable[[], bool]) -> None:
        failures = 0
        while not stopped() and failures < MOST_FAILED:
            part = targets.draw(size, whole=False)
            with lock:
                bytes_left[0] -= part.length
                if bytes_left[0] < 0 or not budget.take(part.length):
                    return
            asked = clock.now()
            try:
                got = connection.read(*part)
            except Exception as error:  # noqa: BLE001 - each client has errors of its own
                findings.failed(error)
                failures += 1
                with lock:
                    failed[0] += 1
                clock.sleep_until(clock.now() + PAUSE_S)
                continue
            failures = 0
            mine.append(Done(asked, clock.now(), got))

    jobs = [partial(stream, connection, mine) for connection, mine in zip(connections, done, strict=True)]
    # Requests that are under way then still end: they take their time out of the share.
    run_together(jobs, clock, begun + REQUESTING * seconds, limit_s, watch)
    return window_rate(done, failed[0])


def window_rate(done: Sequence[Sequence[Done]], errors: int = 0) -> StreamRate | None:
    """What was moved while every stream was at work, requests that reach out of that window by their share.

    The window begins when the slowest stream has its first request behind it and ends when the first stream ends: neither
    the start of all at once nor stragglers count. Where streams made too few requests for that, all of the time counts.

    Args:
        done: The requests of each stream.
        errors: How many failed.
    """
    working = [requests for requests in done if requests]
    if not working:
        return None
    begun, ended = min(each[0].begun_s for each in working), max(each[-1].ended_s for each in working)
    start, end = max(each[0].ended_s for each in working), min(each[-1].ended_s for each in working)
    if end <= start or end - start < LEAST_WINDOW * (max(each[-1].begun_s for each in working) - begun):
        start, end = begun, ended
    if end <= start:
        return None
    parts = [(request, _overlap(request, start, end)) for requests in working for request in requests]
    moved = sum(request.bytes * part for request, part in parts)
    return StreamRate(len(done), moved / (end - start), end - start, int(moved), errors, sum(p > 0 for _, p in parts))


def _overlap(request: Done, start_s: float, end_s: float) -> float:
    """The share of a request's time that lies in a window, 0 to 1."""
    took = request.ended_s - request.begun_s
    inside = min(request.ended_s, end_s) - max(request.begun_s, start_s)
    return max(0.0, min(1.0, inside / took)) if took > 0 else float(start_s <= request.begun_s < end_s)
