"""Calls of a parallel map that are under way at once: how many there may well be, and what it takes to start one."""

from __future__ import annotations

import math
from typing import Final

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.stages import AUTO

BUSY_CALLS_A_CORE: Final = 3
"""Calls under way for each core with which cores hardly wait for the one in front (CONTRIBUTING.md)."""
CALLS_A_CORE: Final = 8
"""Calls under way for each core from which on more of them change little (CONTRIBUTING.md)."""


def busy_calls(facts: Facts) -> int:
    """So many calls of a map under way that cores are busy while the one in front is not done."""
    return BUSY_CALLS_A_CORE * math.ceil(facts.cores)


def many_calls(facts: Facts) -> int:
    """So many calls of a map under way that threads find their next one there when they are done."""
    return CALLS_A_CORE * math.ceil(facts.cores)


def call_s(calls: int | None, facts: Facts) -> float:
    """Core-seconds to run a function on another thread, with so many calls of it under way.

    They fall as a power of the calls a core, from what it takes with one to what it takes with `CALLS_A_CORE`.
    """
    one, many = facts.overheads.parallel_call, facts.overheads.many_calls
    each = 1.0 if calls is None or calls == AUTO else min(max(calls / math.ceil(facts.cores), 1.0), CALLS_A_CORE)
    return float(one * (many / one) ** (math.log(each) / math.log(CALLS_A_CORE))) if 0 < many < one else one
