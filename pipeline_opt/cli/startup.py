"""Loading TensorFlow without what it prints of drivers and plug-ins that nobody asked for."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.build.runtime import devices
from pipeline_opt.cli.console import progress_bar
from pipeline_opt.errors import UsageError
from pipeline_opt.storage import gcs

_NOISE: Final = re.compile(
    r"All log messages before absl::InitializeLog"
    r"|^[IW]0000 "
    r"|^\S+ \S+: [IW] "
    r"|cuInit|cudart|[Cc]uda drivers|cuda_platform"
    r"|Unable to register cu(FFT|DNN|BLAS) factory"
    r"|computation_placer"
)
"""Lines that say nothing of the user's pipeline: information, and errors about accelerators that are not there."""


def load_tensorflow(access: Access = DEFAULT) -> None:
    """Import TensorFlow and find its devices, which is when it prints most; whatever looks like an error is kept.

    Args:
        access: What its GCS client is to do: it takes its settings now.

    Raises:
        UsageError: It does not load.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    gcs.apply(access, watchful=True)
    if "tensorflow" in sys.modules:
        return
    try:
        with progress_bar("Loading TensorFlow"), _filtered_stderr():
            devices()
    except ImportError as error:
        raise UsageError(f"TensorFlow does not load: {error}") from error


@contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Hold back what the process writes to stderr, its libraries included, and then write all but the noise."""
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if not _NOISE.search(line):
                    print(line, file=sys.stderr)
