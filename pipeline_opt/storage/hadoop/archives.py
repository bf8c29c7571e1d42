"""Source archives from the Python package index, fetched by pip and checked against a pinned digest."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from pipeline_opt.errors import SchemeError

_LIMIT_S: Final = 900
_SHOWN_LINES: Final = 3


class Archive(NamedTuple):
    """A source archive: the package, its version, the SHA-256 of the file, and what we take from it."""

    package: str
    version: str
    sha256: str
    holds: str


@contextmanager
def fetched(archive: Archive) -> Iterator[Path]:
    """The archive as a file that is gone afterwards.

    Raises:
        SchemeError: pip cannot fetch it, or it is not the file that was pinned; has pip's own words.
    """
    with tempfile.TemporaryDirectory(prefix="pipeline-opt-") as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n")
        _download(archive, wanted)
        yield next(Path(folder).glob("*.tar.gz"))


def _download(archive: Archive, wanted: Path) -> None:
    options = ["--no-deps", "--no-binary", ":all:", "--no-cache-dir", "--progress-bar", "off", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "download", *options, "-r", wanted.name, "-d", "."]
    try:
        done = subprocess.run(command, cwd=wanted.parent, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SchemeError(f"{_what(archive)} was not there within {_LIMIT_S} s; {_REMEDY}") from error
    if done.returncode != 0:
        told = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()][-_SHOWN_LINES:]
        raise SchemeError(f"{_what(archive)} cannot be fetched: {' / '.join(told)}; {_REMEDY}")


def _what(archive: Archive) -> str:
    return f"{archive.holds} (the source archive {archive.package}=={archive.version})"


_REMEDY: Final = "it needs pip in this Python (python -m ensurepip), and an index that pip reaches (PIP_INDEX_URL)"
