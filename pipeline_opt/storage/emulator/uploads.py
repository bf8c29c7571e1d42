"""Uploads on their way: what has come of each, until it is an object."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from pipeline_opt.storage.emulator.messages import Body
from pipeline_opt.storage.emulator.objects import Blob, Bucket
from pipeline_opt.storage.emulator.refusals import RefusalError

_RANGE: Final = re.compile(r"bytes (?:(\d+)-(?:\d+|\*)|\*)/(\d+|\*)")


class Progress(NamedTuple):
    """What has come of an upload, and the object once it is whole."""

    received: int
    blob: Blob | None


class Upload:
    """One resumable upload: bytes are kept in a file of their own as they come, so a lost connection costs none.

    Args:
        bucket: Where the object goes.
        name: The object's name.
        part: The file to keep it in.
    """

    def __init__(self, bucket: Bucket, name: str, part: Path) -> None:
        self.bucket = bucket
        self.name = name
        self._part = part
        self._part.touch()
        self._lock = threading.Lock()
        self._received = 0
        self._blob: Blob | None = None

    def take(self, body: Body, content_range: str | None) -> Progress:
        """Add what a request holds; without a range it is the whole, `bytes */N` only asks.

        Raises:
            RefusalError: The range is not valid, or leaves a gap.
        """
        with self._lock:
            if self._blob is not None:
                return Progress(self._received, self._blob)
            start, total = self._parsed(content_range)
            if start is not None:
                self._append(body, start)
            if content_range is None or total == self._received:
                self._blob = self.bucket.put(self.name, self._part)
            elif total is not None and self._received > total:
                raise RefusalError(400, f"{self._received} bytes have come of an upload of {total}")
            return Progress(self._received, self._blob)

    def discard(self) -> None:
        """Forget what has come."""
        self._part.unlink(missing_ok=True)

    def _parsed(self, content_range: str | None) -> tuple[int | None, int | None]:
        """Where the content begins (None: there is none), and its size in all where that is said."""
        if content_range is None:
            return 0, None
        found = _RANGE.fullmatch(content_range)
        if found is None:
            raise RefusalError(400, f"Content-Range: {content_range} is not valid")
        start = None if found[1] is None else int(found[1])
        if start is not None and start > self._received:
            raise RefusalError(400, f"the upload goes on at byte {start}, but only {self._received} bytes have come")
        return start, None if found[2] == "*" else int(found[2])

    def _append(self, body: Body, start: int) -> None:
        known = self._received - start
        with self._part.open("ab") as file:
            for piece in body.pieces():
                fresh = piece[known:] if known > 0 else piece
                known -= len(piece)
                file.write(fresh)
                self._received += len(fresh)


class Uploads:
    """All uploads on their way.

    Args:
        scratch: A folder for what has come of them.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._lock = threading.Lock()
        self._open: dict[str, Upload] = {}

    def begin(self, bucket: Bucket, name: str) -> str:
        """Begin an upload; returns what it is called by."""
        number = uuid.uuid4().hex
        with self._lock:
            self._open[number] = Upload(bucket, name, self._scratch / number)
        return number

    def find(self, number: str) -> Upload:
        """An upload that has begun.

        Raises:
            RefusalError: There is none.
        """
        with self._lock:
            if number not in self._open:
                raise RefusalError(404, f"No upload {number} is known")
            return self._open[number]

    def cancel(self, number: str) -> None:
        """Forget an upload."""
        self.find(number).discard()
        with self._lock:
            self._open.pop(number, None)

    @contextmanager
    def scratch_file(self) -> Iterator[Path]:
        """A file for content that comes at once; removed unless it was moved away."""
        path = self._scratch / uuid.uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
