"""How a run is made: the accelerator, when it ends, how closely it is traced, and the bar that shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pipeline_opt.cli.console import Advance
from pipeline_opt.cli.options import Trace
from pipeline_opt.errors import UsageError
from pipeline_opt.profiler.accelerator import Accelerator
from pipeline_opt.profiler.loop import Limits
from pipeline_opt.reports import units

NONE: Final = "none"


@dataclass(frozen=True)
class Measuring:
    """What every run of a verb has in common; `spec` is the accelerator as it was typed."""

    accelerator: Accelerator | None
    limits: Limits
    trace: Trace
    spec: str = NONE

    def options(self) -> list[str]:
        """The options of `profile` that say the same."""
        found = [f"--trace={self.trace.value}", f"--accelerator={self.spec}"]
        if self.accelerator is not None:
            found.append(f"--in-flight={self.accelerator.in_flight}")
        limits = {name: getattr(self.limits, name) for name in ("steps", "seconds", "epochs")}
        return found + [f"--{name}={value}" for name, value in limits.items() if value is not None]

    def arguments(self) -> dict[str, Any]:
        """What `profile` takes besides a pipeline and a consumer."""
        limits = {name: getattr(self.limits, name) for name in ("steps", "seconds", "epochs")}
        return {**limits, "trace": self.trace.value}

    def share_done(self, steps: int, seconds: float) -> float:
        """How much of a run is over by its limits, 0 to 1; -1 where they do not tell."""
        limits = self.limits
        shares = [steps / limits.steps] if limits.steps else []
        shares += [seconds / limits.seconds] if limits.seconds else []
        return min(1.0, max(shares)) if shares else -1.0

    def describe(self) -> str:
        """The accelerator and the limits, for people."""
        on = "no accelerator" if self.accelerator is None else f"emulated accelerator: {self.accelerator.label}"
        limits = self.limits
        parts = [units.plural(limits.steps, "step")] if limits.steps is not None else []
        parts += [units.plural(limits.epochs, "epoch")] if limits.epochs is not None else []
        parts += [f"{limits.seconds:g} s"] if limits.seconds is not None else []
        return f"{on}; ends after {' or '.join(parts)}"


def accelerator_of(text: str | None, in_flight: int | None) -> Accelerator | None:
    """The accelerator that `--accelerator` and `--in-flight` say.

    Raises:
        UsageError: They are not valid.
    """
    found = None if text is None or text == NONE else Accelerator.parse(text)
    if in_flight is None:
        return found
    if found is None:
        raise UsageError(f"--in-flight={in_flight} needs an --accelerator, such as 20ms")
    return dataclasses.replace(found, in_flight=in_flight)


def limits_of(steps: int | None, seconds: float | None, epochs: int | None, otherwise: Limits) -> Limits:
    """The limits given, or some that always end if none is.

    Raises:
        UsageError: One is out of range.
    """
    given = Limits(steps=steps, seconds=seconds, epochs=epochs)
    return otherwise if given == Limits() else given


class RunProgress:
    """Tells a bar how far the runs are: several one after another, each an equal share.

    Args:
        advance: The bar.
        measuring: The runs.
        names: Of all runs, in their order.
    """

    def __init__(self, advance: Advance, measuring: Measuring, names: tuple[str, ...]) -> None:
        self._advance = advance
        self._measuring = measuring
        self._names = names

    def __call__(self, name: str, steps: int, seconds: float) -> None:
        """Take note of a step."""
        share = self._measuring.share_done(steps, seconds)
        before = self._names.index(name)
        whole = (before + share) / len(self._names) if share >= 0 else share
        self._advance(whole, f"{name}: {units.plural(steps, 'step')}, {seconds:.0f} s")

    def probing(self, label: str) -> Callable[[float, str], None]:
        """What takes note of a probe's share done; `label` is what the storage is called."""
        return lambda share, what: self._advance(share, f"probing {label}: {what}".replace(" :", ":"))

    def apart(self, name: str) -> None:
        """Take note of a run in a process of its own."""
        self._advance(-1.0, f"{name}: in a process of its own")

    def reading(self, name: str) -> None:
        """Take note that the steps are over and traces are read."""
        self._advance(-1.0, f"{name}: reading what was traced")
