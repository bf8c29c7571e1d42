"""Which stage an iterator of the running pipeline belongs to."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline_opt.ingest.graph import Node
from pipeline_opt.names import prefix_of
from pipeline_opt.plan import Plan
from pipeline_opt.sources import Source
from pipeline_opt.stages import Options, Stage

EXTRACT_KINDS = frozenset({"tfrecords", "text", "csv", "fixed_length", "images", "tensors", "generator", "dataset", "range",
                           "interleave", "snapshot", "fixed_length_record", "load"})  # fmt: skip
"""Stages whose business is to bring elements in. Of a cache only the part that reads files is extract."""


@dataclass(frozen=True)
class StageInfo:
    """What is known of a stage before it runs.

    Args:
        name: Its name.
        kind: Its kind.
        label: The name that its events carry.
        parallelism: As in the plan.
        inputs: The indices of the stages that it takes from; None: the one before it, if there is one.
    """

    name: str
    kind: str
    label: str
    parallelism: int | str | None = None
    inputs: tuple[int, ...] | None = None

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
        self._by_label: dict[str, list[int]] = defaultdict(list)
        for i, info in enumerate(self.stages):
            self._by_label[info.label].append(i)

    def inputs(self, stage: int) -> tuple[int, ...]:
        """The stages that one takes from."""
        given = self.stages[stage].inputs
        return tuple(range(max(stage - 1, 0), stage)) if given is None else given

    def chain(self) -> list[int]:
        """The stages from the last one up to the source, or to where several pipelines meet."""
        chain = [len(self.stages) - 1] if self.stages else []
        while chain and len(self.inputs(chain[-1])) == 1:
            chain.extend(self.inputs(chain[-1]))
        return chain

    def of_iterator(self, path: str, labels: Mapping[str, str]) -> tuple[int, ...]:
        """Indices of the stages behind an iterator itself: several for a fused one, none for an injected or an inner one.

        Args:
            path: `Iterator::Root::Prefetch::Map`, one component an iterator.
            labels: tf.data's names of the iterators, by path.
        """
        label = labels.get(path, "")
        fused = re.fullmatch(r"fused\((.*)\)", label)
        found = [self._by_label.get(part, []) for part in (fused.group(1).split(",") if fused else [label])]
        # Where a name stands on several stages, the iterators that pull from this one tell which of them it is.
        above = path
        while (above := above.rpartition("::")[0]) and any(len(stages) > 1 for stages in found):
            if labels.get(above) == label:
                found = [stages[:-1] or stages for stages in found]
        return tuple(stages[-1] for stages in found if stages)

    def of_path(self, path: str, labels: Mapping[str, str]) -> tuple[int, ...]:
        """Indices of the stages behind an iterator's path; an inner iterator belongs to the stage that opened it.

        Args:
            path: `Iterator::Root::Prefetch::Map`, one component an iterator.
            labels: tf.data's names of the iterators, by path.
        """
        known = self._by_path.get(path)
        if known is None:
            known = self.of_iterator(path, labels)
            if not known and is_inner(path):
                known = self.of_path(parent(path), labels)
            if known:
                self._by_path[path] = known
        return known

    def of_label(self, label: str) -> int | None:
        """The stage whose events carry a name, the last one of several; None if there is none."""
        return self._by_label[label][-1] if label in self._by_label else None

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
    inputs = _inputs_by_prefix(list(working), {name for name, item in working.items() if isinstance(item, Source)})
    return StageMap(
        [
            StageInfo(name, item.kind, name, given_parallelism(item), taken)
            for (name, item), taken in zip(working.items(), inputs, strict=True)
        ]
    )


def _inputs_by_prefix(names: list[str], sources: set[str]) -> list[tuple[int, ...]]:
    """What each stage takes from: the one before it in its plan; a source, from the last of each plan in it (`in0_`)."""
    last: dict[str, int] = {}
    for i, name in enumerate(names):
        last[prefix_of(name)] = i
    inputs: list[tuple[int, ...]] = []
    before: dict[str, int] = {}
    for i, name in enumerate(names):
        prefix = prefix_of(name)
        inner = [at for other, at in last.items() if re.fullmatch(re.escape(prefix) + r"in\d+_", other)]
        inputs.append(tuple(inner) if name in sources else (before[prefix],))
        before[prefix] = i
    return inputs


def from_nodes(nodes: list[Node]) -> StageMap:
    """The stages of a dataset that only its graph describes: named after the user's names and functions."""
    over = {node.key: node.inputs for node in nodes if node.kind == Options.kind}
    nodes = [node for node in nodes if node.kind != Options.kind]
    index = {node.key: i for i, node in enumerate(nodes)}
    wanted = [_wanted_name(node) for node in nodes]
    counts: Counter[str] = Counter()
    stages = []
    for node, name in zip(nodes, wanted, strict=True):
        counts[name] += 1
        unique = name if counts[name] == 1 else f"{name}_{counts[name]}"
        inputs = (_past(key, over) for key in node.inputs)
        taken = tuple(index[key] for key in inputs if key in index)
        stages.append(StageInfo(unique, node.kind, node.label, node.parallelism, taken))
    return StageMap(stages)


def _past(key: str, over: Mapping[str, tuple[str, ...]]) -> str:
    """The op that a chain of options stands on."""
    while over.get(key):
        key = over[key][0]
    return key


def given_parallelism(item: Stage | Source) -> int | str | None:
    """What a plan says of a stage's parallelism: a number, "auto", or None for a sequential one."""
    given = getattr(item, "num_parallel_calls", None)
    return "auto" if given == -1 else given


def _wanted_name(node: Node) -> str:
    given_by_user = not re.fullmatch(r"\w+(Dataset\w*|Op|Reader):\d+", node.label) and "/_" not in node.label
    return node.label if given_by_user else node.function or node.kind
