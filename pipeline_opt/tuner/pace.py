"""How much longer a pipeline takes as a whole than what was measured of each of its stages alone would have it.

In a pipeline, threads wake one another and share caches with whatever else is on the machine; what that costs cannot be seen of a
stage alone. Plans over the same data are taken to share it: how right that is, `benchmarks/predictions.py` tells.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pipeline_opt.clock import Clock
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import last_flow
from pipeline_opt.optimizer.model import predict
from pipeline_opt.plan import Plan
from pipeline_opt.tuner.turns import Runner, resident

LONGEST_FIRST: Final = 0.5
"""The part of the time that a first element may be predicted to take."""
SETTLING: Final = 0.5
"""The part of a run in which AUTOTUNE and buffers settle, and which counts only where the data ends."""
WARMING: Final = 0.3
"""The part of the time in which the page cache is warmed."""
LOOP: Final = 0.5
"""The part of an element's time that the loop may take: beyond it, what is seen is the loop and not the pipeline."""
FEWEST: Final = 4
"""Elements from which on a run tells how fast it is."""
MOST: Final = 1 << 15
"""Elements that are taken at the most."""


def pace(
    make: Callable[[], Any],
    plan: Plan,
    facts: Facts,
    seconds: float,
    clock: Clock,
    rss: Callable[[], int] = resident,
) -> float:
    """The time that a pipeline takes over that predicted for it; 1 where that cannot be seen in some seconds.

    Args:
        make: Makes its dataset.
        plan: Its plan.
        facts: What is known of its stages. A run that takes more memory than they allow is ended, and tells nothing.
        seconds: Seconds for all, about.
        clock: Measures.
        rss: Bytes of memory that the process has.
    """
    said = predict(plan, replace(facts, epochs=1, step_s=0.0))
    if said.first_batch_s > LONGEST_FIRST * seconds:
        return 1.0

    def run(for_s: float) -> float | None:
        seen = itertools.count()
        runner = Runner(make, lambda _: 1, clock, rss, facts.memory_bytes, lambda: next(seen) >= MOST)
        return _element_s(runner, for_s, facts.start_s)

    until = clock.now() + seconds
    warming = run(WARMING * seconds)
    left = until - clock.now()
    measured = run(left) if left > WARMING * seconds else warming
    if measured is None or facts.take_s > LOOP * measured:
        return 1.0
    return measured * said.rows_per_s / last_flow(plan, facts).rows


def _element_s(runner: Runner, seconds: float, start_s: float) -> float | None:
    """Seconds for an element of a dataset, once it has settled, or in a short epoch but for making its iterator.

    None if it gave too few, or failed.
    """
    turns = [runner.take_slice(0, 0, None, seconds, SETTLING * seconds)]
    if runner.is_open and turns[0].cut != "stopped":
        turns.append(runner.take_slice(0, 0, None, seconds, (1 - SETTLING) * seconds))
    # All of an epoch counts that ended: a shuffle may have done all its work before it gave the first element.
    counted, start_s = (turns[-1:], 0.0) if runner.is_open else (turns, start_s)
    runner.close()
    stretches = [stretch for turn in counted for stretch in (*turn.lead, *turn.counted)]
    elements = sum(stretch.examples for stretch in stretches)
    if turns[-1].cut in ("error", "memory") or elements < FEWEST:
        return None
    took = sum(stretch.seconds for stretch in stretches) - start_s
    return took / elements if took > 0 else None
