"""libhdfs.so, the C library by which tensorflow-io reads HDFS: built once for each JDK, kept in the user's cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from pipeline_opt.errors import SchemeError
from pipeline_opt.storage.cached import cache_folder, made_once
from pipeline_opt.storage.hadoop.archives import Archive, fetched
from pipeline_opt.storage.hadoop.java import Java, find_jdk

PLACE: Final = Path("lib", "native", "libhdfs.so")
"""Where tensorflow-io looks below `HADOOP_HDFS_HOME`, before it asks the dynamic linker."""

_ARCHIVE: Final = Archive(
    "pydoop",
    "2.0.0",
    "c7eb2ad8c36d2a75dc1c6cee701928334614f2e862a70798b0cb278e3102f77d",
    "libhdfs's C sources, 0.7 MB to fetch",
)
_SOURCES: Final = "src/libhdfs"
_INCLUDES: Final = (".", "include", "include/hdfs", "common", "os", "os/posix")
_LIMIT_S: Final = 300


def libhdfs_home() -> Path:
    """The folder for `HADOOP_HDFS_HOME`; the library is built if it is not there.

    It finds its JVM by itself (an rpath to the JDK), so that a process needs no LD_LIBRARY_PATH.

    Raises:
        SchemeError: There is no JDK or no gcc, or the sources cannot be fetched or built.
        OutputError: The cache cannot be written.
    """
    jdk = find_jdk()
    return made_once(_name(jdk), lambda folder: _make(jdk, folder))


def is_built() -> bool:
    """Whether the library is in the user's cache.

    Raises:
        SchemeError: There is no JDK.
    """
    return (cache_folder() / _name(find_jdk())).is_dir()


def _name(jdk: Java) -> str:
    key = hashlib.sha256(f"{jdk.home.resolve()} {jdk.version} {_ARCHIVE.sha256}".encode()).hexdigest()[:12]
    return f"libhdfs-{_ARCHIVE.version}-{key}"


def _make(jdk: Java, folder: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SchemeError("libhdfs.so cannot be built: there is no gcc; apt-get install gcc libc6-dev")
    with fetched(_ARCHIVE) as archive, tempfile.TemporaryDirectory(prefix="pipeline-opt-") as unpacked:
        with tarfile.open(archive) as members:
            members.extractall(unpacked, filter="data")
        sources = Path(unpacked) / f"{_ARCHIVE.package}-{_ARCHIVE.version}" / _SOURCES
        _compile(compiler, jdk, sources, folder / PLACE)


def _compile(compiler: str, jdk: Java, sources: Path, library: Path) -> None:
    library.parent.mkdir(parents=True)
    jvm = jdk.home / "lib" / "server"
    files = [*sources.glob("*.c"), *sources.glob("common/*.c"), *sources.glob("os/posix/*.c")]
    folders = [*_INCLUDES, str(jdk.home / "include"), str(jdk.home / "include" / "linux")]
    linked = [f"-L{jvm}", "-ljvm", f"-Wl,-rpath,{jvm}"]
    options = ["-shared", "-fPIC", "-O2", "-w", *(f"-I{folder}" for folder in folders)]
    command = [compiler, *options, "-o", str(library), *map(str, files), *linked]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode != 0:
        raise SchemeError(f"libhdfs.so cannot be built: {done.stderr.strip()[-400:]}; apt-get install gcc libc6-dev")
