"""Which forms a map's function has: derived, compared on a few elements, and timed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pipeline_opt.build.forms import IN_PLACE, PARTS, Derived, Refused, derive
from pipeline_opt.build.forms.image_checks import same_results
from pipeline_opt.build.forms.verify import Agreement, Batch, compare, compare_rows
from pipeline_opt.build.ragged_rows import dense_rows
from pipeline_opt.build.steps import Built
from pipeline_opt.build.traced import Traced, of_wrapper, traced
from pipeline_opt.clock import Clock
from pipeline_opt.lazy import lazy_module
from pipeline_opt.optimizer.facts import FormFacts, Overheads, StageFacts
from pipeline_opt.optimizer.rules import batch_tail, chunks
from pipeline_opt.stages import Batching, Map, PaddedBatch, Stage
from pipeline_opt.tuner.samples import Samples, cpu_each, gathered, in_memory, one_thread

tf = lazy_module("tensorflow")

COMPARED: Final = 12
"""Elements on which a form is compared with the function."""
BATCHES: Final = 4
"""Batches that are made once, and that a form then takes over and over."""
LEAST_WORK_S: Final = 60e-6
"""A function that takes less has no form in place that is worth a look."""


class FormFinder:
    """Looks for the forms of a function.

    Args:
        function: The function.
        taken: Elements that it takes.
        clock: Measures.
        cost: What tf.data takes itself.
    """

    def __init__(self, function: Traced, taken: Samples, clock: Clock, cost: Overheads) -> None:
        self._function = function
        self._taken = taken
        self._clock = clock
        self._cost = cost

    def of_batches(self, following: Stage | None) -> Mapping[str, FormFacts]:
        """The form that computes whole batches, for the stage that batches what the function gives."""
        name = "padded" if isinstance(following, PaddedBatch) else "batched"
        size = following.batch_size if isinstance(following, Batching) else chunks.ROWS
        return {name: self._of_batches(name, size, following)[0]}

    def of_ends(self, size: int) -> Mapping[str, FormFacts]:
        """The two parts of a function of which only the last one can compute whole batches."""
        head, tail = (derive(self._function, part) for part in (batch_tail.HEAD, batch_tail.TAIL[0]))
        for part in (head, tail):
            if isinstance(part, Refused):
                return {batch_tail.HEAD: FormFacts(refused=part.reason)}
        assert isinstance(head, Traced)
        assert isinstance(tail, Traced)
        known, between = self._first_part(head)
        first, last = (FormFinder(*part, self._clock, self._cost) for part in ((head, self._taken), (tail, between)))
        rows = replace(first._of_batches(batch_tail.LOOPED[1], size, None)[0], bytes_out=between.bytes)
        behind = last._of_batches(batch_tail.TAIL[1], size, None)[0]
        return {batch_tail.HEAD: known, "+".join(batch_tail.LOOPED): rows, "+".join(batch_tail.TAIL): behind}

    def of_chunks(self, given_bytes: float) -> tuple[Mapping[str, FormFacts], StageFacts | None]:
        """The forms that compute many rows at once where no batch follows, and what it takes to take them apart again.

        Args:
            given_bytes: Bytes of what the function gives for an element.

        Returns:
            The form, and that whose rows are end to end; and of taking apart what is known, None where there is no form.
        """
        rows = chunks.chunk_rows(self._taken.bytes, given_bytes)
        found, derived = self._of_batches(chunks.FORM, rows, None)
        if derived is None or found.refused is not None:
            return {chunks.FORM: found}, None
        joined = derive(derived, chunks.END_TO_END[-1])
        flat = FormFacts(refused=joined.reason) if isinstance(joined, Refused) else found
        made = in_memory(self._taken.dataset.repeat().batch(rows).map(derived), 1).repeat()
        apart_s = cpu_each(dense_rows(made), self._clock) - cpu_each(made, self._clock) / rows
        return {chunks.FORM: found, "+".join(chunks.END_TO_END): flat}, StageFacts(cpu_s=max(apart_s, 0.0))

    def in_place(self, work_s: float) -> Mapping[str, FormFacts]:
        """The forms that do the same with less work, each, and one after another."""
        found: dict[str, FormFacts] = {}
        if work_s < LEAST_WORK_S:
            return found
        for name in IN_PLACE:
            found[name] = self._in_place((name,))
        together: tuple[str, ...] = ()
        for name in IN_PLACE:
            if found[name].refused is not None:
                continue
            longer = (*together, name)
            if len(longer) > 1:
                found["+".join(longer)] = self._in_place(longer)
            if found["+".join(longer)].refused is None:
                together = longer
        return found

    def parts(self, work_s: float) -> Mapping[str, FormFacts]:
        """The parts between which something else may stand."""
        if work_s < LEAST_WORK_S:
            return {}
        return dict(pair for names in PARTS for pair in self._parts(*names))

    def _of_batches(self, name: str, size: int, following: Stage | None) -> tuple[FormFacts, Traced | None]:
        """A form of which a call computes so many elements: what is known of it, and the form itself if there is one."""
        if not _is_uniform(self._function.takes):
            label = self._function.label
            return FormFacts(refused=f"{label} takes elements of several shapes, of which there can be no batch"), None
        told: dict[str, Any] = {}
        if isinstance(following, PaddedBatch):
            told = {"padded_shapes": following.padded_shapes, "padding_values": following.padding_values}
        derived = derive(self._function, name, **told)
        if isinstance(derived, Refused):
            return FormFacts(refused=derived.reason), None
        elements = list(self._taken.dataset.take(COMPARED).as_numpy_iterator())
        if name == chunks.FORM:
            agreement = compare_rows(self._function, derived, elements)
        else:
            agreement = compare(self._function, derived, elements, _puts_together(name, told))
        batches = in_memory(self._taken.dataset.repeat().batch(size), BATCHES).repeat()
        return self._judged(name, derived, agreement, batches, size * self._taken.rows), derived

    def _in_place(self, names: tuple[str, ...]) -> FormFacts:
        derived: Traced = self._function
        for name in names:
            further = derive(derived, name)
            if isinstance(further, Refused):
                return FormFacts(refused=further.reason)
            derived = further
        elements = list(self._taken.dataset.take(COMPARED).as_numpy_iterator())
        agreement = same_results(self._function, derived, elements)
        return self._judged(names[-1], derived, agreement, self._taken.dataset.repeat(), 1)

    def _judged(self, name: str, derived: Traced, agreement: Agreement, inputs: Any, rows: float) -> FormFacts:
        if agreement.mismatch:
            said = f"{name} was not found to give the same: {agreement.mismatch}"
            return FormFacts(refused=f"{self._function.label}: {said}")
        rounding = derived.rounding if isinstance(derived, Derived) else ()
        base = cpu_each(inputs, self._clock) + self._cost.call
        made = inputs.map(derived)
        each, alone = ((cpu_each(dataset, self._clock) - base) / rows for dataset in (made, one_thread(made)))
        bits = "are equal bit for bit" if agreement.exact else f"agree within {agreement.absolute:.1e}"
        others = f"; {', '.join(rounding)} may round otherwise" if rounding else ""
        exact = agreement.exact and not rounding
        evidence = f"{agreement.count} elements {bits}{others}"
        kept = "exact" if exact else "rounding"
        return FormFacts(kept, max(each, 0.0), evidence, alone_s=max(alone, 0.0))

    def _parts(self, first: str, second: str) -> Iterator[tuple[str, FormFacts]]:
        head, tail = derive(self._function, first), derive(self._function, second)
        if isinstance(head, Refused):
            yield first, FormFacts(refused=head.reason)
            return
        if isinstance(tail, Refused):
            yield first, FormFacts(refused=tail.reason)
            return
        known, between = self._first_part(head)
        yield first, known
        kept = between.dataset.repeat()
        rest = max(cpu_each(kept.map(tail), self._clock) - cpu_each(kept, self._clock) - self._cost.call, 0.0)
        yield second, FormFacts("exact", rest, known.evidence)

    def _first_part(self, head: Traced) -> tuple[FormFacts, Samples]:
        """What is known of the first of two parts, and what it gives."""
        endless = self._taken.dataset.repeat()
        between = gathered(endless.map(head), self._clock, batched=False)
        work = max(cpu_each(endless.map(head), self._clock) - cpu_each(endless, self._clock) - self._cost.call, 0.0)
        return FormFacts("exact", work, "the same ops, cut in two", between.bytes), between


def traced_by(step: Built, stage: Map) -> Traced:
    """A map's function as it was traced when the stage was built."""
    if stage.forms or isinstance(stage.function.call, Traced):
        return traced(stage.function, step.before.element_spec)
    wrappers = step.after._functions() if hasattr(step.after, "_functions") else []
    return of_wrapper(wrappers[0]) if len(wrappers) == 1 else traced(stage.function, step.before.element_spec)


def _is_uniform(spec: Any) -> bool:
    parts = tf.nest.flatten(spec)
    return all(isinstance(part, tf.TensorSpec) and part.shape.is_fully_defined() for part in parts)


def _puts_together(name: str, told: Mapping[str, Any]) -> Batch:
    """What batches the results of a function, where a form gives whole batches."""
    method = "padded_batch" if name == "padded" else "batch"
    return lambda dataset, size: getattr(dataset, method)(size, **told)
