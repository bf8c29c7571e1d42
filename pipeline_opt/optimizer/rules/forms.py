"""A map computes its function in another way, where it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import form_name
from pipeline_opt.optimizer.rewrite import Declined, Rewrite, Rule, swallows_errors, with_stages
from pipeline_opt.plan import Plan
from pipeline_opt.stages import Map

IN_PLACE = {
    "crop_window": "decodes only the part of the image that it keeps",
    "crop_first": "works on the part of the image that it keeps",
    "cast_late": "moves bytes, and makes floats of the result",
    "float_resize": "makes floats where a resize takes them faster",
}
"""Forms that take and give what the function does, with what they do."""


def _find(plan: Plan, facts: Facts) -> Iterator[Rewrite | Declined]:
    for at, stage in enumerate(plan.stages):
        if not isinstance(stage, Map):
            continue
        now = form_name(stage)
        for name, found in facts.of(stage.function).forms.items():
            before, _, form = name.rpartition("+")
            if form not in IN_PLACE or before != now:
                continue
            reason = found.refused if found.refused is not None else _refusal(plan, at, form, facts)
            if reason is not None:
                yield Declined(stage.name, f"{form}: {reason}")
                continue
            other = dataclasses.replace(stage, forms=(*stage.forms, form))
            plan_ = with_stages(plan, at, 1, (other,))
            yield Rewrite(plan_, stage.name, f"{stage.name} {IN_PLACE[form]}", found.preserves, found.evidence)


def _refusal(plan: Plan, at: int, form: str, facts: Facts) -> str | None:
    """Why a form that there is may not be used where the map stands; None if it may."""
    swallows = swallows_errors(plan, at + 1, facts) if form == "crop_window" else ""
    return f"{swallows} leaves out damaged images, and the damage may be where nothing is decoded" if swallows else None


RULE = Rule("forms", "the same results take less work", _find)
