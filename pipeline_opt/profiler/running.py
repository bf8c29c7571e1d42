"""A run under way, as another thread than its own sees it: how long nothing has ended, and the record of what there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline_opt.clock import Clock
from pipeline_opt.profiler.step_log import LoopResult, StepLog
from pipeline_opt.record import Record


@dataclass(frozen=True)
class Running:
    """A run under way. No signal and no time limit reaches a thread that waits inside TensorFlow; another thread can act.

    Args:
        log: What the run writes down.
        clock: Its clock.
        finish: Makes the record of a run that is over.
    """

    log: StepLog
    clock: Clock
    finish: Callable[[LoopResult], Record]

    @property
    def is_over(self) -> bool:
        """Whether its thread has ended the loop."""
        return self.log.closed

    @property
    def waits_for_data(self) -> bool:
        """Whether its thread waits for the pipeline."""
        return not self.is_over and self.log.at == "pipeline"

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return self.clock.now() - self.log.start

    @property
    def quiet_s(self) -> float:
        """Seconds since a step last ended."""
        return self.clock.now() - self.log.last

    def give_up(self, reason: str) -> Record:
        """What was measured, as a partial record that ends with the last step; the run is no longer observed afterwards."""
        return self.finish(self.log.result(reason))
