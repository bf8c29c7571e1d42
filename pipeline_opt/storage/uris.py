"""URI schemes: how a path is taken apart, and which schemes TensorFlow and tensorflow-io open on this machine."""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass
from typing import Final

from pipeline_opt.errors import SchemeError
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
TFIO_SCHEMES: Final = ("hdfs", "viewfs", "s3", "az", "http", "https", "oss")
"""Schemes that tensorflow-io registers when it is imported."""


@dataclass(frozen=True)
class SchemeStatus:
    """Whether a URI scheme can be opened here.

    Args:
        scheme: The scheme.
        opens: Whether it can be opened; that says nothing about credentials or the network, which show when a path is read.
        reason: Why, or why not.
        remedy: What would help where it cannot.
        via: The client that opens it: `local`, `tf` or `fsspec`; "" where none does.
    """

    scheme: str
    opens: bool
    reason: str
    remedy: str = ""
    via: str = ""


def scheme_of(path: str) -> str:
    """The scheme of a URI in lower case; `file` for a path without one."""
    match = _SCHEME.match(path)
    return match.group(1).lower() if match else "file"


def local_path(path: str) -> str | None:
    """The path in the local file system that `path` means; None if its scheme is not `file`."""
    if not _SCHEME.match(path):
        return path
    if scheme_of(path) != "file":
        return None
    rest = path[len("file://") :]
    return rest.removeprefix("localhost") if rest.startswith("localhost/") else rest


def folder_of_pattern(pattern: str) -> str:
    """The folder that a pattern begins with, before its first sign."""
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return literal.rpartition("/")[0]


def rooted(path: str) -> str:
    """The path; the root of a store, `scheme://host`, with the slash without which Java's HDFS client knows no such folder."""
    match = _SCHEME.match(path)
    return f"{path}/" if match and match.end() < len(path) and "/" not in path[match.end() :] else path


def join(folder: str, name: str) -> str:
    """The path of an entry of a folder."""
    return f"{folder.rstrip('/')}/{name}"


def scheme_status(scheme: str) -> SchemeStatus:
    """Whether TensorFlow opens one scheme, after loading tensorflow-io where that package provides it."""
    if scheme == "file":
        return SchemeStatus(scheme, True, "local files", via="local")
    if scheme in registered_schemes():
        return SchemeStatus(scheme, True, f"registered in TensorFlow {tf.__version__}", via="tf")
    if scheme not in TFIO_SCHEMES:
        known = ", ".join(sorted({*registered_schemes(), *TFIO_SCHEMES}))
        return SchemeStatus(scheme, False, "no file system of this name is known", f"known schemes: {known}")
    problem = _load_tensorflow_io()
    if not problem and scheme in registered_schemes():
        return SchemeStatus(scheme, True, "registered by tensorflow-io", via="tf")
    remedy = "pip install 'pipeline-opt[hdfs]' (tensorflow-io 0.37.1 with TensorFlow 2.17), or copy the data here"
    return SchemeStatus(scheme, False, problem or "tensorflow-io does not register it", remedy)


def registered_schemes() -> frozenset[str]:
    """The schemes that TensorFlow opens now. Imports TensorFlow."""
    return frozenset(tf.io.gfile.get_registered_schemes()) - {""}


def require_scheme(path: str) -> None:
    """Check that TensorFlow opens the scheme of `path`.

    Raises:
        SchemeError: it does not; the message has the reason and the remedy.
    """
    status = scheme_status(scheme_of(path))
    if not status.opens:
        raise SchemeError(f"{status.scheme}:// cannot be opened here ({path}): {status.reason}; {status.remedy}")


@functools.cache
def _load_tensorflow_io() -> str:
    """Import tensorflow-io, which registers its schemes; return what went wrong, or nothing."""
    try:
        importlib.import_module("tensorflow_io")
    except ModuleNotFoundError:
        return "it needs tensorflow-io, which is not installed"
    except Exception as error:  # noqa: BLE001 - a library built for another TensorFlow fails in many ways
        return f"tensorflow-io does not load with TensorFlow {tf.__version__}: {error}"
    return ""
