"""Which plans take part in a second contest: those that have won, or the one that may."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from test_trials import made

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.plan import Plan
from pipeline_opt.sources import Tensors
from pipeline_opt.tuner.optimize import _Tuner
from pipeline_opt.tuner.trials import Contest

ANY = Plan(Tensors(value=0))


class FakeBench:
    """Runs no contest, but gives prepared ones, and notes who took part."""

    given = ANY
    wishes = SimpleNamespace(budget_s=60.0)

    def __init__(self, *prepared: Contest, left_s: float = 60.0) -> None:
        self._prepared, self.asked, self._left_s = iter(prepared), list[list[str]](), left_s

    def seconds(self, share: float, least: float = 0.0) -> float:
        return max(self._left_s * share, 60.0 * least)

    def part(self, plans: Mapping[str, Plan], facts: Facts, seconds: float) -> None:
        return None

    def contest(self, plans: Mapping[str, Plan], *_: Any, whole: bool = False) -> Contest:
        self.asked.append(list(plans))
        return next(self._prepared)


def asked(*prepared: Contest, left_s: float = 60.0) -> tuple[list[list[str]], Contest]:
    bench: Any = FakeBench(*prepared, left_s=left_s)
    plans = dict.fromkeys(("given", "autotune", "a", "b", "c"), ANY)
    done = _Tuner(bench)._trials(plans, Facts())
    return bench.asked[1:], done


def test_those_that_have_won_go_on_without_the_baselines() -> None:
    first = made(given=[10] * 4, autotune=[10] * 4, a=[5] * 4, b=[6] * 4, c=[20] * 4)
    later, done = asked(first, made(a=[5] * 8, b=[4] * 8))
    assert later == [["a", "b"]]
    assert done.ratio("b", "a").rounds == 12
    assert done.ratio("b", "given").rounds == 4


def test_no_contest_begins_where_no_time_is_left() -> None:
    later, done = asked(made(given=[10] * 4, autotune=[10] * 4, a=[5] * 4, b=[6] * 4, c=[20] * 4), left_s=0.0)
    assert later == []
    assert done.best == "a"


def test_one_that_has_won_alone_needs_no_more() -> None:
    later, _ = asked(made(given=[10] * 4, autotune=[10] * 4, a=[5] * 4, b=[11] * 4, c=[20] * 4))
    assert later == []


def test_one_round_alone_shows_no_lack_of_promise() -> None:
    later, _ = asked(made(given=[10], autotune=[10], a=[12], b=[11], c=[20]), made(given=[10], autotune=[10], b=[11]))
    assert later == [["given", "autotune", "b"]]


@pytest.mark.parametrize(("b", "expected"), [([6, 11, 6, 11], [["given", "autotune", "b"]]), ([11] * 4, [])])
def test_where_none_has_won_the_most_promising_goes_on(b: list[float], expected: list[list[str]]) -> None:
    first = made(given=[10] * 4, autotune=[10] * 4, a=[12] * 4, b=b, c=[20] * 4)
    later, _ = asked(first, made(given=[10] * 4, autotune=[10] * 4, b=[8] * 4))
    assert later == expected
