"""A plan as a Python module that makes the same dataset with nothing but TensorFlow."""

from __future__ import annotations

from typing import Final

from pipeline_opt.errors import FunctionError, PlanError
from pipeline_opt.names import inner_prefix
from pipeline_opt.plan import Combination, Concatenate, Merge, Plan, Sample, Zip, unfolded
from pipeline_opt.sources import FileSource, OpaqueDataset, Source, Tensors
from pipeline_opt.stages import Repeat, Take, inner_stages
from pipeline_opt.text.code.layout import call
from pipeline_opt.text.code.script import Script
from pipeline_opt.text.code.sources import Resolve, file_lines, memory_lines, reading_line, record_lines
from pipeline_opt.text.code.stages import stage_lines
from pipeline_opt.text.values import literal

_FIRST: Final = 1000
"""Elements that running the script looks at, where the dataset never ends."""


def to_python(plan: Plan, resolve: Resolve) -> str:
    """The plan as the text of a Python module; it imports nothing of this package.

    The module's `make_dataset()` gives a dataset of the elements that building the plan gives; running the module
    counts them. Functions with a reference are imported; others, and this package's own, are written out with what they
    use. A function whose module imports this package is written out as well, where that can be done. Of a function that
    returns a plan, the plan is written.

    Args:
        plan: A plan whose order is legal.
        resolve: Lists the files of a source. A simple glob is listed anew when the code runs; other files stand in the
            code by name.

    Raises:
        FunctionError: a function has no reference and cannot be written out; names the stage and the remedy.
        PlanError: an argument or a tensor in memory has no form in code.
        SourceError: the files of a source cannot be listed.
    """
    plan = unfolded(plan)
    script = Script()
    body = "\n".join(_plan_lines(script, plan, resolve, ""))
    elements = f"make_dataset().take({_FIRST})" if _never_ends(plan) else "make_dataset()"
    return script.text(body, f"print(sum(1 for _ in {elements}))")


def _plan_lines(script: Script, plan: Plan, resolve: Resolve, prefix: str) -> list[str]:
    source, reader = plan.source, plan.reader
    lines: list[str] = []
    if isinstance(source, FileSource):
        resolved = resolve(source)
        lines += record_lines(source, resolved) if reader is None else file_lines(source, resolved)
    else:
        lines += _source_lines(script, source, resolve, prefix)
    for stage in plan.stages:
        where = prefix + stage.name
        if inner_stages(stage):
            raise PlanError(f"{where}: the stages inside it cannot be written as code")
        if isinstance(source, FileSource) and reader is not None and stage.name == reader.name:
            lines.append(reading_line(source, resolved, reader, f"name={where!r}"))
        else:
            lines += stage_lines(script, stage, where)
    return lines


def _source_lines(script: Script, source: Source, resolve: Resolve, prefix: str) -> list[str]:
    if isinstance(source, Tensors | OpaqueDataset):
        return memory_lines(script, source, f"{prefix}source")
    if not isinstance(source, Combination):
        raise PlanError(f"{prefix}source: {source!r} cannot be written as code")
    lines: list[str] = []
    parts: list[str] = []
    for number, part in enumerate(source.plans):
        inner = inner_prefix(prefix, number)
        parts.append(f"{inner}ds")
        lines += [*_plan_lines(script, part, resolve, inner), f"{parts[-1]} = ds"]
    return [*lines, f"ds = {_combined(source, parts)}"]


def _combined(source: Combination, parts: list[str]) -> str:
    match source:
        case Merge():
            raise FunctionError("source: a transformation that only an existing dataset holds has no code")
        case Zip():
            return call("tf.data.Dataset.zip", parts)
        case Concatenate():
            return parts[0] + "".join(f".concatenate({part})" for part in parts[1:])
        case Sample():
            arguments = [f"[{', '.join(parts)}]"]
            if source.weights is not None:
                arguments.append(f"weights={literal(list(source.weights), 'weights')}")
            if source.seed is not None:
                arguments.append(f"seed={source.seed}")
            if source.stop_on_empty_dataset:
                arguments.append("stop_on_empty_dataset=True")
            return call("tf.data.Dataset.sample_from_datasets", arguments)


def _never_ends(plan: Plan) -> bool:
    """Whether the plan alone says that there is always another element."""
    match plan.source:
        case Zip(plans=plans):
            endless = all(map(_never_ends, plans))
        case Concatenate(plans=plans) | Sample(plans=plans):
            endless = any(map(_never_ends, plans))
        case _:
            endless = False
    for stage in plan.stages:
        if isinstance(stage, Repeat) and stage.count is None:
            endless = True
        elif isinstance(stage, Take) or (isinstance(stage, Repeat) and stage.count == 0):
            endless = False
    return endless
