"""Datasets whose batches take a known time to come, on a fake clock, and whose buffers are filled while nobody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fake_clock import FakeClock


class FakeDataset:
    """Batches of some sizes, `each` seconds apart, the first after `fill` seconds more.

    Args:
        clock: Passes while a batch is made.
        sizes: Examples of each batch; a batch is that number.
        each: Seconds to make one.
        fill: Seconds more for the first.
        buffer: Batches that are made while nobody asks.
        fails_at: The batch whose making raises.
        on_batch: Called with the number of each batch as it is handed over.
        teardown: Seconds that ending an iterator takes.
        cached: Seconds to make a batch from the second iterator on.
        cores: The iterators that share the processor: a batch takes twice as long while another fills its buffer.
    """

    def __init__(
        self,
        clock: FakeClock,
        sizes: list[int],
        each: float,
        fill: float = 0.0,
        buffer: int = 0,
        fails_at: int | None = None,
        on_batch: Callable[[int], object] = lambda number: None,
        teardown: float = 0.0,
        cached: float | None = None,
        cores: list[FakeIterator] | None = None,
    ) -> None:
        self.clock, self.sizes, self.each, self.fill, self.buffer = clock, sizes, each, fill, buffer
        self.fails_at, self.on_batch, self.teardown, self.cached = fails_at, on_batch, teardown, cached
        self.cores = cores
        self.opened = 0

    def __iter__(self) -> Iterator[int]:
        self.opened += 1
        each = self.each if self.cached is None or self.opened == 1 else self.cached
        iterator = FakeIterator(self, each)
        if self.cores is not None:
            self.cores.append(iterator)
        return iterator


class FakeIterator:
    def __init__(self, dataset: FakeDataset, each: float) -> None:
        self.of, self.each, self.number, self.ready, self.left = dataset, each, 0, 0, dataset.clock.now()

    def __iter__(self) -> FakeIterator:
        return self

    @property
    def busy_until(self) -> float:
        return self.left + (self.of.buffer - self.ready) * self.each if self.number else 0.0

    def __next__(self) -> int:
        clock = self.of.clock
        if self.number >= len(self.of.sizes):
            raise StopIteration
        if self.number == self.of.fails_at:
            raise ValueError("bad record")
        if self.number:
            self.ready = min(self.of.buffer, self.ready + int((clock.now() - self.left) / self.each + 1e-9))
        if self.ready:
            self.ready -= 1
        else:
            busy = any(other is not self and other.busy_until > clock.now() + 1e-9 for other in self.of.cores or ())
            clock.sleep(self.each * (2 if busy else 1) + (0 if self.number else self.of.fill))
        self.left = clock.now()
        self.number += 1
        self.of.on_batch(self.number)
        return self.of.sizes[self.number - 1]

    def __del__(self) -> None:
        if self.of.teardown:
            self.of.clock.sleep(self.of.teardown)
