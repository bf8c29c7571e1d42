"""What several epochs compute alike is kept in files, where memory has no room for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.memory import held_bytes
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, with_stages
from pipeline_opt.optimizer.rules.cache import places
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Cache
from pipeline_opt.text import fingerprint


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    if not facts.disk:
        return
    free = facts.memory_bytes - held_bytes(plan, facts)
    for place in places(plan, facts):
        if isinstance(place, Declined):
            yield place
        elif not facts.disk_bytes_per_s:
            yield Declined(place.name, f"how fast {facts.disk} is was not measured")
        elif place.bytes > free:
            kept = dataclasses.replace(plan, stages=plan.stages[: place.at])
            file = f"{facts.disk.rstrip('/')}/{fingerprint(kept)}"
            what = f"files of what {place.name} gives, in {facts.disk}"
            evidence = (
                "the files hold the data and the functions of the day they were written: delete them when those change"
            )
            changed = with_stages(plan, place.at, 0, (Cache(filename=file),))
            yield Rewrite(changed, place.name, what, place.preserves, evidence)
        else:
            yield Declined(place.name, "what it gives fits into memory, which is faster")


RULE = Rule("disk_cache", "later epochs read what the first one computed", _find)
