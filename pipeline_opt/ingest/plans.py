"""From a dataset to a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline_opt.errors import PlanError, SourceError
from pipeline_opt.ingest.graph import is_generator, kind_of
from pipeline_opt.ingest.known import stage_of
from pipeline_opt.ingest.naming import free_name, wanted_name
from pipeline_opt.ingest.opaque import reapplied, retyped
from pipeline_opt.ingest.readers import opening
from pipeline_opt.ingest.sites import Site, root
from pipeline_opt.lazy import lazy_module
from pipeline_opt.order.position import FILE_LEVEL, after, refusal, start
from pipeline_opt.plan import Concatenate, Merge, Plan, Zip
from pipeline_opt.sources import FileSource, OpaqueDataset, Source
from pipeline_opt.stages import FlatMap, Interleave, OpaqueStage, Stage
from pipeline_opt.storage import resolve

tf = lazy_module("tensorflow")


class _Step(NamedTuple):
    """A dataset op that takes from one other, and the stage that it is."""

    site: Site
    stage: Stage


def imported(dataset: Any) -> Plan:
    """The plan of an existing dataset: building it gives the same elements.

    Its functions are the ones that were traced when the dataset was made, with the tables and variables that they hold. What a
    plan has no words for is carried along as an opaque stage. A dataset that cannot be read so is the plan's source as a whole,
    whose `reason` says why.

    Args:
        dataset: A `tf.data.Dataset`.
    """
    try:
        return _plan(root(dataset))
    except PlanError as error:
        return Plan(OpaqueDataset(dataset=dataset, reason=str(error)))


def _plan(site: Site) -> Plan:
    """The plan of a place in a dataset, read from its end to where its elements come from."""
    steps: list[_Step] = []
    while (step := _step(site)) is not None:
        if not _is_normalising(site):
            steps.append(step)
        site = site.inputs[0]
    steps.reverse()
    source, steps = _reading(site, steps) or (_source(site), steps)
    return Plan(source, _legal(source, _named(steps, {source.kind})))


def _named(steps: Sequence[_Step], taken: set[str]) -> list[_Step]:
    """The steps with names of their own; where the structure of elements changes without an op, a step says so."""
    named = []
    for step in steps:
        name = free_name(wanted_name(step.site, step.stage), taken)
        named.append(_Step(step.site, dataclasses.replace(step.stage, name=name)))
        if step.site.restructured:
            again = OpaqueStage(name=free_name("structure", taken), transformation=retyped(step.site.spec))
            named.append(_Step(step.site, again))
    return named


def _legal(source: Source, steps: Sequence[_Step]) -> tuple[Stage, ...]:
    """The stages; one that a plan would refuse where it stands is opaque to it."""
    at, stages = start(Plan(source, tuple(step.stage for step in steps))), []
    for step in steps:
        refused = refusal(at, step.stage, source) is not None
        stages.append(dataclasses.replace(_opaque(step.site), name=step.stage.name) if refused else step.stage)
        at = after(at, stages[-1])
    return tuple(stages)


def _step(site: Site) -> _Step | None:
    """The stage that an op is; None where it cannot be told apart from what it takes from."""
    if len(site.inputs) != 1 or is_generator(site.node, site.graph.generators):
        return None
    try:
        return _Step(site, stage_of(site))
    except PlanError:
        pass
    try:
        return _Step(site, _opaque(site))
    except PlanError:
        return None


def _opaque(site: Site) -> Stage:
    return OpaqueStage(transformation=reapplied(site, kind_of(site.node.op)))


def _source(site: Site) -> Source:
    """Where elements come from, if not from files."""
    reason = ""
    if len(site.inputs) > 1:
        try:
            return _combination(site)
        except PlanError as error:
            reason = str(error)
    elif is_generator(site.node, site.graph.generators):
        reason = "its elements come from a Python generator"
    elif site.inputs:
        reason = f"{site.node.op} cannot be applied to another dataset"
    return OpaqueDataset(dataset=site.dataset, reason=reason)


def _combination(site: Site) -> Source:
    if site.op == "ZipDataset" and _is_flat_zip(site.live):
        return Zip(plans=tuple(_plan(inner) for inner in site.inputs))
    if site.op == "ConcatenateDataset":
        return Concatenate(plans=tuple(_plan(inner) for inner in _concatenated(site)))
    transformation = reapplied(site, kind_of(site.node.op))
    return Merge(plans=tuple(_plan(inner) for inner in site.inputs), transformation=transformation)


def _is_normalising(site: Site) -> bool:
    """Whether an op is the map that tf.data puts before an unbatch, and whether it changes nothing: no element is sparse."""
    function = site.node.attr["f"].func.name if "f" in site.node.attr else ""
    dense = all(isinstance(spec, tf.TensorSpec) for spec in tf.nest.flatten(site.inputs[0].spec))
    return dense and "_Dataset_map_normalize_" in function and site.live is not None and site.is_wrapped


def _is_flat_zip(live: Any) -> bool:
    datasets = getattr(live, "_datasets", None)
    return type(datasets) is tuple and not any(isinstance(part, tuple | list | dict) for part in datasets)


def _concatenated(site: Site) -> list[Site]:
    """The parts of a chain of concatenations, which are of two each."""
    if site.op != "ConcatenateDataset":
        return [site]
    first, second = site.inputs
    return [*_concatenated(first), second]


def _reading(site: Site, steps: Sequence[_Step]) -> tuple[FileSource, list[_Step]] | None:
    """The files that a dataset of names and the first step that opens them stand for; None where it is something else."""
    at = next((i for i, step in enumerate(steps) if not isinstance(step.stage, FILE_LEVEL)), len(steps))
    paths = _names(site)
    if at == len(steps) or paths is None or not isinstance(steps[at].stage, FlatMap | Interleave):
        return None
    opens, reader = steps[at], opening(steps[at].site.node.attr["f"].func.name, site.graph.functions)
    if reader is None or opens.site.node.attr["Targuments"].list.type:
        return None
    source = reader.source(paths)
    try:
        listed = resolve(source).files
    except SourceError:
        return None
    if listed != paths:
        return None
    if isinstance(opens.stage, Interleave):
        read = [opens._replace(stage=dataclasses.replace(opens.stage, map_func=None))]
    else:
        one_by_one = Interleave(cycle_length=1, num_parallel_calls=None)
        read = [opens._replace(stage=one_by_one)] if at else []
    return source, [*steps[:at], *read, *steps[at + 1 :]]


def _names(site: Site) -> tuple[str, ...] | None:
    """The constant strings, one at a time, that a dataset is; None where it is something else."""
    if site.op != "TensorSliceDataset" or len(site.node.attr["Toutput_types"].list.type) != 1:
        return None
    try:
        values = site.argument(0)
    except PlanError:
        return None
    if getattr(values, "ndim", 0) != 1 or values.dtype != object or not len(values):
        return None
    try:
        return tuple(value.decode() for value in values)
    except UnicodeDecodeError:
        return None
