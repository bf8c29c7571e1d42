"""What a rewritten pipeline has to beat, and what may not be tried at all."""

from __future__ import annotations

import dataclasses
from typing import Final

from pipeline_opt.functions import Function
from pipeline_opt.plan import Combination, Plan, with_inner
from pipeline_opt.stages import Interleave, OpaqueStage, Stage
from pipeline_opt.variants import autotune

_WRITERS: Final = ("snapshot", "save")
"""Ops that write where the user said, which no plan can change."""


def autotuned(plan: Plan) -> Plan:
    """The plan with AUTOTUNE on every knob, in the order that it has: files are taken in turn as before."""
    auto = autotune(plan)
    source = auto.source
    if isinstance(source, Combination) and isinstance(plan.source, Combination):
        source = dataclasses.replace(source, plans=tuple(map(autotuned, plan.source.plans)))
    cycles = {stage.name: stage.cycle_length for stage in plan.stages if isinstance(stage, Interleave)}
    stages = (
        dataclasses.replace(stage, cycle_length=cycles[stage.name]) if isinstance(stage, Interleave) else stage
        for stage in auto.stages
    )
    return dataclasses.replace(auto, source=source, stages=tuple(stages))


def writes_for_good(plan: Plan) -> bool:
    """Whether a stage that only its own code knows writes to disk: it would do so in every trial, too."""
    inside = plan.source.plans if isinstance(plan.source, Combination) else ()
    return any(_writes(stage) for stage in with_inner(plan.stages)) or any(map(writes_for_good, inside))


def _writes(stage: Stage) -> bool:
    function = stage.transformation if isinstance(stage, OpaqueStage) else None
    return isinstance(function, Function) and function.label in _WRITERS
