"""Answers that hold an object's content, or a range of it."""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import Final

from pipeline_opt.storage.emulator.messages import Answer, Media, Request
from pipeline_opt.storage.emulator.metadata import require
from pipeline_opt.storage.emulator.objects import Blob, Bucket
from pipeline_opt.storage.emulator.refusals import RefusalError

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


def content(of: Bucket, name: str, request: Request) -> Answer:
    """An object's content; of a HEAD request only what would come."""
    stream, blob = of.open(name)
    try:
        require(blob, request)
        part = parse_range(request.headers.get("range"), blob.size)
    except RefusalError:
        stream.close()
        raise
    headers = _headers(blob)
    if part is None:
        return Answer(200, headers, media=Media(stream, 0, blob.size))
    where = f"bytes {part.start}-{part.stop - 1}/{blob.size}"
    return Answer(206, (*headers, ("Content-Range", where)), media=Media(stream, part.start, len(part)))


def parse_range(header: str | None, size: int) -> range | None:
    """The bytes that a `Range` header asks for; None for all of them, also where it asks for several ranges.

    Raises:
        RefusalError: None of them is there, 416.
    """
    found = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if found[1]:
        first, last = int(found[1]), int(found[2]) if found[2] else size - 1
        if found[2] and last < first:
            return None
    else:
        first, last = max(size - int(found[2]), 0), size - 1
    if first >= size or last < first:
        raise RefusalError(416, f"The requested range cannot be satisfied: {header} of {size} bytes")
    return range(first, min(last, size - 1) + 1)


def _headers(blob: Blob) -> tuple[tuple[str, str], ...]:
    return (
        ("Content-Type", "application/octet-stream"),
        ("Accept-Ranges", "bytes"),
        ("ETag", f'"G{blob.generation}"'),
        ("Last-Modified", formatdate(blob.generation / 1e6, usegmt=True)),
        ("x-goog-generation", str(blob.generation)),
        ("x-goog-metageneration", "1"),
        ("x-goog-stored-content-encoding", "identity"),
        ("x-goog-stored-content-length", str(blob.size)),
        ("x-goog-storage-class", "STANDARD"),
    )
