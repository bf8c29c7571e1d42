"""How batches get from an iterator to the loop: one after another, or loaded ahead by a thread."""

from __future__ import annotations

import itertools
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from pipeline_opt.clock import Clock
from pipeline_opt.profiler.consumers import Consumer

MeasureBatch = Callable[[Any], tuple[int, int]]
"""Elements and bytes of a batch."""


class Delivery(NamedTuple):
    """A batch that is on the device, with when it came out of the pipeline and when it was loaded."""

    batch: Any
    elements: int
    nbytes: int
    arrived: float
    load_start: float
    load_end: float


class Feed(Protocol):
    """Gives the loop loaded batches."""

    def take(self) -> Delivery:
        """The next batch, once it is loaded; raises StopIteration after the last."""
        ...

    def release(self, moment: float) -> None:
        """Say that the device is done with the oldest batch taken, at some moment from now on."""
        ...

    def close(self) -> None:
        """Let go of the iterator; nothing uses it any more."""
        ...


class DirectFeed:
    """Fetches and loads in the loop itself, so that both follow the step before."""

    def __init__(self, iterator: Iterator[Any], consumer: Consumer, clock: Clock, measure: MeasureBatch) -> None:
        self._iterator: Iterator[Any] | None = iterator
        self._consumer = consumer
        self._now = clock.now
        self._measure = measure

    def take(self) -> Delivery:
        """Fetch a batch and load it."""
        return _deliver(self._iterator, self._consumer, self._now, self._measure)

    def release(self, moment: float) -> None:
        """Nothing waits for the memory."""

    def close(self) -> None:
        """Let go of the iterator."""
        self._iterator = None


class BufferedFeed:
    """Double buffering: a thread fetches and loads batches while the device computes.

    The device has room for `ahead` loaded batches and the one that it computes with. As with tf.data's own prefetch,
    the next batch is asked for only when there is room for it.

    Args:
        ahead: Loaded batches that may wait, from 1.
    """

    def __init__(
        self, iterator: Iterator[Any], consumer: Consumer, clock: Clock, measure: MeasureBatch, ahead: int
    ) -> None:
        self._iterator: Iterator[Any] | None = iterator
        self._consumer = consumer
        self._clock = clock
        self._measure = measure
        self._room = ahead + 1
        self._ready: deque[Delivery] = deque()
        self._free_at: deque[float] = deque()
        self._stopped = False
        self._ended = False
        self._error: BaseException | None = None
        self._changed = clock.condition()
        self._thread = threading.Thread(target=self._run, name="pipeline-opt-load", daemon=True)
        self._thread.start()

    def take(self) -> Delivery:
        """Wait for a loaded batch; what the thread failed with is raised once the batches before it are gone."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._ready) or self._ended)
            if not self._ready:
                raise self._error or StopIteration
            delivery = self._ready.popleft()
        return delivery._replace(arrived=self._clock.now())

    def release(self, moment: float) -> None:
        """Give the memory of the oldest batch taken back to the thread."""
        with self._changed:
            self._free_at.append(moment)
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread: it finishes the batch that it is at, if any."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ended)
        self._thread.join()
        self._ready.clear()
        self._iterator = self._error = None

    def _run(self) -> None:
        try:
            for number in itertools.count():
                if not self._wait_for_room(number):
                    break
                delivery = _deliver(self._iterator, self._consumer, self._clock.now, self._measure)
                with self._changed:
                    self._ready.append(delivery)
                    self._changed.notify_all()
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001  the loop raises it, in its own thread
            release_frames(error)
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _wait_for_room(self, number: int) -> bool:
        with self._changed:
            full = number >= self._room
            self._changed.wait_for(lambda: self._stopped or not full or bool(self._free_at))
            if self._stopped:
                return False
            free_at = self._free_at.popleft() if full else self._clock.now()
        self._clock.sleep_until(free_at)
        return True


def release_frames(error: BaseException) -> None:
    """Let go of what the frames of an error hold, among it the iterator, which could not be ended otherwise."""
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        link = chain.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            traceback.clear_frames(link.__traceback__)
            chain += [link.__cause__, link.__context__]


def _deliver(
    iterator: Iterator[Any] | None, consumer: Consumer, now: Callable[[], float], measure: MeasureBatch
) -> Delivery:
    if iterator is None:
        raise StopIteration
    batch = next(iterator)
    arrived = now()
    elements, nbytes = measure(batch)
    if not consumer.loads:
        return Delivery(batch, elements, nbytes, arrived, arrived, arrived)
    load_start = now()
    consumer.load(batch)
    return Delivery(batch, elements, nbytes, arrived, load_start, now())
