"""What this machine has for remote storage: proxy, certificates, credentials, Java, libhdfs, CLASSPATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from pipeline_opt.storage.preflight import Finding
from pipeline_opt.storage.preflight.bucket import HOST
from pipeline_opt.storage.preflight.credentials import REMEDY, credentials
from pipeline_opt.storage.preflight.hadoop_settings import FILES, folders
from pipeline_opt.storage.preflight.libhdfs import libhdfs_findings
from pipeline_opt.storage.preflight.network import certificates, proxy_of

JAVA_REMEDY: Final = "install a Java runtime (8, 11 or 17), and set JAVA_HOME to its folder"


def surroundings() -> tuple[Finding, ...]:
    """What is there and what is not, for `gs://` and `hdfs://` by TensorFlow's own clients. Takes a second or two."""
    return (_proxy(), _certificates(), _credentials(), _java(), *map(_for_one_client, libhdfs_findings()), _hadoop())


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


def _java() -> Finding:
    home = os.environ.get("JAVA_HOME", "")
    java = Path(home) / "bin" / "java" if home else None
    if java is not None and java.exists():
        return Finding("Java", True, str(java))
    found = shutil.which("java")
    if found:
        return Finding("Java", True, os.path.realpath(found))
    said = f"JAVA_HOME={home} has no bin/java" if home else "no Java is found"
    return Finding("Java", False, said, JAVA_REMEDY)


def _for_one_client(finding: Finding) -> Finding:
    """What only tensorflow-io needs is no failure: `hdfs://` may go by fsspec."""
    works = None if finding.works is False else finding.works
    return finding._replace(works=works, detail=f"{finding.detail} (hdfs:// by tensorflow-io)")


def _hadoop() -> Finding:
    having = [str(folder) for folder in folders() if any((folder / name).exists() for name in FILES)]
    if having:
        return Finding("Hadoop's settings", True, ", ".join(having))
    remedy = "set HADOOP_CONF_DIR where nameservices or a default file system are to be known"
    return Finding("Hadoop's settings", None, "no core-site.xml or hdfs-site.xml is found", remedy)
