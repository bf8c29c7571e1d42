"""Hadoop's own jars: what a NameNode, a DataNode and libhdfs load."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from pipeline_opt.errors import SchemeError
from pipeline_opt.storage.cached import cache_folder, made_once
from pipeline_opt.storage.hadoop.archives import Archive, fetched

VERSION: Final = "2.7.3"

Progress = Callable[[str], None]

_ARCHIVE: Final = Archive(
    "pyspark",
    "2.4.8",
    "3a19b71b8dc8dd91ebc943604a05e1ab01bce052456d42937035632d852d78dc",
    f"Hadoop {VERSION}, 210 MB to fetch",
)
_JARS: Final = (
    "apache-log4j-extras-1.2.17",
    "commons-cli-1.2",
    "commons-codec-1.10",
    "commons-collections-3.2.2",
    "commons-configuration-1.6",
    "commons-io-2.4",
    "commons-lang-2.6",
    "commons-logging-1.1.3",
    "guava-14.0.1",
    "hadoop-annotations-2.7.3",
    "hadoop-auth-2.7.3",
    "hadoop-common-2.7.3",
    "hadoop-hdfs-2.7.3",
    "hadoop-mapreduce-client-core-2.7.3",
    "htrace-core-3.1.0-incubating",
    "jackson-core-asl-1.9.13",
    "jackson-mapper-asl-1.9.13",
    "javax.servlet-api-3.1.0",
    "javax.ws.rs-api-2.0.1",
    "jcl-over-slf4j-1.7.16",
    "jetty-6.1.26",
    "jetty-util-6.1.26",
    "log4j-1.2.17",
    "netty-all-4.1.47.Final",
    "protobuf-java-2.5.0",
    "slf4j-api-1.7.16",
    "slf4j-log4j12-1.7.16",
    "xercesImpl-2.9.1",
    "xmlenc-0.52",
)
"""Every jar of which the JVMs load a class while they start, serve and are read from."""

_FOLDER: Final = f"hadoop-{VERSION}"


def class_path(progress: Progress | None = None) -> tuple[Path, ...]:
    """The jars, fetched into the user's cache if they are not there.

    Args:
        progress: Told in words what takes long, if it has to be done.

    Raises:
        SchemeError: They cannot be fetched.
        OutputError: The cache cannot be written.
    """

    def fill(folder: Path) -> None:
        if progress is not None:
            progress(f"Fetching {_ARCHIVE.holds}, once")
        with fetched(_ARCHIVE) as archive:
            _extract(archive, folder)

    folder = made_once(_FOLDER, fill)
    return tuple(folder / f"{name}.jar" for name in _JARS)


def is_fetched() -> bool:
    """Whether the jars are in the user's cache."""
    return (cache_folder() / _FOLDER).is_dir()


def _extract(archive: Path, folder: Path) -> None:
    missing = set(_JARS)
    with tarfile.open(archive, "r|gz") as members:
        for member in members:
            name = PurePosixPath(member.name)
            if name.suffix == ".jar" and name.stem in missing and (content := members.extractfile(member)):
                (folder / name.name).write_bytes(content.read())
                missing.discard(name.stem)
    if missing:
        raise SchemeError(f"{archive.name} lacks {', '.join(sorted(missing))}: it is not the archive that was pinned")
