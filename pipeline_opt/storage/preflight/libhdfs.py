"""What tensorflow-io needs for `hdfs://`: libhdfs, a Java virtual machine, and Hadoop's classes on the CLASSPATH."""

from __future__ import annotations

import ctypes
import glob
import os
import re
from collections.abc import Iterator
from typing import Final

from pipeline_opt.errors import SchemeError
from pipeline_opt.storage.preflight.finding import Finding

LIBRARY: Final = "libhdfs.so"
COMMON: Final = re.compile(r"hadoop-(common|client)[^/]*\.jar$")
HDFS: Final = re.compile(r"hadoop-(hdfs|client|hdfs-client)[^/]*\.jar$")
CLASSPATH_REMEDY: Final = 'export CLASSPATH="$(hadoop classpath --glob)" before the process starts'
LIBRARY_REMEDY: Final = (
    "export LD_LIBRARY_PATH=$HADOOP_HOME/lib/native:$JAVA_HOME/lib/server (or set HADOOP_HDFS_HOME to the folder with "
    "lib/native/libhdfs.so) before the process starts"
)


def libhdfs_findings() -> Iterator[Finding]:
    """What the tensorflow-io route needs on this machine; ends at what fails."""
    loaded = _library()
    yield loaded
    if loaded.works:
        yield _class_path()


def _library() -> Finding:
    """The library as tensorflow-io looks for it: below HADOOP_HDFS_HOME, then where the loader looks."""
    home = os.environ.get("HADOOP_HDFS_HOME")
    names = [*([os.path.join(home, "lib", "native", LIBRARY)] if home else []), LIBRARY]
    problems = []
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            problems.append(str(error))
            continue
        return Finding("libhdfs", True, f"{name} loads")
    if any("libjvm" in problem for problem in problems):
        return Finding(
            "Java",
            False,
            f"libhdfs finds no Java virtual machine: {problems[-1]}",
            "install a Java runtime (8, 11 or 17) and export LD_LIBRARY_PATH=$JAVA_HOME/lib/server:$LD_LIBRARY_PATH "
            "before the process starts",
            SchemeError,
        )
    return Finding("libhdfs", False, f"libhdfs does not load: {problems[-1]}", LIBRARY_REMEDY, SchemeError)


def _class_path() -> Finding:
    """Without Hadoop's classes libhdfs says `Unknown error 255`, and a wildcard means nothing to a JVM made in C."""
    class_path = os.environ.get("CLASSPATH", "")
    if not class_path:
        return Finding("CLASSPATH", False, "CLASSPATH is not set", CLASSPATH_REMEDY, SchemeError)
    entries = class_path.split(os.pathsep)
    jars = [path for entry in entries for path in _jars_of(entry)]
    lacks = [name for name, jar in (("common", COMMON), ("hdfs", HDFS)) if not any(map(jar.search, jars))]
    if lacks:
        # A jar may go by any name, and classes may lie in a folder: only where there is nothing at all is it certain.
        certain = not jars and not any(map(os.path.isdir, entries))
        detail = f"CLASSPATH names no jar of hadoop-{' or hadoop-'.join(lacks)} that exists"
        return Finding("CLASSPATH", False if certain else None, detail, CLASSPATH_REMEDY, SchemeError)
    if any(entry.endswith("*") for entry in entries):
        detail = "CLASSPATH has wildcards, which libhdfs expands from Hadoop 3.3 on only"
        return Finding("CLASSPATH", None, detail, CLASSPATH_REMEDY)
    return Finding("CLASSPATH", True, f"{len(jars)} jars")


def _jars_of(entry: str) -> list[str]:
    """The jars that an entry means."""
    if entry.endswith("*"):
        return glob.glob(entry[:-1] + "*.jar")
    return [entry] if entry.endswith(".jar") and os.path.isfile(entry) else []
