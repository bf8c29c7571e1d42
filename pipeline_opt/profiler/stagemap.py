"""Which stage an iterator of the running pipeline belongs to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline_opt.plan import Plan
from pipeline_opt.profiler.graph import Node
from pipeline_opt.sources import Source
from pipeline_opt.stages import Options, Stage

EXTRACT_KINDS = frozenset({"tfrecords", "text", "csv", "fixed_length", "images", "tensors", "generator", "dataset", "range",
                           "interleave", "snapshot", "fixed_length_record", "load"})  # fmt: skip
"""Stages whose business is to bring elements in. Of a cache only the part that reads files is extract."""


@dataclass(frozen=True)
class StageInfo:
    """What is known of a stage before it runs. `label` is the name that its events carry; `parallelism` as in the plan."""

    name: str
    kind: str
    label: str
    parallelism: int | str | None = None

    @property
    def phase(self) -> str:
        """The phase of its work where the trace does not tell otherwise."""
        return "extract" if self.kind in EXTRACT_KINDS else "transform"


@dataclass
class StageMap:
    """The stages of a pipeline, and the way from a trace event or a model node to them.

    tf.data rewrites a pipeline before it runs it: it fuses stages (`fused(a,b)`), and injects prefetches that belong to none. The
    names that stages carry survive that.
    """

    stages: list[StageInfo]
    _by_path: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_label = {info.label: i for i, info in enumerate(self.stages)}

    def of_label(self, label: str) -> tuple[int, ...]:
        """Indices of the stages behind tf.data's name of an iterator, several for a fused one, none for an injected one."""
        if label in self._by_label:
            return (self._by_label[label],)
        fused = re.fullmatch(r"fused\((.*)\)", label)
        if fused:
            parts = fused.group(1).split(",")
            return tuple(self._by_label[part] for part in parts if part in self._by_label)
        return ()

    def of_path(self, path: str, labels: Mapping[str, str]) -> tuple[int, ...]:
        """Indices of the stages behind an iterator's path; an inner iterator belongs to the stage that opened it.

        Args:
            path: `Iterator::Root::Prefetch::Map`, one component an iterator.
            labels: tf.data's names of the iterators, by path.
        """
        known = self._by_path.get(path)
        if known is None:
            known = self.of_label(labels.get(path, ""))
            if not known and is_inner(path):
                known = self.of_path(parent(path), labels)
            self._by_path[path] = known
        return known

    def by_kind(self, indices: Iterable[int], kind: str) -> int | None:
        """The first of some stages that has the kind."""
        return next((i for i in indices if self.stages[i].kind == kind), None)


def parent(path: str) -> str:
    """The path of the iterator that pulls from this one.

    >>> parent("Iterator::Root::Interleave[0]::FlatMap")
    'Iterator::Root::Interleave'
    """
    above = path.rpartition("::")[0]
    return re.sub(r"\[\d+\]$", "", above)


def is_inner(path: str) -> bool:
    """Whether an iterator was made by a stage's function while the pipeline ran: one of its ancestors is numbered."""
    return "]::" in path


def from_plan(plan: Plan, names: Mapping[str, Stage | Source]) -> StageMap:
    """The stages of a plan, which carry their own names as labels.

    Args:
        plan: The plan.
        names: Every source and stage by the name it carries, inner plans included, in order.
    """
    working = {name: item for name, item in names.items() if not isinstance(item, Options)}
    return StageMap([StageInfo(name, item.kind, name, given_parallelism(item)) for name, item in working.items()])


def from_nodes(nodes: list[Node]) -> StageMap:
    """The stages of a dataset that only its graph describes: named after the user's names and functions."""
    nodes = [node for node in nodes if node.kind != Options.kind]
    wanted = [_wanted_name(node) for node in nodes]
    counts: Counter[str] = Counter()
    stages = []
    for node, name in zip(nodes, wanted, strict=True):
        counts[name] += 1
        unique = name if counts[name] == 1 else f"{name}_{counts[name]}"
        stages.append(StageInfo(unique, node.kind, node.label, node.parallelism))
    return StageMap(stages)


def given_parallelism(item: Stage | Source) -> int | str | None:
    """What a plan says of a stage's parallelism: a number, "auto", or None for a sequential one."""
    given = getattr(item, "num_parallel_calls", None)
    return "auto" if given == -1 else given


def _wanted_name(node: Node) -> str:
    given_by_user = not re.fullmatch(r"\w+(Dataset\w*|Op|Reader):\d+", node.label) and "/_" not in node.label
    return node.label if given_by_user else node.function or node.kind
