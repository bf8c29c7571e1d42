"""What this machine has for remote storage: proxy, certificates, credentials, libhdfs, CLASSPATH, Java, Hadoop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline_opt.storage.hadoop.status import hadoop_findings
from pipeline_opt.storage.preflight import Finding
from pipeline_opt.storage.preflight.bucket import HOST
from pipeline_opt.storage.preflight.credentials import REMEDY, credentials
from pipeline_opt.storage.preflight.hadoop_settings import FILES, folders
from pipeline_opt.storage.preflight.libhdfs import libhdfs_findings
from pipeline_opt.storage.preflight.network import certificates, proxy_of

_CLIENTS: Final = ("hdfs-native", "tensorflow-io")
"""The packages that read `hdfs://`: one of them will do."""


def surroundings() -> tuple[Finding, ...]:
    """What is there and what is not: for `gs://`, for either client of `hdfs://`, and for an HDFS on this machine.

    Takes a second or two. Each thing is told once: what is there, by whom it is needed, and else the remedy.
    """
    gcs = (_proxy(), _certificates(), _credentials())
    return (*gcs, _hadoop_settings(), *map(_for_one_client, libhdfs_findings()), *_hadoop())


def _proxy() -> Finding:
    proxy = proxy_of(HOST, "https")
    if proxy is None:
        return Finding("proxy", True, f"none for {HOST}: connections are direct")
    # Without what may be a password.
    return Finding("proxy", True, f"{proxy.scheme}://{proxy.hostname}:{proxy.port or 1080} for {HOST}")


def _certificates() -> Finding:
    path = Path(certificates())
    if os.access(path, os.R_OK):
        return Finding("certificates", True, str(path))
    remedy = "set CURL_CA_BUNDLE to this system's bundle, or to what `python -m certifi` prints"
    return Finding("certificates", False, f"{path} cannot be read, and TensorFlow's client needs it", remedy)


def _credentials() -> Finding:
    shown = credentials()
    problems = "; ".join(shown.problems)
    if shown.source:
        return Finding("credentials", True, f"{shown.source}{f' ({problems})' if problems else ''}")
    return Finding("credentials", False, problems or "none for gs://: only public buckets can be read", REMEDY)


def _for_one_client(finding: Finding) -> Finding:
    """What only tensorflow-io needs is no failure: `hdfs://` may go by fsspec."""
    works = None if finding.works is False else finding.works
    return finding._replace(works=works, detail=f"{finding.detail} (hdfs:// by tensorflow-io)")


def _hadoop() -> Iterator[Finding]:
    found = hadoop_findings()
    reads = any(each.works for each in found if each.step in _CLIENTS)
    for each in found:
        yield each._replace(works=None) if reads and each.step in _CLIENTS and not each.works else each


def _hadoop_settings() -> Finding:
    having = [str(folder) for folder in folders() if any((folder / name).exists() for name in FILES)]
    if having:
        return Finding("Hadoop's settings", True, ", ".join(having))
    remedy = "set HADOOP_CONF_DIR where nameservices or a default file system are to be known"
    return Finding("Hadoop's settings", None, "no core-site.xml or hdfs-site.xml is found", remedy)
