"""Names of stages, and what may have been meant by one that does not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def implied_kind(name: str) -> str:
    """The kind that a stage's name implies: the name without a number at its end (`map_2` is a `map`)."""
    return re.sub(r"_[0-9]+$", "", name)


def inner_prefix(prefix: str, number: int) -> str:
    """What the names of a plan's stages begin with where the plan is the `number`-th of those that meet in a source.

    Args:
        prefix: What the names of the outer plan's stages begin with.
        number: The plan's place, from 0.
    """
    return f"{prefix}in{number}_"


def prefix_of(name: str) -> str:
    """What `inner_prefix` put before a stage's name; nothing in the outermost plan.

    >>> prefix_of("in0_in1_map")
    'in0_in1_'
    """
    return re.sub(r"^((?:in\d+_)*).*", r"\1", name)


def nearest_name(name: str, valid: Iterable[str]) -> str:
    """The end of a message about a name that is not valid: the valid one nearest to it, or nothing."""
    near = difflib.get_close_matches(name, list(valid), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def is_utf8(name: str) -> bool:
    """Whether a file's name is text; bytes that are not UTF-8 are surrogates in it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
