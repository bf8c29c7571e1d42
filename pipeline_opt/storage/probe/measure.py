"""The probe: phase by phase, within seconds and bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import Final

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.bounds import MOST_PARALLEL, counts, is_count
from pipeline_opt.clock import Clock, SystemClock
from pipeline_opt.errors import EmptySourceError, PipelineOptError, SourceError, UsageError
from pipeline_opt.storage.formats import is_hidden
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.probe import phases, scaling
from pipeline_opt.storage.probe.budget import Budget
from pipeline_opt.storage.probe.client import Client, File
from pipeline_opt.storage.probe.clients import client_of
from pipeline_opt.storage.probe.findings import Findings
from pipeline_opt.storage.probe.targets import Targets
from pipeline_opt.storage.probe.workers import HangError, run_together

SECONDS: Final = 20.0
MOST_BYTES: Final = 2_000_000_000
STREAMS: Final = 64

LONGEST_HANG_S: Final = 10.0
"""How long a request may take to end once its phase is over."""

SHARES: Final = {"stat": 0.06, "cold": 0.1, "warm": 0.1, "sizes": 0.22}
"""Of the seconds; the streams have what is left."""

OWN: Final = 0.05
"""Of the time to first byte: what a client needs for itself above that, and above `LEAST_OWN_S`, is told."""

LEAST_OWN_S: Final = 0.002

Progress = Callable[[float, str], object]
"""Takes the share done, 0 to 1, and what is being measured."""


def probe(
    uri: str,
    *,
    via: str = "auto",
    seconds: float = SECONDS,
    max_bytes: int = MOST_BYTES,
    streams: int = STREAMS,
    access: Access | None = None,
    clock: Clock | None = None,
    on_progress: Progress | None = None,
    client: Client | None = None,
) -> StorageProfile:
    """Measure a storage through the client that a pipeline would use. Reads, and never writes.

    Ctrl-C raises nothing: the profile has what was measured until then. What could not be measured is in its notes.

    Args:
        uri: Files, as a pipeline takes them: a file, a folder, a glob.
        via: One of `access.ROUTES`; `auto` leaves it to `access`.
        seconds: No request begins after so many.
        max_bytes: Nor any that would read more than so many in all.
        streams: How many to try at the most.
        access: How the files are reached.
        clock: Where time comes from.
        on_progress: Told some times a second.
        client: What to measure with, in place of what `via` means.

    Raises:
        UsageError: An argument is out of range.
        SourceError: The URI cannot be opened, does not answer, or holds nothing to read.
    """
    _require(0.1 <= seconds <= 86_400, "seconds", seconds, "0.1 to 86,400")
    _require(is_count(max_bytes, 1, 1 << 50), "max_bytes", max_bytes, counts(1, 1 << 50))
    _require(is_count(streams, 1, MOST_PARALLEL), "streams", streams, counts(1, MOST_PARALLEL))
    clock = clock or SystemClock()
    reached = access or DEFAULT
    client = client or client_of(uri, reached if via == "auto" else dataclasses.replace(reached, via=via))
    budget = Budget(clock, seconds, max_bytes)
    findings = Findings(uri, client, datetime.now(UTC).isoformat(timespec="seconds"))
    probing = _Probing(client, clock, budget, findings, on_progress or (lambda _share, _said: None))
    try:
        probing.run(streams)
    except KeyboardInterrupt:
        findings.interrupted = True
        findings.note("interrupted", "interrupted: what came after that is missing")
    except HangError as error:
        findings.note("hang", f"{error}: what came after that is missing")
    return findings.profile(budget)


class _Probing:
    """One probe: its phases in turn."""

    def __init__(self, client: Client, clock: Clock, budget: Budget, findings: Findings, on_progress: Progress) -> None:
        self.client, self.clock, self.budget, self.findings = client, clock, budget, findings
        self.on_progress = on_progress
        self.kept = client.warm()
        self.limit_s = min(LONGEST_HANG_S, max(1.0, budget.seconds / 2))

    def run(self, streams: int) -> None:
        """Every phase; findings get what each measures.

        Raises:
            SourceError: There is nothing that can be measured.
            HangError: A request did not end.
        """
        files = self._list()
        self._phase(
            "stat", SHARES["stat"], partial(phases.measure_stats, self.client, files, self.clock, self.findings)
        )
        targets = Targets(self._sized(files), tail_only=self.client.tail_only)
        if not targets.largest:
            raise self._nothing()
        self._latencies(targets)
        self._sizes(targets)
        self._streams(targets, streams)

    def _list(self) -> list[File]:
        found: list[File] = []

        def list_files(_stopped: object) -> None:
            found.extend(self.client.list(self.findings.uri))

        begun = self.clock.now()
        try:
            run_together(
                [list_files], self.clock, begun, max(self.limit_s, self.budget.seconds), self._watch("listing")
            )
        except HangError as error:
            raise SourceError(f"{self.findings.uri}: listing it took more than {self.budget.seconds:g} s") from error
        except PipelineOptError:
            raise
        except Exception as error:
            raise SourceError(f"cannot list {self.findings.uri}: {type(error).__name__}: {error}") from error
        self.findings.listing_s = self.clock.now() - begun
        # What a pipeline leaves out, such as `_SUCCESS`, unless there is nothing else.
        found = [file for file in found if not is_hidden(file.path.rpartition("/")[2])] or found
        self.findings.files = len(found)
        if not found:
            raise EmptySourceError(f"{self.findings.uri}: there is no file")
        return found

    def _sized(self, files: list[File]) -> list[File]:
        """The files whose sizes are known; findings get what all of them have."""
        known = [file for file in files if file.size is not None]
        sized = known or self.findings.sized
        total = sum(file.size or 0 for file in sized)
        if sized:
            self.findings.bytes = round(total / len(sized) * len(files))
        if self.client.route == "local":
            self.findings.note(
                "page cache", "rates are with the system's file cache as it was: what is in it costs no disk"
            )
        if 0 < len(sized) < len(files):
            self.findings.note("sizes", f"the size in all is estimated from {len(sized)} of {len(files):,} files")
        return sized

    def _latencies(self, targets: Targets) -> None:
        requests = phases.Requests(self.clock, self.budget, self.findings)
        cold = partial(phases.measure_latency, self.client.cold, targets, requests, self.findings.cold)
        share = SHARES["cold"] + SHARES["warm"] * bool(self.client.warm_reason)
        if not self.client.cold_reason:
            self._phase("time to first byte, cold", share, cold)
        if self.findings.own and median(self.findings.own) > max(LEAST_OWN_S, OWN * median(self.findings.cold)):
            self.findings.note("own", _own_note(self.client.block_bytes or 0, median(self.findings.own)))
        if not self.client.warm_reason:
            kept = self.kept
            # The first request on it makes the connection.
            self._phase("connecting", SHARES["warm"], lambda _stopped: requests.time(lambda: kept, targets.draw(1)))
            warm = partial(phases.measure_latency, lambda: kept, targets, requests, self.findings.warm)
            self._phase("time to first byte, warm", SHARES["warm"], warm)

    def _sizes(self, targets: Targets) -> None:
        kept = self.kept
        requests = phases.Requests(self.clock, self.budget, self.findings)
        until = self.budget.moment(SHARES["sizes"])
        measure = partial(
            phases.measure_sizes,
            lambda: kept,
            targets,
            requests,
            self.findings.sizes,
            block=self.client.block_bytes,
            left_s=lambda: max(0.0, until - self.clock.now()),
        )
        self._phase("request sizes", SHARES["sizes"], measure)
        self.findings.stream_bytes_per_s = phases.stream_rate(
            self.findings.sizes, self.findings.warm or self.findings.cold
        )
        if self.findings.stream_bytes_per_s is None:
            self.findings.note("rate", "one stream's rate is lost in the spread of the times to the first byte")
        elif targets.largest < phases.SIZES[2]:
            self.findings.note(
                "rate",
                f"one stream's rate is from requests of up to {max(self.findings.sizes):,} bytes: no file is larger, and "
                "the time to the first byte hides most of it",
            )

    def _streams(self, targets: Targets, streams: int) -> None:
        found = self.findings
        ttfb, rate = median(found.warm or found.cold or (0.0,)), found.stream_bytes_per_s
        size = scaling.request_bytes(targets, self.client.block_bytes, ttfb, rate, self.budget)
        alone_s = ttfb + (size / rate if rate else 0.0)
        scaling.Scaling(
            self.client.warm,
            targets,
            size,
            alone_s,
            self.clock,
            self.budget,
            found,
            self.limit_s,
            lambda count: self._tell(f"streams: {count}"),
        ).measure(streams)

    def _phase(self, title: str, share: float, job: Callable[[Callable[[], bool]], object]) -> None:
        try:
            run_together([job], self.clock, self.budget.moment(share), self.limit_s, self._watch(title))
        except phases.FailingError as error:
            self.findings.note(title, f"{title}: every request failed: {error.__cause__}")

    def _watch(self, title: str) -> Callable[[], None]:
        return lambda: self._tell(title)

    def _tell(self, title: str) -> None:
        self.on_progress(min(1.0, self.budget.spent_s / self.budget.seconds), title)

    def _nothing(self) -> SourceError:
        failed = next(iter(self.findings.errors), "")
        if failed:
            return SourceError(f"{self.findings.uri}: no file can be asked for: {failed}")
        return EmptySourceError(f"{self.findings.uri}: every file is empty")


def _own_note(block: int, own_s: float) -> str:
    return (
        f"the client clears {block / (1 << 20):.0f} MiB of memory for every file that it opens, {1e3 * own_s:.0f} ms of a "
        "core: that is not in the time to the first byte; a smaller block_bytes saves it"
    )


def _require(holds: bool, name: str, value: object, valid: str) -> None:
    if not holds:
        raise UsageError(f"{name}={value!r} is out of range; valid: {valid}")
