"""The stages inside an interleave or a flat_map, told apart from what opens the datasets that pass through them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pipeline_opt.build.traced import Traced
from pipeline_opt.errors import PlanError
from pipeline_opt.functions import Function
from pipeline_opt.ingest.graph import bare
from pipeline_opt.ingest.known import stage_of
from pipeline_opt.ingest.readers import Opening, opening_of
from pipeline_opt.ingest.sites import Graph, Site
from pipeline_opt.lazy import lazy_module
from pipeline_opt.stages import Stage

tf = lazy_module("tensorflow")

op_definitions = lazy_module("tensorflow.python.framework.op_def_registry")

_PYTHON: Final = ("PyFunc", "PyFuncStateless", "EagerPyFunc", "GeneratorDataset")
"""Ops that call Python, which lives as long as the function that it was traced in: such a function is left whole."""


_MAKES_DATASETS: Final = re.compile(r"Dataset|SeedGenerator|MemoryCache")


class Inside(NamedTuple):
    """What a function does that gives a dataset for each element.

    Attributes:
        function: The whole function.
        opening: The reader, where it does nothing but open the file whose name the element is.
        map_func: The function that gives what passes through the stages.
        sites: The stages' places in the function, from what is opened on.
        stages: The stages.
    """

    function: Function
    opening: Opening | None
    map_func: Function
    sites: tuple[Site, ...]
    stages: tuple[Stage, ...]


def inside(function: Function) -> Inside:
    """Tell the stages in a function apart, as far as they need nothing of the element that the function takes.

    Args:
        function: A `Traced` function that gives a dataset.
    """
    whole = Inside(function, None, function, (), ())
    call = function.call
    if not isinstance(call, Traced) or type(call.gives) is not tf.data.DatasetSpec:
        return whole
    graph = _graph(call)
    if _calls_python(graph) or _does_more(graph):
        return whole
    site = Site(graph, graph.maker(call.results[0]), None, call.gives._element_spec)
    sites: list[Site] = []
    stages: list[Stage] = []
    opened = _opening(call, site)
    while opened is None and (stage := _stage(site)) is not None:
        sites, stages, site = [site, *sites], [stage, *stages], site.inputs[0]
        opened = _opening(call, site)
    if not stages:
        return whole._replace(opening=opened)
    opener = Function(None, (), _opener(call, site))
    return Inside(function, opened, opener, tuple(sites), tuple(stages))


def _graph(call: Traced) -> Graph:
    outside = dict(zip(map(bare, call.captures), call.captured, strict=True))
    return Graph(call.graph_def, outside, of_function=True)


def _calls_python(graph: Graph) -> bool:
    bodies = (function.node_def for function in graph.functions.values())
    return any(node.op in _PYTHON for part in (graph.definition.node, *bodies) for node in part)


def _does_more(graph: Graph) -> bool:
    """Whether the function has effects beside the dataset that it gives: it fills a table, say, or draws at random."""
    return any(
        op_definitions.get(node.op).is_stateful and not _MAKES_DATASETS.search(node.op)
        for node in graph.definition.node
        if node.op not in graph.functions and node.op != "Placeholder"
    )


def _opening(call: Traced, site: Site) -> Opening | None:
    if len(call.arguments) != 1:
        return None
    return opening_of(site.node.name, site.graph.nodes, bare(call.arguments[0]), site.graph.functions)


def _stage(site: Site) -> Stage | None:
    """The stage that an op is; None where it is none, or needs something that is not known outside the function."""
    if len(site.inputs) != 1:
        return None
    try:
        stage = stage_of(site)
    except PlanError:
        return None
    return None if site.restructured else stage


def _opener(call: Traced, site: Site) -> Traced:
    """The function up to a dataset in it."""
    gives = tf.data.DatasetSpec(site.spec)
    return call.edited(call.graph_def, [f"{site.node.name}:0"], gives=gives)
