"""On what a benchmark ran."""

from __future__ import annotations

import datetime
import platform
from typing import Any

import tensorflow as tf

from pipeline_opt.machine import machine


def environment() -> dict[str, Any]:
    """The machine, versions and the time, as plain data."""
    here = machine()
    return {
        "cpu": here.cpu,
        "cores": here.cores,
        "ram_bytes": here.ram_bytes,
        "load": here.load,
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
