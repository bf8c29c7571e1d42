"""Where the data of workloads is kept: made once for a scale, whole or not there."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

from pipeline_opt.storage.cached import made_once
from suite.workload import Workload


def folder_of(workload: Workload, scale: float) -> Path:
    """The folder of a workload's data, made now if it is not there or was made by another version of the file that makes it."""
    code = hashlib.sha256(Path(inspect.getfile(workload.make)).read_bytes()).hexdigest()[:8]
    name = f"suite-{workload.data or workload.name}-{scale:g}-{code}"
    return made_once(name, lambda folder: workload.make(folder, scale))
