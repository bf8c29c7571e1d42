"""What a Hadoop client is told by core-site.xml and hdfs-site.xml."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

FILES: Final = ("core-site.xml", "hdfs-site.xml")


def folders() -> list[Path]:
    """Where clients look: HADOOP_CONF_DIR, the folders on the CLASSPATH, HADOOP_HOME."""
    home = os.environ.get("HADOOP_HOME")
    named = [
        os.environ.get("HADOOP_CONF_DIR", ""),
        *os.environ.get("CLASSPATH", "").split(os.pathsep),
        os.path.join(home, "etc", "hadoop") if home else "",
    ]
    found = [Path(name) for name in named if name and not name.endswith((".jar", "*")) and os.path.isdir(name)]
    return list(dict.fromkeys(found))


def hadoop_settings(where: list[Path] | None = None) -> dict[str, str]:
    """The settings; of one that several files say, the first counts. A file that is not XML says nothing."""
    settings: dict[str, str] = {}
    for folder in folders() if where is None else where:
        for name in FILES:
            for key, value in _properties(folder / name):
                settings.setdefault(key, value)
    return settings


def name_nodes(authority: str, settings: Mapping[str, str]) -> list[str] | None:
    """Addresses of a nameservice's NameNodes; None if the settings know no nameservice of that name."""
    services = [name.strip() for name in settings.get("dfs.nameservices", "").split(",")]
    if authority not in services:
        return None
    nodes = [name.strip() for name in settings.get(f"dfs.ha.namenodes.{authority}", "").split(",") if name.strip()]
    keys = [f"dfs.namenode.rpc-address.{authority}.{node}" for node in nodes] or [
        f"dfs.namenode.rpc-address.{authority}"
    ]
    return [settings[key] for key in keys if key in settings]


def _properties(path: Path) -> Iterator[tuple[str, str]]:
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return
    for each in root.iter("property"):
        name, value = each.findtext("name"), each.findtext("value")
        if name and value is not None:
            yield name.strip(), value.strip()
