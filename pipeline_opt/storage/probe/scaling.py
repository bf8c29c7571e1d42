"""The aggregate over more and more streams, each reading one range after another as an interleave's would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
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

REQUEST_SHARE: Final = 0.01
"""About the share of the probe's seconds that the transfer of one request is to take, if its first byte does not take longer."""

AGAIN: Final = 2
"""So many more windows for each number of streams, in the time that is left: next is what was measured for the shortest time."""

WINDOW_PART: Final = 3
"""A window may read this part of the bytes that are left: fewer streams come first, and need more time than bytes."""

LEAST_REQUESTS: Final = 3
"""But so many requests of each stream: the first does not count."""

LEAST_SHARE: Final = 0.02
ROUNDS: Final = 1.5
"""Requests begin for this share of the probe's seconds, and until each stream is expected to have made so many."""

MOST_LONGER: Final = 3.0
"""So many times as long as expected a window may become, until it tells something."""

ENOUGH_STREAMS: Final = 0.75
"""Of the streams: where fewer have a whole request that counts, they do not speak for all."""

LEAST_WINDOW: Final = 0.5
"""Of what a request takes: a shorter window tells nothing."""


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
    timely = int((rate or 1e7) * max(REQUEST_SHARE * budget.seconds, ttfb_s))
    affordable = budget.left_bytes // 512
    most = targets.typical if block is None else min(targets.typical, within(block))
    return max(1, min(most, max(65536, min(timely, affordable))))


@dataclass(frozen=True)
class Scaling:
    """Windows with more and more streams; `findings.streams` gets what they moved.

    Args:
        connect: Makes a stream's connection.
        targets: What is read.
        size: Bytes of a request.
        alone_s: About what one takes where there is no other stream.
        clock: Where time comes from.
        budget: Seconds and bytes that are left.
        findings: Get the rates, errors, and why numbers of streams are missing.
        limit_s: How long a request may take to end once no more begin.
        watch: Called some times a second with the number of streams.
    """

    connect: Callable[[], Connection]
    targets: Targets
    size: int
    alone_s: float
    clock: Clock
    budget: Budget
    findings: Findings
    limit_s: float
    watch: Callable[[int], object] = lambda _streams: None

    def measure(self, most: int) -> None:
        """Up to the number of streams from which two doublings gave nothing, then again.

        Raises:
            HangError: Requests did not end.
        """
        found = self.findings.streams
        for count in levels(most):
            if not self._add(count) or is_flat(tuple(found.values())):
                break
        last = max(found, default=0)
        if last < most and not is_flat(tuple(found.values())):
            self.findings.note("streams", f"streams above {last}: the limit in seconds or bytes was reached")
        missing = ", ".join(f"{count}" for count in levels(last) if count not in found) if found else ""
        if missing:
            self.findings.note("missing streams", f"streams {missing}: too few of their requests came through")
        for _ in range(AGAIN * len(found)):
            if not self._add(min(found, key=lambda count: found[count].seconds)):
                return

    def _add(self, count: int) -> bool:
        """Another window with so many streams, if it fits into what is left."""
        found = self.findings.streams
        asking_s = max(LEAST_SHARE * self.budget.seconds, ROUNDS * self._round_s(count))
        if found and not self._fits(count, asking_s):
            return False
        done, errors = self._window(count, asking_s)
        rate = window_rate(done, errors) or (None if found else whole_rate(done, errors))
        if rate is not None:
            found[count] = together(found.get(count), rate)
        return True

    def _round_s(self, count: int) -> float:
        """About what a request takes with so many streams, if they gain what the last ones did."""
        known = sorted(
            (rate for rate in self.findings.streams.values() if rate.streams <= count), key=lambda rate: rate.streams
        )
        if not known or not known[-1].bytes_per_s:
            return self.alone_s
        more = count / known[-1].streams
        gain = known[-1].bytes_per_s / known[-2].bytes_per_s if len(known) > 1 and known[-2].bytes_per_s else more
        return count * self.size / (known[-1].bytes_per_s * min(more, max(1.0, gain)))

    def _fits(self, count: int, asking_s: float) -> bool:
        return self.budget.left_s >= asking_s and self.budget.left_bytes >= self._least_bytes(count)

    def _least_bytes(self, count: int) -> int:
        return LEAST_REQUESTS * self.size * count

    def _window(self, count: int, asking_s: float) -> tuple[list[list[Done]], int]:
        """The requests of each stream, and how many failed."""
        connections = [self.connect() for _ in range(count)]
        done: list[list[Done]] = [[] for _ in connections]
        begun = self.clock.now()
        bytes_left = [max(self.budget.left_bytes // WINDOW_PART, self._least_bytes(count))]
        lock = threading.Lock()
        failed = [0]

        def enough() -> bool:
            now = self.clock.now()
            return now >= begun + asking_s and all(done) and window_rate(done, until_s=now) is not None

        def stream(connection: Connection, first: int, mine: list[Done], stopped: Callable[[], bool]) -> None:
            failures, wanted = 0, first
            while not stopped() and not enough() and failures < MOST_FAILED:
                part = self.targets.draw(wanted, whole=False)
                with lock:
                    bytes_left[0] -= part.length
                    if bytes_left[0] < 0 or not self.budget.take(part.length):
                        return
                asked = self.clock.now()
                try:
                    got = connection.read(*part)
                except Exception as error:  # noqa: BLE001 - each client has errors of its own
                    self.findings.failed(error)
                    failures += 1
                    with lock:
                        failed[0] += 1
                    self.clock.sleep_until(self.clock.now() + PAUSE_S)
                    continue
                failures, wanted = 0, self.size
                mine.append(Done(asked, self.clock.now(), got))

        jobs = [
            partial(stream, connection, first, mine)
            for connection, first, mine in zip(connections, first_sizes(self.size, count), done, strict=True)
        ]
        until = begun + min(MOST_LONGER * asking_s, self.budget.left_s)
        run_together(jobs, self.clock, until, self.limit_s, partial(self.watch, count))
        return done, failed[0]


def together(first: StreamRate | None, second: StreamRate) -> StreamRate:
    """Two windows with as many streams as one."""
    if first is None:
        return second
    seconds, moved = first.seconds + second.seconds, first.bytes + second.bytes
    errors, requests = first.errors + second.errors, first.requests + second.requests
    return StreamRate(first.streams, moved / seconds, seconds, moved, errors, requests)


def first_sizes(size: int, streams: int) -> list[int]:
    """What each stream asks for first: other sizes, as streams that began together would wait for first bytes together.

    >>> first_sizes(100, 4)
    [25, 50, 75, 100]
    """
    return [max(1, size * place // streams) for place in range(1, streams + 1)]


def window_rate(done: Sequence[Sequence[Done]], errors: int = 0, until_s: float | None = None) -> StreamRate | None:
    """What was moved while every stream was at work, requests that reach out of that window by their share.

    The window begins when the slowest stream has its first request behind it and ends when the first stream ends: neither
    the start of all at once counts nor stragglers.

    Args:
        done: The requests of each stream.
        errors: How many failed.
        until_s: Ends the window, where streams go on.

    Returns:
        None where fewer than `ENOUGH_STREAMS` had a second request end in time, or that is much shorter than a request.
    """
    working = [requests for requests in done if requests]
    if not working:
        return None
    start = max(each[0].ended_s for each in working)
    end = min(each[-1].ended_s for each in working) if until_s is None else until_s
    whole = [[request.ended_s - request.begun_s for request in each[1:] if request.ended_s <= end] for each in working]
    if end <= start or sum(map(bool, whole)) < ENOUGH_STREAMS * len(working):
        return None
    usual_s = fmean(took for each in whole for took in each)
    if end - start < LEAST_WINDOW * usual_s:
        return None
    parts = [(request, _part(request, start, end, usual_s)) for each in working for request in each]
    moved = sum(request.bytes * part for request, part in parts)
    return StreamRate(
        len(done), moved / (end - start), end - start, int(moved), errors, sum(part > 0 for _, part in parts)
    )


def _part(request: Done, start_s: float, end_s: float, usual_s: float) -> float:
    """The share of a request's bytes that came within a window, 0 to 1.

    Past the window other streams have ended, and what is under way gets faster: it is taken to need as long as others did.
    """
    took_s = request.ended_s - request.begun_s
    if request.ended_s > end_s:
        took_s = max(took_s, usual_s)
    inside_s = min(request.ended_s, end_s) - max(request.begun_s, start_s)
    return max(0.0, inside_s) / took_s if took_s > 0 else float(start_s <= request.begun_s < end_s)


def whole_rate(done: Sequence[Sequence[Done]], errors: int = 0) -> StreamRate | None:
    """What was moved from the first request's begin to the last one's end; None if nothing was."""
    requests = [request for each in done for request in each]
    if not requests:
        return None
    seconds = max(request.ended_s for request in requests) - min(request.begun_s for request in requests)
    if not seconds:
        return None
    moved = sum(request.bytes for request in requests)
    return StreamRate(len(done), moved / seconds, seconds, moved, errors, len(requests))
