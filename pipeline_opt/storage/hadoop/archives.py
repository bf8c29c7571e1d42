"""Source archives from the Python package index, fetched by pip and checked against a pinned digest."""

from __future__ import annotations

import os
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
        _download(archive, Path(folder))
        yield next(Path(folder).glob("*.tar.gz"))


_BACKEND: Final = """\
import pathlib


class Nothing:
    def get_requires_for_build_wheel(self, *arguments, **named):
        return []

    def prepare_metadata_for_build_wheel(self, folder, *arguments, **named):
        place = pathlib.Path(folder) / "{package}-{version}.dist-info"
        place.mkdir()
        (place / "METADATA").write_text("Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n")
        return place.name


__legacy__ = Nothing()
"""
"""Stands for setuptools, which pip would have tell an archive's name by running its `setup.py`: that of an old package fails
with the setuptools of today, and needs not be run at all."""


def _download(archive: Archive, folder: Path) -> None:
    stand_in = folder / "stand-in" / "setuptools"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").touch()
    (stand_in / "build_meta.py").write_text(_BACKEND.format(package=archive.package, version=archive.version))
    (folder / "wanted.txt").write_text(f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n")
    options = ["--no-deps", "--no-binary", ":all:", "--use-pep517", "--no-build-isolation", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "download", *options, "--no-cache-dir", "--progress-bar", "off"]
    try:
        done = subprocess.run(
            [*command, "-r", "wanted.txt", "-d", "."],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(stand_in.parent)},
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SchemeError(f"{_what(archive)} was not there within {_LIMIT_S} s; {_REMEDY}") from error
    if done.returncode != 0:
        told = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()][-_SHOWN_LINES:]
        raise SchemeError(f"{_what(archive)} cannot be fetched: {' / '.join(told)}; {_REMEDY}")


def _what(archive: Archive) -> str:
    return f"{archive.holds} (the source archive {archive.package}=={archive.version})"


_REMEDY: Final = "it needs pip in this Python (python -m ensurepip), and an index that pip reaches (PIP_INDEX_URL)"
