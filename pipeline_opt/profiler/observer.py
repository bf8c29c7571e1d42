"""The instruments around a measuring loop: trace windows between steps, what is fetched ahead in them, samples of the model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from pipeline_opt.clock import Clock
from pipeline_opt.profiler.cores import Counters, core_times, on_core_s
from pipeline_opt.profiler.pacing import Pacing
from pipeline_opt.profiler.sampler import ModelSampler
from pipeline_opt.profiler.stagemap import StageMap
from pipeline_opt.profiler.trace import Tracer, WindowEvents, read_window
from pipeline_opt.storage.bridge import Watch


class Observer:
    """Watches a run. The loop tells it of iterators and steps; it never raises into the loop.

    Args:
        stages: The pipeline's stages.
        clock: The profiler's clock.
        pacing: Decides on windows.
    """

    def __init__(self, stages: StageMap, clock: Clock, pacing: Pacing) -> None:
        self.stages = stages
        self.sampler = ModelSampler(stages, clock, self._on_tick)
        self.tracer = Tracer(clock)
        self.ahead = Watch()
        self.pacing = pacing
        self._clock = clock
        self._origin_s = clock.now()
        self._core_spans: list[tuple[Counters, Counters]] = []
        self._core_begin: Counters = {}
        self._core_seen: Counters = {}
        self._counted = 0
        self._window_lock = threading.Lock()

    def start(self) -> None:
        """Begin: warm the tracer up, start sampling, open the first window."""
        if self.pacing.mode != "off":
            self.tracer.warm_up()
        self.sampler.start()
        self.ahead.begin()
        self._origin_s = self._clock.now()
        if self.pacing.mode != "off":
            self._open()

    def on_iterator(self, iterator: Any) -> None:
        """The loop made an iterator."""
        self.sampler.follow(iterator)

    def on_close(self) -> None:
        """The loop is about to end its iterator, and with it the threads that worked for it."""
        if self.tracer.is_open:
            self._core_seen.update(core_times())
        self.sampler.leave()

    def on_step(self, elements: int) -> None:
        """The loop finished a step of so many elements."""
        with self._window_lock:
            now_s = self._clock.now() - self._origin_s
            if self.tracer.is_open:
                if self.pacing.should_close(now_s, elements):
                    self._close()
            elif not self.tracer.is_busy:
                self._count_closed()
                if self.pacing.should_open(now_s):
                    self._open()

    def stop(self) -> None:
        """End the instruments; what they saw can be read afterwards."""
        with self._window_lock:
            self._close()
        self.sampler.stop()
        self.ahead.end()
        self.tracer.wait()

    def read(self) -> Iterator[WindowEvents]:
        """The events of one window after another; after the last the files are deleted."""
        for window in self.tracer.windows:
            events = read_window(window)
            if events is not None:
                yield events
        self.tracer.close()

    def discard(self, why: str) -> None:
        """End the instruments and give up what traces there are."""
        self.stop()
        self.tracer.close()
        self.tracer.refusal, self.tracer.windows = why, []

    @property
    def on_core_s(self) -> float | None:
        """Seconds that the process's threads were on a core while windows were open."""
        return on_core_s(self._core_spans)

    @property
    def problems(self) -> list[str]:
        """Why an instrument gave nothing, for the record's notes."""
        errors = [window.error for window in self.tracer.windows]
        return [text for text in (self.sampler.refusal, self.tracer.refusal, *errors) if text]

    def _on_tick(self) -> None:
        """Close a window that no step closes."""
        with self._window_lock:
            now_s = self._clock.now() - self._origin_s
            if self.tracer.is_open and self.pacing.overdue(now_s, self.sampler.most_elements):
                self._close()

    def _open(self) -> None:
        self._core_begin, self._core_seen = core_times(), {}
        self.tracer.start()
        if self.tracer.is_open:
            self.ahead.opened()
        self.pacing.opened(self._clock.now() - self._origin_s)

    def _close(self) -> None:
        if not self.tracer.is_open:
            return
        self.tracer.stop()
        self.ahead.closed(self._clock.now())
        self.pacing.closed()
        self._core_spans.append((self._core_begin, {**self._core_seen, **core_times()}))

    def _count_closed(self) -> None:
        """Tell the pacing how many events the last window held, once its file is there."""
        for window in self.tracer.windows[self._counted :]:
            self.pacing.counted(window.events(), window.end_s - window.start_s)
            self._counted += 1
