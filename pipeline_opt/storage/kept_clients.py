"""File systems of fsspec that must not be let go: hdfs-native's client, which a forked process cannot end.

fsspec forgets its instances in a forked process (`subprocess` with `preexec_fn`, `multiprocessing` by fork). The client of
hdfs-native would then wait for threads that are not there, for ever. So fsspec does not get to keep it: it is kept here, one
for each NameNode, which all threads may use.
"""

from __future__ import annotations

import threading
from typing import Any, Final
from urllib.parse import urlsplit

from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage.uris import scheme_of

fsspec = lazy_module("fsspec")

_THREADED: Final = ("hdfs", "viewfs")
"""Schemes whose client has threads of its own."""

_kept: Final[dict[tuple[str, str, str], Any]] = {}
_lock: Final = threading.Lock()


def system_of(path: str, options: dict[str, Any]) -> tuple[Any, str]:
    """The fsspec file system that holds `path`, and the path's name there; errors are those of fsspec and of the client."""
    scheme = scheme_of(path)
    if scheme not in _THREADED:
        return fsspec.core.url_to_fs(path, **options)  # type: ignore[no-any-return]
    key = (scheme, urlsplit(path).netloc, repr(sorted(options.items())))
    with _lock:
        if key not in _kept:
            _kept[key] = fsspec.core.url_to_fs(path, **{**options, "skip_instance_cache": True})[0]
    return _kept[key], _kept[key]._strip_protocol(path)
