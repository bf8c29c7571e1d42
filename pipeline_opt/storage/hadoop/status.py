"""What an HDFS on this machine needs, and what of it is here. Nothing is fetched or built to find out."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from typing import Final

from pipeline_opt.errors import SchemeError
from pipeline_opt.storage.cached import cache_folder
from pipeline_opt.storage.hadoop.jars import VERSION, is_fetched
from pipeline_opt.storage.hadoop.java import Java, find_java, find_jdk
from pipeline_opt.storage.hadoop.libhdfs import is_built
from pipeline_opt.storage.preflight.finding import Finding

_TENSORFLOW_IO: Final = "pip install 'pipeline-opt[hdfs]' (with TensorFlow 2.17)"


def hadoop_findings() -> tuple[Finding, ...]:
    """For `po.emulate(..., "hdfs://NAME")` and its two clients: Java, Hadoop, hdfs-native, tensorflow-io, libhdfs."""
    return (
        _java("Java for an emulated HDFS", find_java),
        _hadoop(),
        _package("hdfs-native", "pip install hdfs-native"),
        _package("tensorflow-io", _TENSORFLOW_IO),
        _libhdfs(),
    )


def _java(name: str, find: Callable[[], Java]) -> Finding:
    try:
        java = find()
    except SchemeError as error:
        told, _, remedy = str(error).rpartition("; ")
        return Finding(name, False, told, remedy, SchemeError)
    return Finding(name, True, f"Java {java.version} of {java.found}: {java.home}")


def _hadoop() -> Finding:
    name = f"Hadoop {VERSION} for an emulated HDFS"
    if is_fetched():
        return Finding(name, True, f"in {cache_folder()}")
    return Finding(name, None, f"not in {cache_folder()} yet", "the first emulated HDFS fetches it with pip, 210 MB")


def _package(name: str, remedy: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, "is not installed", remedy)


def _libhdfs() -> Finding:
    jdk = _java("libhdfs for an emulated HDFS", find_jdk)
    if jdk.works and not is_built() and shutil.which("gcc") is None and shutil.which("cc") is None:
        return jdk._replace(
            works=False, detail="it cannot be built: there is no gcc", remedy="apt-get install gcc libc6-dev"
        )
    if not jdk.works:
        return jdk
    state = "is built" if is_built() else "is built when it is first needed"
    return jdk._replace(detail=f"{state}, with {jdk.detail}")
