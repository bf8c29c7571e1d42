"""`--via` and `--access`: what they say, and whose files they reach."""

from __future__ import annotations

from typing import Any

import pytest

import pipeline_opt as po
from pipeline_opt.access import Access
from pipeline_opt.cli.reaching import access_settings, reached
from pipeline_opt.pipeline import Pipeline


def test_settings_as_they_are_typed() -> None:
    numbers = ["block_bytes=4MiB", "scratch_bytes=1GB", "read_ahead=2", "timeout_s=1.5"]
    typed = [*numbers, "options.anon=true", "options.n=3", "options.u=x=y"]
    given = access_settings("fsspec", typed)
    assert given == {
        "via": "fsspec", "block_bytes": 4 << 20, "scratch_bytes": 10**9, "read_ahead": 2, "timeout_s": 1.5,
        "options": {"anon": True, "n": 3, "u": "x=y"},
    }  # fmt: skip
    assert access_settings(None, None) == {}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("block_byte=1", "valid: NAME=VALUE, NAME one of block_bytes, .*did you mean"),
        ("block_bytes", "valid: NAME=VALUE"),
        ("read_ahead=2MiB", "valid: a number"),
        ("retries=1000", "retries=1000 is out of range"),
        ("block_bytes=1", "block_bytes=1 is out of range"),
    ],
)
def test_what_is_not_valid_is_refused(typed: str, said: str) -> None:
    with pytest.raises((po.UsageError, po.KnobError), match=said):
        access_settings(None, [typed])


@pytest.mark.parametrize("options", ["abc", None, (("name",),), {1: 2}])
def test_options_are_values_by_name(options: Any) -> None:
    with pytest.raises(po.KnobError, match=r"options=.* is out of range"):
        Access(options=options)


def test_a_plan_is_reached_as_said_all_through() -> None:
    inner = Pipeline.from_text("a", access=Access(read_ahead=3))
    plan = reached(Pipeline.zip(inner, inner), {"via": "fsspec"})
    for part in plan.source.plans:  # type: ignore[attr-defined]
        assert part.source.access == Access(via="fsspec", read_ahead=3)
    with pytest.raises(po.UsageError, match="not with tensors"):
        reached(Pipeline.from_tensors([1]), {"via": "fsspec"})
    assert reached(inner, {}) is inner
