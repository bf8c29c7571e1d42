"""What a workload is: data, the pipeline as a user writes it, and what may be varied in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

AUTO: Final = -1
"""tf.data's AUTOTUNE."""


@dataclass(frozen=True)
class Knobs:
    """How a pipeline's knobs are turned.

    Args:
        calls: Calls of each map at once; None for one after another.
        cycle: Files read at once; None for one after another.
        prefetch: Batches ready ahead at the end; None for no prefetch.
        cache: Where a cache stands; empty for none. A form says which places it knows.
        rewrites: Whether TensorFlow's own rewrites are on: untold, it runs maps in parallel and adds a prefetch by itself.
    """

    calls: int | None = None
    cycle: int | None = None
    prefetch: int | None = None
    cache: str = ""
    rewrites: bool = True

    @property
    def map(self) -> dict[str, Any]:
        """Arguments of `Dataset.map`."""
        return {"num_parallel_calls": self.calls}

    @property
    def interleave(self) -> dict[str, Any]:
        """Arguments of `Dataset.interleave`."""
        if self.cycle is None:
            return {"cycle_length": 1}
        return {"cycle_length": None if self.cycle == AUTO else self.cycle, "num_parallel_calls": self.cycle}

    def cached(self, dataset: tf.data.Dataset, place: str) -> tf.data.Dataset:
        """The dataset behind a cache in memory, if that is its place."""
        return dataset.cache() if self.cache == place else dataset

    def finished(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """The dataset with the prefetch at its end, and with TensorFlow's own rewrites off if they are to be."""
        if self.prefetch is not None:
            dataset = dataset.prefetch(self.prefetch)
        if self.rewrites:
            return dataset
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        return dataset.with_options(options)

    def __str__(self) -> str:
        words = {None: "-", AUTO: "auto"}
        numbers = {"calls": self.calls, "cycle": self.cycle, "prefetch": self.prefetch}
        told = [f"{name} {words.get(number, number)}" for name, number in numbers.items()]
        told += [f"cache {self.cache}"] if self.cache else []
        return ", ".join(told if self.rewrites else [*told, "rewrites off"])


NAIVE: Final = Knobs(rewrites=False)
FORGOTTEN: Final = Knobs()
"""A user who gave no knob at all."""
AUTOTUNE: Final = Knobs(AUTO, AUTO, AUTO)


def heuristic(cores: int) -> Knobs:
    """All parallelism is the number of cores."""
    return Knobs(cores, cores, cores)


Form = Callable[[str, Knobs], tf.data.Dataset]
"""Makes a pipeline over the data at a place."""

WRITTEN: Final = "written"
"""The form that the user wrote."""


@dataclass(frozen=True)
class Setting:
    """A form of a workload, and how its knobs are turned."""

    form: str
    knobs: Knobs

    def __str__(self) -> str:
        return f"{self.form}: {self.knobs}"


def settings(
    forms: Iterable[str] = (WRITTEN,),
    calls: Iterable[int | None] = (None, 1, 2, AUTO),
    cycle: Iterable[int | None] = (None, AUTO),
    prefetch: Iterable[int | None] = (AUTO,),
    cache: Iterable[str] = ("",),
) -> tuple[Setting, ...]:
    """Every combination: the grid of an oracle."""
    found = itertools.product(forms, calls, cycle, prefetch, cache)
    return tuple(Setting(form, Knobs(c, files, ahead, place)) for form, c, files, ahead, place in found)


@contextmanager
def local(folder: Path) -> Iterator[str]:
    """Data that is read where it was made."""
    yield str(folder)


@dataclass(frozen=True)
class Workload:
    """A job of real work.

    Args:
        name: Its name, which is also its module's.
        sentence: What it does.
        family: What kind of job it is; some bounds are for one family.
        make: Writes the data into an empty folder; the same for the same scale, 1 being the full size.
        dataset: The pipeline as a user writes it.
        grid: What the oracle tries.
        forms: The same job written otherwise by hand, by name.
        by_hand: The best of these as far as known: a figure to hold others against.
        given: How the knobs of the pipeline that is handed to `optimize` are turned.
        epochs: Epochs that the job runs.
        rows: What of the elements is the same in every run: `same` (all rows, in any order and in any batches) or `shape` (their
            number, types and shapes, since their content is drawn, or follows from the order).
        memory_bytes: The budget of memory that `optimize` is given; None for what it takes by itself.
        place: From where the data is read.
        data: The name of the data, where workloads share it.
    """

    name: str
    sentence: str
    family: str
    make: Callable[[Path, float], None]
    dataset: Form
    grid: tuple[Setting, ...]
    forms: Mapping[str, Form] = field(default_factory=dict)
    by_hand: Setting | None = None
    given: Knobs = AUTOTUNE
    epochs: int = 1
    rows: str = "same"
    memory_bytes: int | None = None
    place: Callable[[Path], AbstractContextManager[str]] = local
    data: str = ""

    def __post_init__(self) -> None:
        used = [*self.grid, *([self.by_hand] if self.by_hand else [])]
        unknown = {setting.form for setting in used} - {WRITTEN, *self.forms}
        if unknown:
            raise ValueError(
                f"{self.name}: no form is called {', '.join(sorted(unknown))}; there are {[WRITTEN, *self.forms]}"
            )
        if self.rows not in ("same", "shape"):
            raise ValueError(f"{self.name}: rows={self.rows!r}; valid: same, shape")

    def at(self, scale: float) -> Workload:
        """The workload at a scale of its data: what does not fit in memory at full size does not fit at any."""
        return self if self.memory_bytes is None else replace(self, memory_bytes=round(self.memory_bytes * scale))

    def build(self, place: str, setting: Setting) -> tf.data.Dataset:
        """The pipeline of a setting."""
        form = self.dataset if setting.form == WRITTEN else self.forms[setting.form]
        return form(place, setting.knobs)


def scaled(number: int, scale: float, least: int = 1) -> int:
    """A number of things at a scale."""
    return max(least, round(number * scale))
