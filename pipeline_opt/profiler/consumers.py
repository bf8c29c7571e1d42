"""What takes the batches: nothing, a function, a Keras model or an emulated accelerator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from pipeline_opt.clock import Clock, SystemClock
from pipeline_opt.errors import UsageError
from pipeline_opt.profiler.accelerator import Accelerator, Device
from pipeline_opt.record import ConsumerInfo


class Consumer:
    """Takes every batch and lets it go: the base, and what drains a pipeline as fast as it can.

    `loads` and `trains` say whether the loop need call `load` and `train` at all.
    """

    loads: bool = False
    trains: bool = False

    @property
    def info(self) -> ConsumerInfo:
        """What the record says of it."""
        return ConsumerInfo()

    def hold(self, batches: int) -> None:
        """Make room for as many batches at once on the device."""

    def take_whole(self) -> tuple[str, ...]:
        """Take what comes for batches of the usual size, whatever it holds; what people should know of that."""
        return ()

    def load(self, batch: Any) -> None:
        """Copy a batch to the device; returns when it is there."""

    def train(self, batch: Any, elements: int) -> tuple[float, float] | None:
        """Take a step with a batch of `elements`.

        Returns:
            When the step starts and ends by the run's clock, where the device has a time line of its own; None if
            it took the time of this call.
        """
        return None

    def finish(self) -> None:
        """Wait for the steps that are still unfinished."""


class CallableConsumer(Consumer):
    """Calls a function with every batch and lets its result go: nothing waits for what it computes asynchronously."""

    trains = True

    def __init__(self, function: Callable[[Any], object]) -> None:
        self._function = function

    @property
    def info(self) -> ConsumerInfo:
        """Named after the function."""
        name = str(getattr(self._function, "__name__", type(self._function).__name__))
        return ConsumerInfo("callable", name.replace("<lambda>", "lambda"))

    def train(self, batch: Any, elements: int) -> None:
        """Call the function."""
        self._function(batch)


class KerasConsumer(Consumer):
    """Trains a compiled Keras model on every batch.

    Raises:
        UsageError: the model is not compiled.
    """

    trains = True

    def __init__(self, model: Any) -> None:
        # Keras 3 says `compiled`; before, only the optimizer tells.
        compiled = getattr(model, "compiled", getattr(model, "optimizer", None) is not None)
        if not compiled:
            raise UsageError(f"the model {_name(model)!r} is not compiled; call model.compile(optimizer, loss) first")
        self._model = model

    @property
    def info(self) -> ConsumerInfo:
        """Named after the model."""
        return ConsumerInfo("keras", _name(self._model))

    def train(self, batch: Any, elements: int) -> None:
        """Call `train_on_batch`, which waits for the step's loss.

        Raises:
            UsageError: the batch is not `(x, y)` or `(x, y, sample_weight)`.
        """
        if not isinstance(batch, tuple) or len(batch) not in (2, 3):
            got = f"a tuple of {len(batch)}" if isinstance(batch, tuple) else f"a {type(batch).__name__}"
            raise UsageError(
                f"the model {_name(self._model)!r} cannot train on {got}; "
                "valid: batches (x, y) or (x, y, sample_weight)"
            )
        self._model.train_on_batch(*batch)


class EmulatedConsumer(Consumer):
    """Trains on an emulated accelerator."""

    trains = True

    def __init__(self, accelerator: Accelerator, clock: Clock) -> None:
        self._accelerator = accelerator
        self._clock = clock
        self.loads = accelerator.link_bytes_per_s is not None
        self.hold(1)

    @property
    def info(self) -> ConsumerInfo:
        """Its figures, with the preset's name and source."""
        it = self._accelerator
        return ConsumerInfo(
            kind="accelerator",
            label=it.label,
            step_s=it.step_s,
            link_bytes_per_s=it.link_bytes_per_s,
            in_flight=it.in_flight,
            preset=it.origin,
        )

    def hold(self, batches: int) -> None:
        """Make room for these and for the steps in flight."""
        self._device = Device(self._accelerator, self._clock, batches + self._accelerator.in_flight)

    def take_whole(self) -> tuple[str, ...]:
        """Take the published time for every step."""
        size = self._accelerator.batch_size
        if size is None:
            return ()
        self._accelerator = dataclasses.replace(self._accelerator, batch_size=None)
        self.hold(1)
        return (
            f"The pipeline is not known to yield batches: each of its elements is taken for a batch of {size}, "
            f"{self._accelerator.step_s:g} s a step.",
        )

    def load(self, batch: Any) -> None:
        """Copy the batch over the link."""
        self._device.load(batch)

    def train(self, batch: Any, elements: int) -> tuple[float, float]:
        """Dispatch the step."""
        return self._device.step(elements)

    def finish(self) -> None:
        """Wait for the device."""
        self._device.finish()


def as_consumer(value: object, clock: Clock | None = None) -> Consumer:
    """What is to take the batches.

    Args:
        value: None; a function of a batch; an `Accelerator`, or its text form; a compiled Keras model; a `Consumer`.
        clock: The clock of the run, which an emulated accelerator keeps time by.

    Raises:
        UsageError: it is none of these.
    """
    if value is None:
        return Consumer()
    if isinstance(value, Consumer):
        return value
    if isinstance(value, str):
        value = Accelerator.parse(value)
    if isinstance(value, Accelerator):
        return EmulatedConsumer(value, clock or SystemClock())
    if hasattr(value, "train_on_batch") and not isinstance(value, type):
        return KerasConsumer(value)
    if callable(value) and not isinstance(value, type):
        return CallableConsumer(value)
    raise UsageError(
        f"not a consumer: {value!r}; valid: None, a function that takes a batch, a compiled Keras model, "
        "an Accelerator, or its text such as '20ms' or 'h100-resnet50'"
    )


def _name(model: Any) -> str:
    return str(getattr(model, "name", None) or type(model).__name__)
