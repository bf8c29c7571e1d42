"""Whether a remote storage can be reached, before a client spends minutes on finding out that it cannot.

Each check takes seconds, asks what the client itself would ask, and only says no where the client would fail, too: what
cannot be known is left to the client.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Final

from pipeline_opt.storage.preflight.bucket import bucket_findings
from pipeline_opt.storage.preflight.finding import Finding, failed
from pipeline_opt.storage.preflight.libhdfs import libhdfs_findings
from pipeline_opt.storage.preflight.name_node import name_node_findings
from pipeline_opt.storage.uris import scheme_of

__all__ = ["Finding", "failed", "findings", "forget", "problem_now", "require"]

_HADOOP: Final = ("hdfs", "viewfs")
_passed: set[tuple[str, str, str, str]] = set()
_lock: Final = threading.Lock()


def findings(uri: str, route: str = "tf") -> Iterator[Finding]:
    """What a URI needs and whether it is there, one after the other; ends at the first that is not.

    Args:
        uri: A path on any storage; of most there is nothing that can be known before it is opened.
        route: Which client opens it: `tf` or `fsspec`.
    """
    scheme = scheme_of(uri)
    if scheme == "gs" and route == "tf":
        yield from bucket_findings(uri)
    if scheme in _HADOOP:
        seen: list[Finding] = []
        for finding in libhdfs_findings() if route == "tf" else ():
            seen.append(finding)
            yield finding
        if scheme == "hdfs" and failed(seen) is None:
            yield from name_node_findings(uri)


def problem_now(uri: str, route: str = "tf") -> Finding | None:
    """What keeps a URI from being reached now, whatever was seen before; whoever asks for the store next is told, too."""
    problem = failed(findings(uri, route))
    if problem is not None:
        forget()
    return problem


def require(uri: str, route: str = "tf", *, anew: bool = False) -> None:
    """Check that the storage of a URI can be reached, once for each store, proxy and process.

    With `anew`, also where it could be before. Clients say of a path that it is missing, too, where the store has gone
    away; so before an error says that, it is to be seen that the store still answers.

    Raises:
        SourceError: It cannot; names what is missing and the remedy. Within seconds.
    """
    proxy = os.environ.get("https_proxy", "")
    store = (scheme_of(uri), uri.split("://", 1)[-1].partition("/")[0], route, proxy)
    if store in _passed and not anew:
        return
    problem = problem_now(uri, route)
    if problem is not None:
        raise problem.error(f"cannot open {uri}: {problem}")
    with _lock:
        _passed.add(store)


def forget() -> None:
    """Check every store again when it is next asked for."""
    with _lock:
        _passed.clear()
