"""Where a pipeline is measured and tried: its time budget, its files, its facts, and contests of plans with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

from pipeline_opt.build.failures import translate
from pipeline_opt.clock import Clock
from pipeline_opt.errors import PlanError
from pipeline_opt.ingest.graph import nodes_of
from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import Machine
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.flow import last_flow
from pipeline_opt.plan import Combination, Plan, with_inner
from pipeline_opt.profiler.endless import is_endless
from pipeline_opt.sources import OpaqueDataset
from pipeline_opt.stages import OpaqueStage
from pipeline_opt.tuner.allocator import give_back
from pipeline_opt.tuner.decision import GIVEN
from pipeline_opt.tuner.facts import gather_facts
from pipeline_opt.tuner.pace import pace
from pipeline_opt.tuner.reading_in import Prepared, as_plan, prepared, with_traced
from pipeline_opt.tuner.rows import counter
from pipeline_opt.tuner.scratch import Scratch
from pipeline_opt.tuner.shortened import MOST_EPOCHS, Part, part_to_compare, shortened
from pipeline_opt.tuner.trials import Contest, contest
from pipeline_opt.tuner.wishes import Wishes
from pipeline_opt.tuner.writers import writes_outside
from pipeline_opt.variants import writes_files

tf = lazy_module("tensorflow")

FACTS_SHARE: Final = 0.4
"""The part of the budget that is spent on looking for forms of functions, but for the last one."""
MOST_SLICES: Final = 12
MOST_WHOLE: Final = 24
"""Rounds of a contest at the most, of slices and of whole epochs of a part of the data, which can be shorter."""
PACE_SHARE: Final = 0.05
"""The part of the budget in which it is seen how fast the whole pipeline is."""
RESERVE: Final = 0.5
"""The part of the free memory that a pipeline may take where nothing is said."""


class Bench:
    """A pipeline on the bench.

    Args:
        pipeline: A plan, or any `tf.data.Dataset`.
        wishes: What is asked.
        machine: What there is to work with.
        clock: Measures.
        on_progress: Told the seconds that have passed and what is done.
        scratch: Where files go that are written while trying.

    Attributes:
        given: The plan that was given, as it was read.

    Raises:
        PlanError, SourceError: The pipeline cannot be built.
    """

    def __init__(
        self,
        pipeline: Any,
        wishes: Wishes,
        machine: Machine,
        clock: Clock,
        on_progress: Callable[[float, str], object],
        scratch: Scratch,
    ) -> None:
        self._original, self.wishes, self.clock, self.scratch = pipeline, wishes, clock, scratch
        self._machine, self._on_progress, self._started = machine, on_progress, clock.now()
        self.given = with_traced(as_plan(pipeline))

    @cached_property
    def start(self) -> Plan:
        """The plan where a search begins: the given one, but for what was prepared."""
        return self.prepared[-1].plan if self.prepared else self.given

    @cached_property
    def prepared(self) -> list[Prepared]:
        """The changes that lead there from the plan that was given."""
        return prepared(self.given)

    def as_given(self) -> tuple[Plan, Any]:
        """The very object that was given: its plan, and the dataset if it was one."""
        return (self._original, None) if isinstance(self._original, Plan) else (self.given, self._original)

    # ---- time --------------------------------------------------------------------------------------------------------

    @property
    def spent_s(self) -> float:
        """Seconds since the beginning."""
        return self.clock.now() - self._started

    def seconds(self, share: float, least: float = 0.0) -> float:
        """A share of what is left of the budget, or at least a share of the whole."""
        return max(share * (self.wishes.budget_s - self.spent_s), least * self.wishes.budget_s)

    def tell(self, what: str) -> None:
        """Say what is done now."""
        self._on_progress(self.spent_s, what)

    # ---- measuring ---------------------------------------------------------------------------------------------------

    def facts(self) -> Facts:
        """What is measured of the pipeline, with what is asked of it.

        Raises:
            StageError, SourceError: Its source fails.
        """
        forms_s = FACTS_SHARE * self.wishes.budget_s
        start = self.scratch.own(self.start)
        try:
            facts = gather_facts(start, self._machine, self.clock, forms_s, lambda name: self.tell(f"measuring {name}"))
        except tf.errors.OpError as error:
            raise translate(error, start) from error
        free, wishes = int(self._machine.ram_available_bytes * RESERVE), self.wishes
        rows = last_flow(self.start, facts).rows
        facts = dataclasses.replace(
            facts,
            memory_bytes=free if wishes.memory_bytes is None else wishes.memory_bytes,
            epochs=wishes.epochs,
            step_s=wishes.step_s if wishes.step_rows is None else wishes.step_s * rows / wishes.step_rows,
            bits=wishes.bits,
            order_free=wishes.order_free,
        )
        self.tell("measuring the whole pipeline")
        seconds = self.seconds(0.0, PACE_SHARE)
        found = pace(lambda: self.scratch.build(self.given), self.start, facts, seconds, self.clock)
        return dataclasses.replace(facts, pace=found)

    # ---- trying ------------------------------------------------------------------------------------------------------

    def part(self, plans: Mapping[str, Plan], facts: Facts, seconds: float) -> Part | None:
        """The part of the data of which plans are to run whole epochs in some seconds; None where they are to run slices."""
        return None if self._endless else part_to_compare(self.start, plans.values(), facts, seconds)

    def contest(
        self, plans: Mapping[str, Plan], facts: Facts, seconds: float, part: Part | None, *, whole: bool = False
    ) -> Contest:
        """Run plans in turns; `given` stands for what was given itself, not for what was read of it.

        Args:
            plans: The plans, by name.
            facts: What is known.
            seconds: The time for all.
            part: The part of the data of which whole epochs are run.
            whole: Whether turns are whole epochs where there is no such part, too.
        """
        endless = self._endless
        return contest(
            {name: self._maker(name, plan, part, facts) for name, plan in plans.items()},
            seconds=seconds,
            clock=self.clock,
            elements_of=counter(self.given, self._sample.element_spec),
            epochs=1 if endless else min(self.wishes.epochs, MOST_EPOCHS),
            job_epochs=1 if endless else self.wishes.epochs,
            whole=whole or part is not None,
            max_rounds=MOST_SLICES if part is None else MOST_WHOLE,
            seed=self.wishes.seed,
            memory_bytes=facts.memory_bytes,
            settle=give_back,
            on_progress=lambda _, what: self.tell(what),
        )

    @cached_property
    def _sample(self) -> Any:
        """A dataset of what was given, to look at."""
        return self.scratch.build(self.given)

    @cached_property
    def _endless(self) -> bool:
        return is_endless(self._sample, nodes_of(self._sample))

    def _maker(self, name: str, plan: Plan, part: Part | None, facts: Facts) -> Callable[[], Any]:
        """What makes a dataset that is tried: all of it, or, of all alike, the first elements only."""
        if part is not None and part.elements < math.inf:
            return lambda: self.scratch.build(shortened(plan, part, facts))
        return self._make_given if name == GIVEN else lambda: self.scratch.build(plan)

    def _make_given(self) -> Any:
        """What was given itself, not what was read of it; with files of its own where it writes any."""
        if writes_files(self.given):
            return self.scratch.build(self.given)
        plan, dataset = self.as_given()
        return self.scratch.build(plan) if dataset is None else dataset

    @cached_property
    def untouched(self) -> str:
        """Why the pipeline must not be run at all, not even to try it; empty where it may."""
        try:
            outside = writes_outside(self._sample, self.scratch.path)
        except PlanError as error:
            # Stages that are known write to the scratch.
            return f"it may write files, which cannot be seen: {error}" if _has_unknown(self.given) else ""
        return "it writes files where the user said, and so would all that is tried" if outside else ""

    def live(self) -> Any:
        """The dataset that was given, where it can be read as it is; None for a plan, and where it writes files."""
        return None if writes_files(self.given) else self.as_given()[1]


def _has_unknown(plan: Plan) -> bool:
    """Whether a plan holds what only its own code knows."""
    parts = plan.source.plans if isinstance(plan.source, Combination) else ()
    own = isinstance(plan.source, OpaqueDataset) or any(isinstance(s, OpaqueStage) for s in with_inner(plan.stages))
    return own or any(map(_has_unknown, parts))
