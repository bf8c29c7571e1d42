"""Iterators that wait as they are let go."""

from __future__ import annotations

from threading import Event, current_thread

import pytest
from fake_clock import FakeClock

from pipeline_opt.tuner.turns import Runner


class Waiting:
    """A dataset of three elements, whose iterators wait in the end until they may go."""

    def __init__(self) -> None:
        self.may_go, self.gone, self.where = Event(), Event(), current_thread()

    def __iter__(self) -> Iterated:
        return Iterated(self)


class Iterated:
    def __init__(self, dataset: Waiting) -> None:
        self.dataset, self.left = dataset, 3

    def __next__(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.left

    def __del__(self) -> None:
        assert self.dataset.may_go.wait(60.0)
        self.dataset.where = current_thread()
        self.dataset.gone.set()


def runner(dataset: Waiting) -> Runner:
    return Runner(lambda: dataset, lambda _: 1, FakeClock(), lambda: 0, None, lambda: False)


def test_an_iterator_that_has_ended_waits_aside_and_is_gone_once_all_is_closed() -> None:
    dataset = Waiting()
    it = runner(dataset)
    turn = it.take_epochs(1, 1, None, 1e9)
    assert (turn.examples, turn.counted[0].ended) == (3, True)
    assert not dataset.gone.is_set()
    dataset.may_go.set()
    it.close()
    assert dataset.gone.is_set()
    assert dataset.where is not current_thread()


@pytest.mark.parametrize(("epochs", "limit_s"), [(2, 1e9), (1, 0.0)], ids=["with caches to come", "cut off"])
def test_others_are_let_go_at_once(epochs: int, limit_s: float) -> None:
    dataset = Waiting()
    dataset.may_go.set()
    runner(dataset).take_epochs(1, epochs, None, limit_s)
    assert dataset.gone.is_set()
    assert dataset.where is current_thread()
