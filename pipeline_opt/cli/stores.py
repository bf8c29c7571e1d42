"""Which of the targets lie on the same storage: those are one data set, the others are data sets to compare with it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from pipeline_opt.storage.uris import scheme_of


def by_store(targets: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The targets of each storage in the order given, by a short name: the scheme, with the host where that does not tell.

    What stands before an `@` is left out: it can be a password, and names become those of files.

    >>> by_store(["data/a", "data/b", "gs://bucket/data"])
    {'file': ('data/a', 'data/b'), 'gs': ('gs://bucket/data',)}
    >>> list(by_store(["gs://near/data", "gs://far/data"]))
    ['gs-near', 'gs-far']
    >>> list(by_store(["ftp://me:secret@near/data", "ftp://far/data"]))
    ['ftp-near', 'ftp-far']
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for target in targets:
        groups.setdefault(_store(target), []).append(target)
    schemes = [scheme for scheme, _ in groups]
    return {
        scheme if schemes.count(scheme) == 1 else f"{scheme}-{host}": tuple(found)
        for (scheme, host), found in groups.items()
    }


def _store(target: str) -> tuple[str, str]:
    scheme = scheme_of(target)
    return scheme, "" if scheme == "file" else urlsplit(target).netloc.rpartition("@")[2]
