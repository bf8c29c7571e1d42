"""Hadoop's settings for a cluster of one machine, and for clients that hear of failures within seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

LOOPBACK: Final = "127.0.0.1"
BEHIND: Final = "127.0.0.2"
"""Where the DataNode listens. It registers from 127.0.0.1, and that is the address which clients are told: there, at the
same port, stands whatever passes their transfers on."""

Settings = Mapping[str, str | int | bool]


class Ports(NamedTuple):
    """The ports of a cluster: remote procedure calls to the NameNode, and transfers of blocks."""

    namenode: int
    transfers: int


_SERVER: Final[Settings] = {
    "dfs.replication": 1,
    "dfs.webhdfs.enabled": False,
    "dfs.namenode.http-address": f"{LOOPBACK}:0",
    "dfs.namenode.datanode.registration.ip-hostname-check": False,
    "dfs.namenode.safemode.extension": 0,
    "dfs.namenode.fs-limits.min-block-size": 1024,
    "dfs.namenode.heartbeat.recheck-interval": 2000,
    "dfs.namenode.edits.noeditlogchannelflush": True,
    "dfs.heartbeat.interval": 1,
    "dfs.datanode.ipc.address": f"{LOOPBACK}:0",
    "dfs.datanode.http.address": f"{LOOPBACK}:0",
    "ipc.client.connect.max.retries": 100,
    "ipc.client.connect.retry.interval": 100,
}
"""A DataNode that starts before its NameNode asks again every 0.1 s; one that is silent for 14 s counts as lost."""

_CLIENT: Final[Settings] = {
    "ipc.client.connect.timeout": 5000,
    "ipc.client.connect.max.retries": 3,
    "ipc.client.connect.retry.interval": 500,
    "ipc.client.connect.max.retries.on.timeouts": 1,
    "ipc.client.ping": False,
    "ipc.ping.interval": 8000,
    "dfs.client.socket-timeout": 15000,
    "dfs.client.max.block.acquire.failures": 5,
    "dfs.client.retry.window.base": 1000,
    "dfs.client.failover.max.attempts": 3,
    "dfs.client.failover.sleep.base.millis": 200,
    "dfs.client.failover.sleep.max.millis": 1000,
    "dfs.client.failover.connection.retries": 1,
    "dfs.client.failover.connection.retries.on.timeouts": 0,
    "dfs.client.block.write.retries": 1,
    "dfs.client.block.write.replace-datanode-on-failure.enable": False,
    "dfs.client.read.shortcircuit": False,
    "dfs.replication": 1,
}
"""A NameNode that is not there is an error after 2 s, a DataNode that stays away after 10 to 25 s: it may come back."""

_LOG: Final = """\
log4j.rootLogger={level},console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{{ISO8601}} %p %c{{2}}: %m%n
"""


def write_server(folder: Path, data: Path, ports: Ports, transfers_at: str) -> None:
    """The settings of both daemons, and the empty web applications that they insist on."""
    core = {"fs.defaultFS": f"hdfs://{LOOPBACK}:{ports.namenode}", "hadoop.tmp.dir": str(data)}
    addresses = {
        "dfs.namenode.rpc-address": f"{LOOPBACK}:{ports.namenode}",
        "dfs.datanode.address": f"{transfers_at}:{ports.transfers}",
    }
    _write(folder, core, {**_SERVER, **addresses}, "INFO")
    for application in ("hdfs", "datanode"):
        place = folder / "webapps" / application / "WEB-INF"
        place.mkdir(parents=True)
        (place / "web.xml").write_text("<web-app/>\n")


def write_client(folder: Path, clusters: Sequence[tuple[str | None, Ports]]) -> None:
    """The settings of clients, to whom a cluster can be `hdfs://name/` beside its address; the last is the default."""
    core = {"fs.defaultFS": f"hdfs://{LOOPBACK}:{clusters[-1][1].namenode}"}
    named = {name: f"{LOOPBACK}:{ports.namenode}" for name, ports in clusters if name is not None}
    _write(folder, core, {**_CLIENT, **_name_services(named)}, "FATAL")


def _name_services(addresses: Mapping[str, str]) -> Settings:
    """Services of one NameNode each: the only way for both clients to have a name without a port."""
    provider = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
    services: dict[str, str | int | bool] = {"dfs.nameservices": ",".join(addresses)} if addresses else {}
    for name, address in addresses.items():
        services[f"dfs.ha.namenodes.{name}"] = "only"
        services[f"dfs.namenode.rpc-address.{name}.only"] = address
        services[f"dfs.client.failover.proxy.provider.{name}"] = provider
    return services


def _write(folder: Path, core: Settings, hdfs: Settings, level: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"core-site.xml": _xml(core), "hdfs-site.xml": _xml(hdfs), "log4j.properties": _LOG.format(level=level)}
    for name, text in texts.items():
        # Replaced as a whole: a client may be reading it.
        part = folder / f".{name}"
        part.write_text(text)
        part.replace(folder / name)


def _xml(settings: Settings) -> str:
    text = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in settings.items()}
    lines = (f"<property><name>{name}</name><value>{escape(value)}</value></property>" for name, value in text.items())
    return "\n".join(["<configuration>", *lines, "</configuration>", ""])
