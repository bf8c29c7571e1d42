"""A map runs on one thread where its function costs less than handing elements to others, or is Python, which takes turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import flows, form_of
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, is_deterministic, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Map


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, (stage, taken, _) in enumerate(flows(plan, facts)):
        if not isinstance(stage, Map) or stage.num_parallel_calls is None:
            continue
        if not facts.looked_at(stage.function):
            yield Declined(stage.name, "what its function costs is not known")
            continue
        known = form_of(stage, facts)
        if known.wait_s:
            yield Declined(stage.name, "its calls wait for storage, and on one thread nothing else is done meanwhile")
            continue
        if not known.python and known.cpu_s * taken.rows > facts.overheads.parallel_call:
            continue
        alone = dataclasses.replace(stage, num_parallel_calls=None, deterministic=None)
        loose = stage.deterministic is False or (stage.deterministic is None and not is_deterministic(plan, facts))
        changed = with_stages(plan, at, 1, (alone,))
        turns = ", as its calls take turns at Python's lock" if known.python else ""
        yield Rewrite(changed, stage.name, f"{stage.name} on one thread{turns}", "set" if loose else "exact")


RULE = Rule("sequential_map", "other threads would only take elements from hand to hand", _find)
