"""What runs tell of the storages that they read: the profiles noted beside them, and the advice that was followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from pipeline_opt.errors import SourceError
from pipeline_opt.record import Record
from pipeline_opt.storage.measured import StorageProfile

STORAGE: Final = "storage"
ADVICE: Final = "advice"
"""What the two are called in `Record.extra`."""


class Followed(NamedTuple):
    """The advice that a run follows, in sentences."""

    variant: str
    sentences: tuple[str, ...]


def profiles_of(records: Mapping[str, Record]) -> dict[str, StorageProfile]:
    """The profiles beside some runs, by URI; damaged ones are left out: the runs are still good."""
    found: dict[str, StorageProfile] = {}
    for record in records.values():
        try:
            profile = StorageProfile.from_json(record.extra.get(STORAGE))
        except SourceError:
            continue
        found.setdefault(profile.uri, profile)
    return found


def followed(records: Mapping[str, Record]) -> tuple[Followed, ...]:
    """The runs that follow advice, with it."""
    told = {name: record.extra.get(ADVICE) for name, record in records.items()}
    return tuple(
        Followed(name, tuple(str(each) for each in sentences))
        for name, sentences in told.items()
        if isinstance(sentences, list)
    )
