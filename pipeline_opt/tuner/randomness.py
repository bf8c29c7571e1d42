"""Which components of a pipeline's elements random operations touch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from pipeline_opt.build.purity import random_ops
from pipeline_opt.build.steps import Built
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module
from pipeline_opt.sources import Source
from pipeline_opt.stages import Filter, Map
from pipeline_opt.tuner.forms import traced_by

tf = lazy_module("tensorflow")


def random_components(steps: Sequence[Built]) -> frozenset[int]:
    """The numbers of the components, in the order of `tf.nest.flatten`, that may differ though the data are the same.

    A stage whose function cannot be looked into passes randomness from any component to all.

    Args:
        steps: A plan, built.
    """
    touched: frozenset[int] = frozenset()
    for step in steps:
        stage, count = step.item, len(tf.nest.flatten(step.after.element_spec))
        if isinstance(stage, Source):
            continue
        if isinstance(stage, Map):
            touched = _through(traced_by(step, stage), touched)
        elif touched and not isinstance(stage, Filter) and count != len(tf.nest.flatten(step.before.element_spec)):
            touched = frozenset(range(count))
    return touched


def _through(function: Traced, touched: Collection[int]) -> frozenset[int]:
    """The components of what a function gives that depend on random ops, or on random components of what it takes."""
    graph = function.concrete.graph
    arguments = {name.partition(":")[0]: number for number, name in enumerate(function.arguments)}
    random = random_ops(graph) | {name for name, number in arguments.items() if number in touched}
    results = (graph.get_tensor_by_name(name).op for name in function.results)
    return frozenset(number for number, op in enumerate(results) if random & set(_above(op)))


def _above(op: Any) -> Iterator[str]:
    seen, wanted = set(), [op]
    while wanted:
        op = wanted.pop()
        if op.name not in seen:
            seen.add(op.name)
            yield op.name
            wanted += [tensor.op for tensor in op.inputs]
