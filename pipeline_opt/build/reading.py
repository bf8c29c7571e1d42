"""What a plan reads: its file sources with the stages that read them, and what of the files is silently lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline_opt.errors import SourceError
from pipeline_opt.names import inner_prefix
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import FileSource, ResolvedSource, TFRecords
from pipeline_opt.storage import resolve as list_files
from pipeline_opt.storage.damage import silent_damage

Resolve = Callable[[FileSource], ResolvedSource]


def file_sources(plan: Plan, prefix: str = "") -> Iterator[tuple[str, FileSource]]:
    """The file sources of a plan and of the plans in it, by the name of the stage that reads them."""
    if isinstance(plan.source, FileSource):
        yield prefix + (plan.reader.name if plan.reader else plan.source.kind), plan.source
    if isinstance(plan.source, Combination):
        for number, inner in enumerate(plan.source.plans):
            yield from file_sources(inner, inner_prefix(prefix, number))


def listed(plan: Plan, resolve: Resolve = list_files) -> Iterator[tuple[str, FileSource, ResolvedSource]]:
    """The same with their files; sources that cannot be listed are left out."""
    for name, source in file_sources(plan):
        try:
            yield name, source, resolve(source)
        except SourceError:
            continue


def silent_losses(plan: Plan, resolve: Resolve = list_files) -> tuple[str, ...]:
    """What TensorFlow leaves out of damaged files without an error, for people; a cheap look, at which nothing fails."""
    losses = []
    for reader, source, resolved in listed(plan, resolve):
        try:
            records = isinstance(source, TFRecords)
            damage = silent_damage(resolved.files, resolved.compression, records=records, access=source.access)
        except (SourceError, OSError):
            continue
        if damage is not None:
            losses.append(
                f"{reader}: {damage.path}, byte {damage.offset}: {damage.reason}; "
                "TensorFlow takes it for the end of the data, so that what was to follow is lost."
            )
    return tuple(losses)
