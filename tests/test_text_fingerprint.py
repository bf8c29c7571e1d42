"""Fingerprints: the same in every process, different for different plans."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_opt.functions import Function
from pipeline_opt.plan import Plan, Zip
from pipeline_opt.sources import OpaqueDataset, Tensors, TextLines, TFRecords
from pipeline_opt.stages import Batch, Cache, FlatMap, Interleave, Map, Options, Prefetch, Shuffle, Stage
from pipeline_opt.text import fingerprint

FACTOR = 3
MEMO: dict[int, int] = {}


def text(*stages: Stage) -> Plan:
    return Plan(TextLines(paths=("a",)), stages)


def scaled(number: int) -> int:
    return helper(number) * FACTOR


def helper(number: int) -> int:
    return number if number in {"red", "green", "blue"} else again(number)


def again(number: int) -> int:
    return helper(number - 1) if number else 0


def of(function: Any, **arguments: Any) -> str:
    return fingerprint(text(Map(function=Function.of(function, **arguments))))


def closure(value: object) -> Any:
    return lambda number: (number, value)


def test_it_has_sixteen_hexadecimal_digits() -> None:
    digits = fingerprint(text())
    assert len(digits) == 16
    int(digits, 16)


def test_plans_that_could_be_made_before_have_the_fingerprint_that_they_had() -> None:
    stages = (Interleave(cycle_length=4), Map(function=Function("package:parse")), Cache(), Shuffle(buffer_size=9))
    rest = (Batch(batch_size=8), Options(deterministic=False), Prefetch())
    assert fingerprint(Plan(TFRecords(paths=("a",)), (*stages, *rest))) == "82f3f79175b3e820"
    assert fingerprint(text(FlatMap(map_func=Function("m:f")))) == "991612d637d79664"


def test_it_is_the_same_in_another_process_with_another_hash_seed() -> None:
    code = "import test_text_fingerprint as t; print(t.of(t.scaled), t.of(t.closure(2)), t.of('m:f', size={'b', 'a'}))"
    here = Path(__file__).parent
    found = set()
    for seed in ("1", "2"):
        path = os.pathsep.join([str(here), str(here.parent)])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        found.add(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout)
    assert len(found) == 1


DIFFERENT = {
    "an argument": (fingerprint(text(Shuffle(buffer_size=1))), fingerprint(text(Shuffle(buffer_size=2)))),
    "a type of argument": (of("m:f", size=1), of("m:f", size=True)),
    "a name": (fingerprint(text(Cache())), fingerprint(text(Cache(name="keep")))),
    "a reference": (of("m:f"), of("m:g")),
    "a bound argument": (of("m:f", size=1), of("m:f", size=2)),
    "bytecode": (of(lambda x: x + 1), of(lambda x: x - 1)),
    "a constant": (of(lambda x: x + 1), of(lambda x: x + 2)),
    "a default": (of(lambda x, y=1: x), of(lambda x, y=2: x)),
    "a closure": (of(closure(1)), of(closure(2))),
    "a function in a closure": (of(closure(lambda x: 1)), of(closure(lambda x: 2))),
    "a partial's arguments": (of(functools.partial(max, 1)), of(functools.partial(max, 2))),
    "tensors": (fingerprint(Plan(Tensors(value=np.arange(3)))), fingerprint(Plan(Tensors(value=np.arange(3) + 1)))),
    "strings": tuple(fingerprint(Plan(Tensors(value=np.array([b], object)))) for b in (b"a", b"b")),
    "the order": (fingerprint(text(Cache(), Map(function=Function("m:f")))), of("m:f")),
    "a plan inside": tuple(fingerprint(Plan(Zip(plans=(text(), text(*s))))) for s in ((), (Cache(),))),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_it_changes_with(what: str) -> None:
    one, other = DIFFERENT[what]
    assert one != other


def test_it_changes_with_what_a_function_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(scaled)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 4)
    assert of(scaled) != before
    monkeypatch.undo()
    monkeypatch.setattr(sys.modules[__name__], "again", lambda number: 7)
    changed = of(scaled)
    monkeypatch.undo()
    assert changed != before == of(scaled)


def test_it_is_the_same_once_the_function_has_run() -> None:
    before = of(scaled)
    for number in range(200):
        scaled(number)
    assert of(scaled) == before


def test_equal_plans_have_equal_fingerprints() -> None:
    assert of(closure((1, "x"))) == of(closure((1, "x")))
    assert of("m:f", a=1, b=2) == of(Function.of("m:f", b=2), a=1)
    assert fingerprint(Plan(Tensors(value=[1.5, "a"]))) == fingerprint(Plan(Tensors(value=[1.5, "a"])))


def test_the_class_of_a_plan_does_not_count() -> None:
    class Mine(Plan):
        pass

    assert fingerprint(Mine(TextLines(paths=("a",)))) == fingerprint(text())


def test_addresses_do_not_count() -> None:
    class Layer:
        def call(self, element: int) -> int:
            return element

        def __call__(self, element: int) -> int:
            return self.call(element)

    assert of(Layer()) == of(Layer())
    assert of(Layer().call) == of(Layer().call)
    assert fingerprint(Plan(OpaqueDataset(dataset=object()))) == fingerprint(Plan(OpaqueDataset(dataset=object())))
