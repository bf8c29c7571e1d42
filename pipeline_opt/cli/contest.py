"""What a benchmark runs on which storage, and what is noted beside the runs."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pipeline_opt.accounting import account
from pipeline_opt.benchmark import variants as variants_of
from pipeline_opt.cli.apart import probe_apart
from pipeline_opt.cli.console import note
from pipeline_opt.cli.stores import by_store
from pipeline_opt.errors import UsageError
from pipeline_opt.machine import machine
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import Plan
from pipeline_opt.record import Record
from pipeline_opt.reports.info_storage import ADVICE, STORAGE
from pipeline_opt.sources import FileSource
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.probe.advice import Advice, advise
from pipeline_opt.storage.probe.applying import apply
from pipeline_opt.storage.probe.measure import probe
from pipeline_opt.storage.routes import route
from pipeline_opt.storage.uris import scheme_of

ADVISED: Final = "advised"
ON_ONE: Final = ("naive", "autotune", "pipelined")
"""What is run where there is one storage only."""
VARIANTS: Final = (*ON_ONE, ADVISED)
"""What a benchmark can run, the baseline first."""

LOCAL: Final = "file"
PROBE_S: Final = 10.0
"""How long a storage is probed."""

Probing = Callable[[str], Callable[[float, str], object]]
"""Gives, for the name of a storage, what is told of how far its probe is."""


class Entry(NamedTuple):
    """Targets on one storage, with the variants to run; `label` is empty where there is no other storage."""

    label: str
    targets: tuple[str, ...]
    variants: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What the runs are called."""
        return tuple(f"{self.label}-{variant}" if self.label else variant for variant in self.variants)


def entries(targets: Sequence[str], variants: str | None) -> tuple[Entry, ...]:
    """What to run on which storage.

    Args:
        targets: What the user named; none stands for a data set that is still to be made.
        variants: A list of `VARIANTS`, commas between; None: what suits each storage.

    Raises:
        UsageError: One of the variants does not exist, or there is none.
    """
    given = None if variants is None else chosen(variants)
    stores = by_store(targets) or {LOCAL: ()}
    if len(stores) == 1:
        ((store, found),) = stores.items()
        return (Entry("", found, given or (ON_ONE if store == LOCAL else VARIANTS)),)
    return tuple(
        Entry(label, found, given or (("pipelined",) if label == LOCAL else ("pipelined", ADVISED)))
        for label, found in stores.items()
    )


def chosen(text: str) -> tuple[str, ...]:
    """The variants that a list names, the baseline first.

    Raises:
        UsageError: One of them does not exist, or there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in VARIANTS]
    if unknown or not names:
        raise UsageError(f"--variants={text!r} is not valid; valid: {', '.join(VARIANTS)}, commas between")
    return tuple(name for name in VARIANTS if name in names)


@dataclass(frozen=True)
class Contest:
    """An entry with the pipeline that reads its targets."""

    entry: Entry
    pipeline: Pipeline

    def plans(self, probing: Probing, demand_bytes_per_s: float | None) -> Iterator[tuple[str, Plan, dict[str, Any]]]:
        """For each run its name, its plan, and what goes into its record beside what is measured.

        Args:
            probing: Told how far the probe is.
            demand_bytes_per_s: What the machine can work off of the stored bytes, where that is known.

        Raises:
            UsageError: Advice is asked for a pipeline that reads no files.
            SourceError: The storage cannot be probed.
        """
        forms = variants_of(self.pipeline)
        profile = self._probed(probing) if self.entry.label or ADVISED in self.entry.variants else None
        beside: dict[str, Any] = {} if profile is None else {STORAGE: profile.to_json()}
        for variant, name in zip(self.entry.variants, self.entry.names, strict=True):
            if variant != ADVISED:
                yield name, forms[variant], beside
            elif profile is not None:
                advice = advise(profile, demand_bytes_per_s=demand_bytes_per_s, cores=machine().cores)
                yield name, self._advised(advice), {**beside, ADVICE: list(advice.sentences())}

    def _probed(self, probing: Probing) -> StorageProfile:
        source = self.pipeline.source
        if not isinstance(source, FileSource) or len(source.paths) != 1:
            raise UsageError("a storage is probed where the pipeline reads one path; name a folder or a glob")
        uri, tell = source.paths[0], probing(self.entry.label)
        if route(uri, source.access) == "tf" and scheme_of(uri) == "gs":
            tell(-1.0, "in a process of its own")
            return probe_apart(uri, PROBE_S, source.access)
        return probe(uri, seconds=PROBE_S, access=source.access, on_progress=tell)

    def _advised(self, advice: Advice) -> Plan:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            plan = apply(advice, self.pipeline)
        for warning in caught:
            note(f"warning: {warning.message}")
        assert isinstance(plan.source, FileSource)
        if plan.source.access.block_bytes is not None:
            return plan
        access = dataclasses.replace(plan.source.access, block_bytes=advice.block_bytes)
        return dataclasses.replace(plan, source=dataclasses.replace(plan.source, access=access))


def with_beside(record: Record, beside: Mapping[str, Any]) -> Record:
    """The record with what belongs to it and was not measured in it."""
    return dataclasses.replace(record, extra={**record.extra, **beside})


def stored_bytes_per_s(record: Record) -> float | None:
    """What a run took from the storage in steady state; None where the bytes that its reader gave are not known."""
    figures = account(record)
    # The source before an interleave gives the names of files, which are extract, too.
    readers = [stage for stage in record.stages if stage.phase == "extract" and stage.bytes_out and stage.elements]
    each = [(stage.bytes_out or 0) / (stage.elements or 1) for stage in readers]
    return figures.elements_per_s * max(each) if each and figures.elements_per_s is not None else None
