"""Which forms a map's function has: derived, compared on a few elements, and timed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipeline_opt.build.forms import FORMS, Refused, derive
from pipeline_opt.build.forms.verify import compare
from pipeline_opt.build.steps import Built
from pipeline_opt.build.traced import Traced, of_wrapper, traced
from pipeline_opt.clock import Clock
from pipeline_opt.lazy import lazy_module
from pipeline_opt.optimizer.facts import FormFacts
from pipeline_opt.stages import Batching, Map, PaddedBatch, Stage
from pipeline_opt.tuner.samples import Samples, seconds_each

tf = lazy_module("tensorflow")
structure = lazy_module("tensorflow.python.data.util.structure")

COMPARED: Final = 12
"""Elements on which a form is compared with the function."""
USUAL_BATCH: Final = 64


def forms_of(stage: Map, step: Built, taken: Samples, following: Stage | None, clock: Clock) -> Mapping[str, FormFacts]:
    """What is known of the forms of a map's function.

    Args:
        stage: The map.
        step: It, built.
        taken: Elements that it takes.
        following: The stage that batches what it makes, if one does.
        clock: Measures.
    """
    function = traced_by(step, stage)
    found = {}
    for name in FORMS:
        if name == "padded" and not isinstance(following, PaddedBatch):
            continue
        if name == "batched" and isinstance(following, PaddedBatch):
            continue
        found[name] = _form(name, function, taken, following, clock)
    return found


def traced_by(step: Built, stage: Map) -> Traced:
    """A map's function as it was traced when the stage was built."""
    wrappers = step.after._functions() if hasattr(step.after, "_functions") else []
    return of_wrapper(wrappers[0]) if len(wrappers) == 1 else traced(stage.function, step.before.element_spec)


def _form(name: str, function: Traced, taken: Samples, following: Stage | None, clock: Clock) -> FormFacts:
    of_batches = name in ("batched", "padded")
    if of_batches and not _is_uniform(function.takes):
        return FormFacts(refused=f"{function.label} takes elements of several shapes, of which there can be no batch")
    told = {}
    if isinstance(following, PaddedBatch):
        told = {"padded_shapes": following.padded_shapes, "padding_values": following.padding_values}
    derived = derive(function, [name], **(told if name == "padded" else {}))
    if isinstance(derived, Refused):
        return FormFacts(refused=derived.reason)
    if not of_batches:
        return FormFacts(refused="not looked at")
    put = (lambda dataset, size: dataset.padded_batch(size, **told)) if name == "padded" else None
    elements = list(taken.dataset.take(COMPARED).as_numpy_iterator())
    agreement = compare(function, derived, elements, put)
    if agreement.mismatch:
        return FormFacts(refused=f"{function.label}: {name} gives something else: {agreement.mismatch}")
    preserves = "exact" if agreement.exact and getattr(derived, "preserves", "exact") == "exact" else "rounding"
    size = following.batch_size if isinstance(following, Batching) else USUAL_BATCH
    batches = taken.dataset.repeat().batch(size).take(4).cache().repeat()
    each = seconds_each(batches.map(derived), clock) - seconds_each(batches, clock)
    evidence = (
        f"{agreement.count} elements, alone and in batches, {'are equal bit for bit' if agreement.exact else 'agree'}"
        + ("" if agreement.exact else f" within {agreement.absolute:.1e} ({agreement.relative:.1e} of the value)")
    )
    bytes_out = 0.0
    return FormFacts(preserves, max(each, 0.0) / size, evidence, bytes_out)


def _is_uniform(spec: Any) -> bool:
    parts = tf.nest.flatten(spec)
    return all(isinstance(part, tf.TensorSpec) and part.shape.is_fully_defined() for part in parts)
