"""What was seen of one thing that a storage needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pipeline_opt.errors import SourceError


class Finding(NamedTuple):
    """One thing that a storage needs.

    Attributes:
        step: What was looked at: `network`, `credentials`, `bucket`, `NameNode`, ...
        works: Whether it will do; None where only the client itself can tell.
        detail: What was seen.
        remedy: What would help; empty where it works.
        error: What is raised where it does not.
    """

    step: str
    works: bool | None
    detail: str
    remedy: str = ""
    error: type[SourceError] = SourceError

    def __str__(self) -> str:
        return f"{self.detail}; {self.remedy}" if self.remedy else self.detail


def failed(findings: Iterable[Finding]) -> Finding | None:
    """The first that does not work."""
    return next((finding for finding in findings if finding.works is False), None)
