"""Plans as they are tried: with files of their own, so that nothing of the user's is written, read or locked."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
import weakref
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

    @property
    def path(self) -> str:
        """The folder, to whose end its parts' names are put."""
        return f"{self._folder.name}{os.sep}"

    def own(self, plan: Plan) -> Plan:
        """The plan with its caches and snapshots in a new place: empty, as in a first epoch."""
        return self._placed(plan)[0]

    def build(self, plan: Plan) -> Any:
        """A dataset of the plan, with files of its own, which go as it goes. What is only tried warns of nothing."""
        placed, place = self._placed(plan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PlanWarning)
            dataset = build(placed)
        if place:
            weakref.finalize(dataset, shutil.rmtree, place, ignore_errors=True)
        return dataset

    def _placed(self, plan: Plan) -> tuple[Plan, str]:
        if not writes_files(plan):
            return plan, ""
        place = f"{self.path}{next(self._numbers)}"
        os.mkdir(place)
        return with_files_at(plan, f"{place}{os.sep}"), place
