"""What a rewritten pipeline has to beat."""

from __future__ import annotations

import dataclasses

from pipeline_opt.plan import Combination, Plan
from pipeline_opt.stages import Interleave
from pipeline_opt.variants import autotune


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
