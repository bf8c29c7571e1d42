"""A probed storage as users hold it: the figures with everything that can be shown of them."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import machine
from pipeline_opt.reports.info_probe import probe_info
from pipeline_opt.run import write_text
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.probe.advice import Advice, advise

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

plots = lazy_module("pipeline_opt.reports.plots")
tables = lazy_module("pipeline_opt.reports.table")


class Probe(StorageProfile):
    """What was measured of one storage; see `StorageProfile` for what it holds and in which units."""

    @classmethod
    def of(cls, profile: StorageProfile) -> Self:
        """A probe of any profile."""
        return cls(**{field.name: getattr(profile, field.name) for field in dataclasses.fields(StorageProfile)})

    def table(self, *others: StorageProfile) -> pd.DataFrame:
        """One row a storage: times in seconds, rates in bytes a second."""
        frame: pd.DataFrame = tables.probe_table(by_name((self, *others)))
        return frame

    def plot(self, *others: StorageProfile) -> Figure:
        """Throughput over streams with the knee, times to first byte, the effect of a request's size; of several in one."""
        figure: Figure = plots.plot_probe(probe_info(by_name((self, *others))))
        return figure

    def advice(self, demand_bytes_per_s: float | None = None, **arguments: Any) -> Advice:
        """Settings by Little's law; further arguments are those of `storage.probe.advice.advise`.

        Args:
            demand_bytes_per_s: What the consumer takes of stored bytes; None: as fast as can be.
            **arguments: `files`, `file_bytes`, `batch_bytes`, `cores` (this machine's unless given).
        """
        return advise(self, demand_bytes_per_s=demand_bytes_per_s, **{"cores": machine().cores, **arguments})

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the figures as JSON, for `StorageProfile.load` and for the emulator.

        Raises:
            OutputExistsError: Something is there, and `force` is not set.
            OutputError: It cannot be written.
        """
        return write_text(path, json.dumps(self.to_json(), indent=2) + "\n", force=force)

    def __str__(self) -> str:
        return self.table().T.to_string()


def by_name(profiles: tuple[StorageProfile, ...]) -> dict[str, StorageProfile]:
    """Profiles by their URIs, with a number where one stands twice."""
    named: dict[str, StorageProfile] = {}
    for profile in profiles:
        same = sum(other.uri == profile.uri for other in named.values())
        named[f"{profile.uri} ({same + 1})" if same else profile.uri] = profile
    return named
