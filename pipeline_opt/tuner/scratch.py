"""Plans as they are tried: with files of their own, so that nothing of the user's is written, read or locked."""

from __future__ import annotations

import tempfile
import warnings
from itertools import count
from typing import Any, Self

from pipeline_opt.build.dataset import build
from pipeline_opt.errors import PlanWarning
from pipeline_opt.plan import Plan
from pipeline_opt.variants import with_files_at, writes_files


class Scratch:
    """A folder for what plans write while they are tried; it is gone in the end."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pipeline_opt_tuning_", ignore_cleanup_errors=True)
        self._numbers = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def own(self, plan: Plan) -> Plan:
        """The plan with its caches and snapshots in a new place: empty, as in a first epoch."""
        return with_files_at(plan, f"{self._folder.name}/{next(self._numbers)}-") if writes_files(plan) else plan

    def build(self, plan: Plan) -> Any:
        """A dataset of the plan, with files of its own. What is only tried warns of nothing."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PlanWarning)
            return build(self.own(plan))
