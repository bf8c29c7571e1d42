"""From a dataset to a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pipeline_opt.errors import KnobError, PlanError, SourceError
from pipeline_opt.ingest.graph import is_generator, kind_of
from pipeline_opt.ingest.inside import Inside, inside
from pipeline_opt.ingest.known import stage_of
from pipeline_opt.ingest.naming import free_name, wanted_name
from pipeline_opt.ingest.opaque import reapplied, retyped
from pipeline_opt.ingest.sites import OnlyCopied, Site, root
from pipeline_opt.lazy import lazy_module
from pipeline_opt.order.position import FILE_LEVEL, Position, after, refusal, start
from pipeline_opt.plan import Concatenate, Merge, Plan, Zip
from pipeline_opt.sources import FileSource, OpaqueDataset, Source
from pipeline_opt.stages import FlatMap, Interleave, OpaqueStage, Stage
from pipeline_opt.storage import resolve

tf = lazy_module("tensorflow")


_CONSTANT: Final = frozenset({"RangeDataset", "SparseTensorSliceDataset", "TensorDataset", "TensorSliceDataset"})
"""Ops that make elements out of tensors: the same in every epoch."""
_KNOBLESS: Final = _CONSTANT | {"RandomDataset"}
"""Ops in which AUTOTUNE finds nothing to set."""


class _Step(NamedTuple):
    """A dataset op that takes from one other, and the stage that it is."""

    site: Site
    stage: Stage
    inside: Inside | None = None


def imported(dataset: Any) -> Plan:
    """The plan of an existing dataset: building it gives the same elements.

    Its functions are the ones that were traced when the dataset was made, with the tables and variables that they hold. Stages
    in the function of an interleave or a flat_map that need nothing of its element stand inside that stage. What a plan has no
    words for is carried along as an opaque stage. A dataset that cannot be read so is the plan's source as a whole, whose
    `reason` says why.

    Args:
        dataset: A `tf.data.Dataset`.
    """
    try:
        return _plan(root(dataset))
    except PlanError as error:
        return Plan(OpaqueDataset(dataset=dataset, reason=str(error)))


def _plan(site: Site) -> Plan:
    """The plan of a place in a dataset, read from its end to where its elements come from.

    Raises:
        OnlyCopied: A copy is all there is of what the program can change, and no live dataset around it.
    """
    sites, steps = [site], []
    try:
        while (step := _step(site)) is not None:
            steps.append(step)
            site = site.inputs[0]
            sites.append(site)
        source = _source(site)
    except OnlyCopied as error:
        at = next((i for i in reversed(range(len(sites))) if sites[i].live is not None), None)
        if at is None:
            raise
        source, site, steps = OpaqueDataset(dataset=sites[at].live, reason=str(error)), sites[at], steps[:at]
    steps = [_looked_into(step) for step in reversed(steps) if not _is_normalising(step.site)]
    source, steps = _reading(site, steps) or (source, steps)
    return Plan(source, _legal(source, _named(steps, {source.kind})))


def _looked_into(step: _Step) -> _Step:
    """The step with the stages that stand inside its function."""
    stage = step.stage
    if not isinstance(stage, Interleave | FlatMap) or stage.map_func is None:
        return step
    found = inside(stage.map_func)
    return _Step(step.site, dataclasses.replace(stage, map_func=found.map_func, inner=found.stages), found)


def _named(steps: Sequence[_Step], taken: set[str]) -> list[_Step]:
    """The steps with names of their own; where the structure of elements changes without an op, a step says so."""
    named = []
    for step in steps:
        name = free_name(wanted_name(step.site, _whole(step)), taken)
        named.append(step._replace(stage=dataclasses.replace(step.stage, name=name, **_inner_names(step, taken))))
        if step.site.restructured and not isinstance(step.stage, OpaqueStage):
            again = OpaqueStage(name=free_name("structure", taken), transformation=retyped(step.site.spec))
            named.append(_Step(step.site, again))
    return named


def _whole(step: _Step) -> Stage:
    """The stage with its function as the user wrote it, after which it is named."""
    stage, found = step.stage, step.inside
    if not isinstance(stage, Interleave | FlatMap) or found is None:
        return stage
    return dataclasses.replace(stage, map_func=found.function)


def _inner_names(step: _Step, taken: set[str]) -> dict[str, tuple[Stage, ...]]:
    if step.inside is None or not step.inside.stages:
        return {}
    inner = zip(step.inside.sites, step.inside.stages, strict=True)
    return {"inner": tuple(dataclasses.replace(s, name=free_name(wanted_name(at, s), taken)) for at, s in inner)}


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
    except OnlyCopied:
        raise
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
        except OnlyCopied:
            raise
        except PlanError as error:
            reason = str(error)
    elif is_generator(site.node, site.graph.generators):
        reason = "its elements come from a Python generator"
    elif site.inputs:
        reason = _why_not(site)
    return OpaqueDataset(
        dataset=site.dataset, reason=reason, constant=site.op in _CONSTANT, knobless=site.op in _KNOBLESS
    )


def _why_not(site: Site) -> str:
    """Why an op cannot be told apart from what it takes from."""
    try:
        reapplied(site, kind_of(site.node.op))
    except PlanError as error:
        return str(error)
    return ""


def _combination(site: Site) -> Source:
    if site.op == "ZipDataset" and _is_flat_zip(site.live):
        return Zip(plans=tuple(_plan(inner) for inner in site.inputs))
    if site.op == "ConcatenateDataset" and _parts_are_known(site):
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


def _parts_are_known(site: Site) -> bool:
    """Whether what the datasets that are put one after the other are said to give is what the whole gives."""
    return all(inner.live is not None or inner.spec == site.spec for inner in site.inputs)


def _concatenated(site: Site) -> list[Site]:
    """The parts of a chain of concatenations, which are of two each."""
    if site.op != "ConcatenateDataset":
        return [site]
    first, second = site.inputs
    if not _parts_are_known(site):
        return [site]
    return [*_concatenated(first), second]


def _reading(site: Site, steps: Sequence[_Step]) -> tuple[FileSource, list[_Step]] | None:
    """The files that a dataset of names and the first step that opens them stand for; None where it is something else."""
    at = next((i for i, step in enumerate(steps) if not isinstance(step.stage, FILE_LEVEL)), len(steps))
    paths = _names(site)
    if at == len(steps) or paths is None or not isinstance(steps[at].stage, FlatMap | Interleave):
        return None
    opens, found = steps[at], steps[at].inside
    if found is None or found.opening is None:
        return None
    try:
        source = found.opening.source(paths)
        listed = resolve(source).files
    except (SourceError, KnobError):
        return None
    inner = found.stages
    if isinstance(opens.stage, Interleave):
        stage = dataclasses.replace(opens.stage, map_func=None)
    else:
        stage = Interleave(cycle_length=1, num_parallel_calls=None, inner=inner)
    if listed != paths or refusal(Position(reader=stage.name), stage, source) is not None:
        return None
    in_order = at == 0 and not inner and isinstance(opens.stage, FlatMap)
    return source, [*steps[:at], *([] if in_order else [opens._replace(stage=stage)]), *steps[at + 1 :]]


def _names(site: Site) -> tuple[str, ...] | None:
    """The constant strings, one at a time, that a dataset is; None where it is something else."""
    if site.op != "TensorSliceDataset" or list(site.node.attr["Toutput_types"].list.type) != [
        tf.string.as_datatype_enum
    ]:
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
