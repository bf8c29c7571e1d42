"""The version of this package, as its metadata says."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("pipeline-opt")
except PackageNotFoundError:
    VERSION = "0+unknown"
