"""The purity of every function of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline_opt.build.purity import Purity, purity, purity_of_graph
from pipeline_opt.build.steps import Built, build_steps
from pipeline_opt.functions import Function
from pipeline_opt.plan import Plan, unfolded
from pipeline_opt.stages import FUNCTION_FIELDS, Map
from pipeline_opt.storage import resolve


def purities(plan: Plan) -> dict[str, Purity]:
    """By stage name, for every stage with a function: pure, random or unknown, and why.

    In a plan inside another one the name is `in0_map`. What the user declared with `random=` is taken at their word.
    """
    return purities_of(build_steps(unfolded(plan), resolve, on_host=True))


def purities_of(steps: Iterable[Built]) -> dict[str, Purity]:
    """The purities of the functions of a plan that has been built."""
    found = {}
    for step in steps:
        stage = step.item
        function = next((f for f in (getattr(stage, name, None) for name in FUNCTION_FIELDS) if f is not None), None)
        if isinstance(stage, Map) and stage.random is not None:
            found[step.name] = Purity("random" if stage.random else "pure", "declared")
        elif isinstance(function, Function) and step.before is not None and stage.kind != "opaque":
            graph = _traced(step.after)
            traced = graph is not None
            found[step.name] = (
                purity_of_graph(function, graph) if traced else purity(function, step.before.element_spec)
            )
    return found


def random_of(found: Mapping[str, Purity]) -> frozenset[str]:
    """The names of those that are random."""
    return frozenset(name for name, purity in found.items() if purity.kind == "random")


def _traced(dataset: Any) -> Any:
    """The graph of a dataset's function, which tf.data has traced already; None where it has none, or several."""
    functions = dataset._functions() if hasattr(dataset, "_functions") else []
    graphs = [getattr(getattr(function, "function", None), "graph", None) for function in functions]
    return graphs[0] if len(graphs) == 1 else None
