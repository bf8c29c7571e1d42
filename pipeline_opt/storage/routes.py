"""Which client opens a path: the operating system, TensorFlow (or tensorflow-io), or an fsspec file system."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any, Final

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.errors import SchemeError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.storage.uris import TFIO_SCHEMES, SchemeStatus, registered_schemes, scheme_of, scheme_status

fsspec = lazy_module("fsspec")
registry = lazy_module("fsspec.registry")

SHOWN: Final = ("file", "gs", "hdfs", "s3", "abfs", "az", "http", "https", "memory")
"""The schemes that people ask for."""

_TF_SCHEMES: Final = ("gs", "ram", *TFIO_SCHEMES)
"""Schemes for which TensorFlow is asked first; asking it imports it."""
_LIBHDFS_SCHEMES: Final = ("hdfs", "viewfs")
_PACKAGES: Final = {"hdfs": "hdfs-native", "viewfs": "hdfs-native"}


def route(path: str, access: Access = DEFAULT) -> str:
    """The client that opens a path: `local`, `tf` or `fsspec`.

    Files of this machine are read by the operating system or, with `via="fsspec"`, through the bridge all the same.

    Raises:
        SchemeError: None opens it, or the one asked for does not; says why and what would help, for each client.
    """
    scheme = scheme_of(path)
    status = route_status(scheme, access.via)
    if not status.opens:
        raise SchemeError(f"{scheme}:// cannot be opened here ({path}): {status.reason}; {status.remedy}")
    return status.via


def route_status(scheme: str, via: str = "auto") -> SchemeStatus:
    """Whether a scheme opens here and by which client.

    Args:
        scheme: The scheme, without `://`.
        via: `auto`, or the client that has to do it: `tf` or `fsspec`.
    """
    if via == "fsspec":
        return fsspec_status(scheme)
    if scheme == "file" or via == "tf":
        return scheme_status(scheme)
    if scheme in _LIBHDFS_SCHEMES:
        return _first(scheme, libhdfs_status, fsspec_status)
    if scheme not in _TF_SCHEMES and (scheme in registry.registry or scheme in registry.known_implementations):
        return fsspec_status(scheme)
    return _first(scheme, scheme_status, fsspec_status)


def schemes() -> tuple[SchemeStatus, ...]:
    """The schemes that people ask for and those registered in TensorFlow, each with its state. Imports TensorFlow."""
    others = sorted(registered_schemes() - set(SHOWN))
    return tuple(route_status(scheme) for scheme in (*SHOWN, *others))


def _first(scheme: str, *ask: Any) -> SchemeStatus:
    """The first client that opens a scheme; else what is wrong with each of them."""
    asked = []
    for each in ask:
        status: SchemeStatus = each(scheme)
        if status.opens:
            return status
        asked.append(status)
    names = ("TensorFlow", "fsspec")
    reason = "; ".join(f"{name}: {status.reason}" for name, status in zip(names, asked, strict=True))
    remedy = ", or ".join(dict.fromkeys(status.remedy for status in reversed(asked) if status.remedy))
    return SchemeStatus(scheme, False, reason, remedy)


def fsspec_status(scheme: str) -> SchemeStatus:
    """Whether an fsspec file system opens a scheme: its implementation has to be installed."""
    try:
        implementation = fsspec.get_filesystem_class(scheme)
    except ValueError:
        return SchemeStatus(scheme, False, f"no file system is called {scheme!r}", "check how the scheme is spelt")
    except ImportError as error:
        return SchemeStatus(scheme, False, str(error) or "its library is not installed", _remedy(scheme))
    except Exception as error:  # noqa: BLE001 - a library built for other versions fails in many ways
        return SchemeStatus(
            scheme, False, f"its library does not load: {type(error).__name__}: {error}", _remedy(scheme)
        )
    made_by = f"{implementation.__module__.partition('.')[0]}, {implementation.__name__}"
    return SchemeStatus(scheme, True, f"opened by fsspec ({made_by})", via="fsspec")


def _remedy(scheme: str) -> str:
    """The command that installs what an fsspec implementation needs."""
    module = str(registry.known_implementations[scheme]["class"]).partition(".")[0]
    if scheme in _PACKAGES or module != "fsspec":
        return f"pip install {_PACKAGES.get(scheme, module)}"
    extras = importlib.metadata.metadata("fsspec").get_all("Provides-Extra") or []
    extra = {"https": "http", "ssh": "sftp"}.get(scheme, scheme)
    return f"pip install 'fsspec[{extra}]'" if extra in extras else f"install what {scheme} needs"


def libhdfs_status(scheme: str) -> SchemeStatus:
    """Whether tensorflow-io opens a scheme of Hadoop: it also needs libhdfs, and Java's CLASSPATH."""
    status = scheme_status(scheme)
    if not status.opens:
        return status
    if libhdfs() is None:
        remedy = "put the folders of libhdfs.so and libjvm.so on LD_LIBRARY_PATH before Python starts"
        return SchemeStatus(scheme, False, "tensorflow-io needs libhdfs.so, which is nowhere to be found", remedy)
    if not os.environ.get("CLASSPATH"):
        remedy = 'export CLASSPATH="$(hadoop classpath --glob)"'
        return SchemeStatus(scheme, False, "tensorflow-io needs Hadoop's jars on CLASSPATH, which is not set", remedy)
    return status


def libhdfs() -> Path | None:
    """Where tensorflow-io would find libhdfs: below `HADOOP_HDFS_HOME`, else on `LD_LIBRARY_PATH`."""
    home = os.environ.get("HADOOP_HDFS_HOME")
    folders = [Path(home) / "lib" / "native"] if home else []
    folders += [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    return next((found for folder in folders if (found := folder / "libhdfs.so").exists()), None)
