"""An accelerator to train on where there is none: what it is, and its time line."""

from __future__ import annotations

import difflib
import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline_opt.bounds import MOST_IN_BATCH, MOST_ON_DEVICE, counts, is_count
from pipeline_opt.clock import Clock
from pipeline_opt.errors import UsageError
from pipeline_opt.profiler.presets import PRESETS, Preset

SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
BYTES_PER_S: Final = {"KB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9, "TB/s": 1e12}

STEP_S: Final = (1e-9, 3600.0)
LINK_BYTES_PER_S: Final = (1.0, 1e15)
"""What an accelerator can be like: wide of any that there is, and within what a clock can wait for."""

_TIME = re.compile(r"([0-9.]+(?:e-?[0-9]+)?)\s*(us|ms|s)")
_SPEED = re.compile(r"([0-9.]+(?:e-?[0-9]+)?)\s*([KMGT]B/s)", re.IGNORECASE)


@dataclass(frozen=True)
class Accelerator:
    """An emulated accelerator: it holds every batch for as long as a real one would, and uses no CPU meanwhile.

    Args:
        step_s: Seconds of computing for a batch.
        link_bytes_per_s: Bytes a second from host to device. Loading a batch copies its numbers, strings stay on the host,
            and lasts until they could have crossed the link, so that a link faster than this machine copies is as fast as
            that. None: the accelerator takes batches where they are, and nothing is loaded.
        in_flight: Steps that the host may be ahead. 0: the host waits for the end of each step, as a loop does that
            reads its loss. n: it goes on while no more than n steps are unfinished, as with asynchronous dispatch.
        batch_size: The batch that `step_s` is for: one of n elements then takes `step_s * n / batch_size`, an
            assumption that holds while batches fill the accelerator. None: every batch takes `step_s`.
        name: The preset's name, else None.

    Raises:
        UsageError: an argument is out of range.
    """

    step_s: float
    link_bytes_per_s: float | None = None
    in_flight: int = 0
    batch_size: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        speed, size = self.link_bytes_per_s, self.batch_size
        self._require(_is_in(self.step_s, STEP_S) or self.step_s == 0, "step_s", "seconds: 0, or 1e-9 to 3600")
        self._require(
            speed is None or _is_in(speed, LINK_BYTES_PER_S),
            "link_bytes_per_s",
            "bytes a second from 1 to 1e15, or None",
        )
        self._require(is_count(self.in_flight, 0, MOST_ON_DEVICE), "in_flight", counts(0, MOST_ON_DEVICE))
        self._require(
            size is None or is_count(size, 1, MOST_IN_BATCH), "batch_size", f"{counts(1, MOST_IN_BATCH)}, or None"
        )

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """A model on an accelerator as MLPerf Storage measured it, such as `h100-resnet50`; see `presets`.

        Args:
            name: `a100` or `h100`, and `resnet50`, `unet3d` or `cosmoflow`.
            changes: Other values for some arguments, `in_flight=2`. `batch_size=None` makes every batch take the
                published time, whatever its size.

        Raises:
            UsageError: there is no such preset; the message lists them.
        """
        found = _find_preset(name)
        published: dict[str, Any] = {
            "step_s": found.step_s,
            "link_bytes_per_s": found.link_bytes_per_s,
            "batch_size": found.batch_size,
            "name": found.name,
        }
        return cls(**{**published, **changes})

    @classmethod
    def parse(cls, text: str) -> Self:
        """An accelerator from text: `20ms`, `20ms@25GB/s`, `h100-resnet50`, `h100-resnet50@12GB/s`.

        Raises:
            UsageError: the text has none of these forms.
        """
        step, at, link = text.strip().partition("@")
        time = _TIME.fullmatch(step.strip())
        speed = _SPEED.fullmatch(link.strip())
        looks_like_time = step[:1].isdigit() or step[:1] in "-+."
        if (at and not speed) or (looks_like_time and not time):
            raise UsageError(f"not an accelerator: {text!r}; {_valid_forms()}")
        changes: dict[str, Any] = {}
        if speed:
            unit = {k.lower(): v for k, v in BYTES_PER_S.items()}[speed[2].lower()]
            changes["link_bytes_per_s"] = _to_float(speed[1], text) * unit
        if time:
            return cls(step_s=_to_float(time[1], text) * SECONDS[time[2]], **changes)
        return cls.preset(step.strip(), **changes)

    @property
    def label(self) -> str:
        """For titles: `resnet50 on h100`, `20 ms a step`."""
        if self.name:
            device, dash, model = self.name.partition("-")
            return f"{model} on {device}" if dash else self.name
        unit = "s" if self.step_s >= 1 else "ms" if self.step_s >= 1e-3 or self.step_s == 0 else "us"
        return f"{self.step_s / SECONDS[unit]:.4g} {unit} a step"

    @property
    def origin(self) -> str | None:
        """The preset's name and the file that its figures are from, or None."""
        known = next((p for p in PRESETS if p.name == self.name), None)
        return f"{known.name} ({known.source})" if known else None

    def seconds_for(self, elements: int) -> float:
        """Seconds of computing for a batch of `elements`."""
        return self.step_s if self.batch_size is None else self.step_s * (elements / self.batch_size)

    def _require(self, holds: bool, argument: str, valid: str) -> None:
        if not holds:
            raise UsageError(f"accelerator: {argument}={getattr(self, argument)!r} is out of range; valid: {valid}")


class Device:
    """One accelerator at work: its time line and the memory that batches are copied to.

    Args:
        accelerator: What to emulate.
        clock: The clock of the run.
        buffers: Batches that its memory holds at once.
    """

    def __init__(self, accelerator: Accelerator, clock: Clock, buffers: int = 1) -> None:
        self._accelerator = accelerator
        self._clock = clock
        self._free_at = -math.inf
        self._unfinished: deque[float] = deque()
        self._buffers = [_Buffer() for _ in range(buffers)]
        self._loads = 0

    def load(self, batch: Any) -> None:
        """Copy a batch over the link; returns when the bytes that a device holds have had the time to cross."""
        speed = self._accelerator.link_bytes_per_s
        if speed is None:
            return
        start = self._clock.now()
        copied = self._buffers[self._loads % len(self._buffers)].fill(batch)
        self._loads += 1
        self._clock.sleep_until(start + copied / speed)

    def step(self, elements: int) -> tuple[float, float]:
        """Compute with a batch; returns once no more steps are unfinished than may be.

        Returns:
            When the step starts and ends on the device. It starts when it is dispatched, or when the step before ends.
        """
        start = max(self._clock.now(), self._free_at)
        end = self._free_at = start + self._accelerator.seconds_for(elements)
        self._unfinished.append(end)
        while len(self._unfinished) > self._accelerator.in_flight:
            self._clock.sleep_until(self._unfinished.popleft())
        return start, end

    def finish(self) -> None:
        """Wait for the steps that are still unfinished."""
        while self._unfinished:
            self._clock.sleep_until(self._unfinished.popleft())


class _Buffer:
    """Memory for one batch; grows to the largest."""

    def __init__(self) -> None:
        self._memory: NDArray[np.uint8] = np.empty(0, np.uint8)

    def fill(self, batch: Any) -> int:
        """Copy what is numbers in a batch; gives its bytes."""
        arrays = list(numeric_arrays(batch))
        needed = sum(_aligned(array.nbytes) for array in arrays)
        if needed > len(self._memory):
            self._memory = np.empty(needed, np.uint8)
        at = 0
        for array in arrays:
            place = self._memory[at : at + array.nbytes]
            np.copyto(place.view(array.dtype).reshape(array.shape), array)
            at += _aligned(array.nbytes)
        return sum(array.nbytes for array in arrays)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // 64) * 64


def numeric_arrays(batch: Any) -> Iterator[NDArray[Any]]:
    """The arrays of numbers that a batch is made of: nested tuples, lists and mappings, ragged and sparse tensors.

    Strings are left out: no accelerator holds them.
    """
    if isinstance(batch, dict):
        batch = tuple(batch.values())
    elif hasattr(batch, "nested_row_splits"):
        batch = (batch.flat_values, *batch.nested_row_splits)
    elif hasattr(batch, "dense_shape"):
        batch = (batch.indices, batch.values)
    if isinstance(batch, tuple | list):
        for part in batch:
            yield from numeric_arrays(part)
        return
    array = np.asarray(batch)
    if array.dtype.kind not in "OSU":
        yield array


def _find_preset(name: str) -> Preset:
    for preset in PRESETS:
        if preset.name == name.lower():
            return preset
    near = difflib.get_close_matches(name.lower(), [p.name for p in PRESETS], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"no accelerator is called {name!r}; {_valid_forms()}{hint}")


def _valid_forms() -> str:
    names = ", ".join(sorted(p.name for p in PRESETS))
    return (
        f"valid: a step time such as '20ms' (us, ms, s), or one of {names}; each with a link or without: '20ms@25GB/s'"
    )


def _to_float(digits: str, text: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise UsageError(f"not an accelerator: {text!r}; {_valid_forms()}") from None


def _is_in(value: Any, bounds: tuple[float, float]) -> bool:
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return is_number and bool(bounds[0] <= value <= bounds[1])
