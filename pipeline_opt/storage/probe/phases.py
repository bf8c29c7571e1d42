"""What is measured one request after another: listing, stat, time to first byte, the effect of a request's size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle
from statistics import median
from typing import Final

from pipeline_opt.clock import Clock
from pipeline_opt.storage.probe.budget import Budget
from pipeline_opt.storage.probe.client import Client, Connection, File
from pipeline_opt.storage.probe.findings import Findings
from pipeline_opt.storage.probe.targets import Range, Targets, within

Stopped = Callable[[], bool]

MOST_STATS: Final = 64
MOST_LATENCIES: Final = 200
SIZES: Final = tuple(1 << power for power in (16, 18, 20, 22, 24))
"""64 KiB to 16 MiB."""

MOST_REPEATS: Final = 24
LONGEST_REQUEST: Final = 0.3
"""Of a phase: a request that would take more, and more than two of the smallest, is not made."""

SURE: Final = 3
"""So many standard errors a difference has to be, to be one: then it is about right to a third."""

_OF_MEDIAN: Final = 1.86
"""About the standard error of a median, times the root of their number, where times deviate by 1 in the median."""

FEW: Final = 3
"""Samples of a size that are wanted at least."""

MOST_FAILED: Final = 20
"""So many failures in a row end a phase."""


class FailingError(Exception):
    """Nothing but errors came."""


class Requests:
    """Timed requests within a budget; errors are counted, and end a phase where nothing else comes."""

    def __init__(self, clock: Clock, budget: Budget, findings: Findings) -> None:
        self._clock = clock
        self._budget = budget
        self._findings = findings
        self._failed = 0

    def time(self, connect: Callable[[], Connection], part: Range, *, alone: bool = False) -> float | None:
        """Seconds that a request took, a connection for it included; None if it failed or there is no budget left.

        Args:
            connect: Gives the connection.
            part: What to ask for.
            alone: Whether what the client was busy with itself is left out; the findings get it.
        """
        if not self._budget.take(part.length):
            self._findings.note("bytes", "the limit in bytes was reached: what came after that is missing")
            return None
        begun = self._clock.now()
        try:
            connection = connect()
            got = connection.read(*part)
            if got < part.length:
                raise OSError(f"{got} of {part.length} bytes came")
        except Exception as error:
            self._findings.failed(error)
            self._failed += 1
            if self._failed >= MOST_FAILED:
                raise FailingError from error
            return None
        self._failed = 0
        taken = self._clock.now() - begun
        if not alone:
            return taken
        self._findings.own.append(connection.own_s)
        return max(0.0, taken - connection.own_s)


def measure_stats(client: Client, files: Sequence[File], clock: Clock, findings: Findings, stopped: Stopped) -> None:
    """Ask for the size of one file after another; findings get the times and the files."""
    for file in spread(files, MOST_STATS):
        if stopped():
            break
        begun = clock.now()
        try:
            size = client.stat(file.path)
        except Exception as error:  # noqa: BLE001 - each client has errors of its own
            findings.failed(error)
            continue
        taken = clock.now() - begun
        if taken >= client.remembered_s:
            findings.stats.append(taken)
        if size is not None:
            findings.sized.append(File(file.path, size))


def measure_latency(
    connect: Callable[[], Connection], targets: Targets, requests: Requests, samples: list[float], stopped: Stopped
) -> None:
    """Time requests for a byte."""
    while not stopped() and len(samples) < MOST_LATENCIES:
        taken = requests.time(connect, targets.draw(1), alone=True)
        if taken is not None:
            samples.append(taken)


def measure_sizes(
    connect: Callable[[], Connection],
    targets: Targets,
    requests: Requests,
    samples: dict[int, list[float]],
    stopped: Stopped,
    block: int | None,
    left_s: Callable[[], float],
) -> None:
    """Time requests of several sizes in turn, the largest and the smallest most often: rates come from those two.

    None is larger than the client's block.
    """
    sizes = ladder(targets.largest) if block is None else ladder(min(targets.largest, within(block)), block)
    phase_s = left_s()
    for size in sizes:
        known = [times[-1] for times in samples.values() if times]
        if stopped() or (len(known) > 1 and next_s(known) > max(LONGEST_REQUEST * phase_s, 2 * known[0])):
            break
        _time_size(connect, targets, requests, samples, size)
    tried = [size for size, times in samples.items() if times]
    if not tried:
        return
    for size in cycle((tried[-1], tried[0], tried[-1], tried[0], *tried[1:-1])):
        if stopped() or len(samples[tried[-1]]) >= MOST_REPEATS or left_s() < median(samples[size]):
            break
        if not _time_size(connect, targets, requests, samples, size) and not stopped():
            break


def next_s(known: Sequence[float]) -> float:
    """What a request of the next size would take: each is four times the one before, and so is what it adds."""
    return known[-1] + 4 * max(0.0, known[-1] - known[-2])


def _time_size(
    connect: Callable[[], Connection],
    targets: Targets,
    requests: Requests,
    samples: dict[int, list[float]],
    size: int,
) -> bool:
    taken = requests.time(connect, targets.draw(size))
    if taken is not None:
        samples.setdefault(size, []).append(taken)
    return taken is not None


def ladder(largest: int, block: int | None = None) -> tuple[int, ...]:
    """Request sizes that files allow: `SIZES`, or parts of the largest file where it is too small for three of them.

    Where a client's block ends them, the last is the largest request that fits into it.
    """
    fitting = tuple(size for size in SIZES if size <= largest)
    if block is not None and largest == within(block) and block <= SIZES[-1]:
        fitting = (*fitting, largest)
    if len(fitting) >= FEW:
        return fitting
    return tuple(size for size in dict.fromkeys((largest // 16, largest // 4, largest)) if size > 0)


def stream_rate(samples: dict[int, list[float]], ttfb: Sequence[float] = ()) -> float | None:
    """Bytes a second of one stream after its first byte: the difference of the largest and the smallest request.

    Both take the same time to the first byte, in the middle of several; None where the difference is lost in their spread.

    Args:
        samples: Seconds of requests, by their bytes.
        ttfb: Times to first byte: a few requests of a size are taken to spread as much as these at least.
    """
    known = {size: times for size, times in samples.items() if times}
    if len(known) < 2:
        return None
    small, large = min(known), max(known)
    longer = median(known[large]) - median(known[small])
    least = _deviation(ttfb) if ttfb else 0.0
    noise = math.hypot(
        *(max(_deviation(known[size]), least) * _OF_MEDIAN / len(known[size]) ** 0.5 for size in (small, large))
    )
    return (large - small) / longer if longer > SURE * noise else None


def _deviation(times: Sequence[float]) -> float:
    """The median deviation from the median."""
    middle = median(times)
    return float(median(abs(time - middle) for time in times))


def spread(files: Sequence[File], most: int) -> list[File]:
    """Some files, evenly from all of them."""
    step = max(1.0, len(files) / most)
    return [files[int(number * step)] for number in range(min(most, len(files)))]
