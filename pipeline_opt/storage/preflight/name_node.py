"""An HDFS NameNode: whether its name is known, its port open, and Hadoop behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from pipeline_opt.storage.preflight.finding import Finding
from pipeline_opt.storage.preflight.hadoop_settings import folders, hadoop_settings, name_nodes
from pipeline_opt.storage.preflight.network import CONNECT_S, Unreachable, connect, within

PORT: Final = 8020
"""Hadoop's own default; many write 9000."""
LIMIT_S: Final = 9.0
ASK_S: Final = 5.0
"""Seconds of silence after which a NameNode counts as hanging: it answers a web request without asking anyone."""
_HADOOP_SAYS: Final = b"Hadoop IPC port"
"""What a NameNode's port answers to a web request, in every version since 2.0."""


def name_node_findings(uri: str) -> Iterator[Finding]:
    """What an `hdfs://` URI needs of the network: a NameNode that can be reached; ends at what fails."""
    settings = hadoop_settings()
    authority = uri.split("://", 1)[1].partition("/")[0].rpartition("@")[2]
    if not authority:
        authority = urlsplit(settings.get("fs.defaultFS", "")).netloc
    if not authority:
        yield Finding(
            "NameNode",
            False,
            f"{uri} names no NameNode, and no core-site.xml in {_looked()} says fs.defaultFS",
            "write hdfs://HOST:PORT/PATH, or set HADOOP_CONF_DIR to the folder with core-site.xml",
        )
        return
    addresses = name_nodes(authority, settings)
    if addresses == []:
        yield Finding(
            "NameNode",
            False,
            f"the nameservice {authority} has no dfs.namenode.rpc-address in {_looked()}",
            "set HADOOP_CONF_DIR to the folder with the cluster's hdfs-site.xml",
        )
        return
    yield _reach(authority, addresses or [authority], settings, is_service=addresses is not None)


def _reach(authority: str, addresses: list[str], settings: Mapping[str, str], *, is_service: bool) -> Finding:
    """The first NameNode that can be reached, else what is wrong with each."""
    problems: list[Unreachable] = []
    for address in addresses:
        host, port = _host_and_port(address)
        if port is None:
            return Finding("NameNode", False, f"{address}: the port is not a number", "write hdfs://HOST:PORT/PATH")
        try:
            foreign = within(LIMIT_S, lambda host=host, port=port: _speaks_otherwise(host, port))  # type: ignore[misc]
        except Unreachable as error:
            problems.append(error)
            continue
        if not foreign:
            return Finding("NameNode", True, f"{host}:{port} accepts connections")
        problems.append(
            Unreachable(
                f"{host}:{port} is no NameNode's RPC port: it answers {foreign!r}",
                f"use the port of fs.defaultFS, {PORT} or 9000 as a rule, not the web interface's",
            )
        )
    remedy = problems[0].remedy
    if not is_service and "." not in authority and ":" not in authority and "not known" in problems[0].detail:
        services = settings.get("dfs.nameservices", "")
        known = f"; nameservices known there: {services}" if services else ""
        remedy = (
            f"if {authority} is a nameservice, set HADOOP_CONF_DIR to the folder whose hdfs-site.xml has it "
            f"(looked in {_looked()}{known}); else {remedy}"
        )
    return Finding("NameNode", False, "; ".join(problem.detail for problem in problems), remedy)


def _speaks_otherwise(host: str, port: int) -> str:
    """The first line of a server that talks but is not Hadoop; nothing from one that is, or that ends the connection.

    Raises:
        Unreachable: It takes the connection and keeps silent, as a process does that hangs or is stopped.
    """
    with connect(host, port, CONNECT_S) as stream:
        stream.settimeout(ASK_S)
        heard = b""
        try:
            stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while len(heard) < 4096 and (part := stream.recv(4096)):
                heard += part
                if _HADOOP_SAYS in heard:
                    break
        except TimeoutError:
            if not heard:
                raise Unreachable(
                    f"{host}:{port} accepts connections, but says nothing within {ASK_S:g} s",
                    "check whether the NameNode hangs or is stopped (its log, and `hdfs haadmin -getServiceState`)",
                ) from None
        except OSError:
            # What ends the connection may be a NameNode all the same.
            pass
        if not heard.startswith(b"HTTP/") or _HADOOP_SAYS in heard:
            return ""
        return heard.split(b"\r\n", 1)[0].decode(errors="replace")[:80]


def _host_and_port(address: str) -> tuple[str, int | None]:
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        return address.strip("[]"), PORT
    return host.strip("[]"), int(port) if port.isdecimal() else None


def _looked() -> str:
    return ", ".join(map(str, folders())) or "HADOOP_CONF_DIR (not set)"
