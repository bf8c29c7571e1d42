"""The purity of every function of a plan."""

from __future__ import annotations

from pipeline_opt.build.dataset import build_steps
from pipeline_opt.build.purity import Purity, purity
from pipeline_opt.functions import Function
from pipeline_opt.plan import Plan
from pipeline_opt.stages import FUNCTION_FIELDS, Map


def purities(plan: Plan) -> dict[str, Purity]:
    """By stage name, for every stage with a function: pure, random or unknown, and why.

    What the user declared with `random=` is taken at their word.
    """
    found = {}
    for stage, before in build_steps(plan):
        function = next((f for f in (getattr(stage, name, None) for name in FUNCTION_FIELDS) if f is not None), None)
        if isinstance(stage, Map) and stage.random is not None:
            found[stage.name] = Purity("random" if stage.random else "pure", "declared")
        elif isinstance(function, Function) and stage.kind != "opaque":
            found[stage.name] = purity(function, before.element_spec)
    return found
