"""Samples of tf.data's own model of a running pipeline: what AUTOTUNE chose, how full buffers are, how much went through."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline_opt.clock import Clock
from pipeline_opt.ingest.graph import kind_of
from pipeline_opt.lazy import lazy_module
from pipeline_opt.profiler.stagemap import StageMap
from pipeline_opt.record import KnobSeries

tf = lazy_module("tensorflow")

PERIOD_S = 0.25
"""A sample costs half a millisecond or so; nodes vanish from the model when their input ends, so it has to be asked often."""

FUSED = {
    "MapAndBatch": ("batch", "map"),
    "ShuffleAndRepeat": ("repeat", "shuffle"),
}
"""Model nodes that stand for several stages, last stage first."""

UNMODELLED = frozenset({"options", "prefetch_to_device", "ragged_batch", "bucket_by_sequence_length", "rebatch", "snapshot",
                        "sample", "opaque", "dataset"})  # fmt: skip
"""Stages that have no node of their own in the model, or several of other kinds."""

MODELLED_AS = {"generator": "flat_map"}
"""The kind that the model has for a stage, where that is not its own."""

SERIES = ("parallelism", "buffer_size")
"""The parameters that are kept over time."""


@dataclass
class Totals:
    """What the model last said of a stage, of one iterator or summed over several."""

    elements: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass
class ModelSampler:
    """Asks the model of the current iterator, several times a second, on a thread of its own.

    Args:
        stages: The pipeline's stages.
        clock: The profiler's clock.
        on_tick: Called after every sample, on the sampler's thread.
    """

    stages: StageMap
    clock: Clock
    on_tick: Callable[[], None] = lambda: None
    refusal: str | None = None
    _series: dict[tuple[int, str], list[tuple[float, float, bool]]] = field(default_factory=lambda: defaultdict(list))
    _done: list[dict[int, Totals]] = field(default_factory=list)
    _current: Any = None
    _seen: dict[int, Totals] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._thread = threading.Thread(target=self._run, name="pipeline_opt_model_sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def follow(self, iterator: Any) -> None:
        """Sample this iterator from now on."""
        with self._lock:
            self._current, self._seen = iterator, {}

    def leave(self) -> None:
        """Take a last sample and let go of the iterator, so that it can end."""
        with self._lock:
            self._sample()
            self._current = None
            self._done.append(self._seen)
            self._seen = {}

    @property
    def most_elements(self) -> int:
        """Elements that the busiest stage of the current iterator has made, as far as the model was seen."""
        return max((seen.elements for seen in list(self._seen.values())), default=0)

    def totals(self) -> dict[int, Totals]:
        """By stage index: elements and bytes over all iterators, as far as the model was seen."""
        totals: dict[int, Totals] = defaultdict(Totals)
        for seen in [*self._done, self._seen]:
            for stage, last in seen.items():
                total = totals[stage]
                total.elements += last.elements
                total.bytes_in += last.bytes_in
                total.bytes_out += last.bytes_out
        return dict(totals)

    def series(self, origin_s: float) -> tuple[KnobSeries, ...]:
        """Every number followed over time, in seconds from `origin_s`."""
        return tuple(
            KnobSeries(
                self.stages.stages[stage].name,
                knob,
                np.array([row[0] - origin_s for row in rows], np.float64),
                np.array([row[1] for row in rows], np.float64),
                any(row[2] for row in rows),
            )
            for (stage, knob), rows in sorted(self._series.items())
        )

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            with self._lock:
                self._sample()
            self.on_tick()

    def _sample(self) -> None:
        if self._current is None:
            return
        try:
            proto = tf.raw_ops.IteratorGetModelProto(iterator=self._current._iterator_resource).numpy()
        except tf.errors.NotFoundError:
            self.refusal = "AUTOTUNE is off, and without it TensorFlow keeps no model of the pipeline"
            return
        except (tf.errors.OpError, AttributeError) as error:
            self.refusal = f"TensorFlow gave no model of the pipeline: {str(error).splitlines()[0]}"
            return
        model = lazy_module("tensorflow.core.framework.model_pb2").ModelProto.FromString(proto)
        now_s = self.clock.now()
        for stage, node in match_nodes(model, self.stages):
            self._keep(stage, node, now_s)

    def _keep(self, stage: int, node: Any, now_s: float) -> None:
        seen = self._seen.setdefault(stage, Totals())
        seen.elements = max(seen.elements, elements_of(node, self.stages.stages[stage].kind))
        seen.bytes_in = max(seen.bytes_in, node.bytes_consumed)
        seen.bytes_out = max(seen.bytes_out, node.bytes_produced)
        for parameter in node.parameters:
            if parameter.name in SERIES:
                value = parameter.state_value if parameter.tunable else parameter.value
                self._series[stage, parameter.name].append((now_s, float(value), parameter.tunable))
        if any(p.name in (*SERIES, "max_buffered_elements") for p in node.parameters) or node.buffered_elements:
            self._series[stage, "buffered_elements"].append((now_s, float(node.buffered_elements), False))


def match_nodes(model: Any, stages: StageMap) -> list[tuple[int, Any]]:
    """Pairs of stage index and model node along the main chain, from the output back to the source.

    The model names only op types; tf.data may have injected a prefetch or fused two stages. Both chains are walked from the end,
    and a stage or a node without a counterpart is passed over. Beyond where several pipelines meet nothing is matched.
    """
    pairs = []
    left = stages.chain()
    for node in _chain(model):
        for kind in kinds_of_node(node.name):
            found = _find(stages, left, kind)
            if found is not None:
                pairs.append((left[found], node))
                left = left[found + 1 :]
    return pairs


def elements_of(node: Any, kind: str) -> int:
    """Elements that a stage of a kind made, by its node: a fused map and batch counts batches, of `ratio` elements each."""
    batches = node.name == "MapAndBatch" and kind == "map"
    return int(node.num_elements * node.ratio) if batches else int(node.num_elements)


def kinds_of_node(name: str) -> tuple[str, ...]:
    """The stage kinds that a model node stands for, last first.

    >>> kinds_of_node("MapAndBatch"), kinds_of_node("FiniteRepeat")
    (('batch', 'map'), ('repeat',))
    """
    if name in FUSED:
        return FUSED[name]
    bare = re.sub(r"^(Finite|Forever|Empty)", "", name)
    bare = re.sub(r"^(Memory|File)CacheImpl$|^(Memory|File)Cache$", "Cache", bare)
    return (kind_of(bare),)


def _find(stages: StageMap, left: list[int], kind: str) -> int | None:
    """The place of the nearest stage of a kind, passing only stages that the model may leave out."""
    for place, stage in enumerate(left):
        info = stages.stages[stage]
        modelled = MODELLED_AS.get(info.kind, info.kind)
        source = not stages.inputs(stage)
        if modelled == kind or (source and kind == "tensors" and info.phase == "extract"):
            return place
        if info.kind not in UNMODELLED:
            return None
    return None


def _chain(model: Any) -> list[Any]:
    nodes = []
    node = model.nodes.get(model.output) if hasattr(model.nodes, "get") else model.nodes[model.output]
    while node is not None:
        nodes.append(node)
        node = model.nodes[node.inputs[0]] if node.inputs and node.inputs[0] in model.nodes else None
    return nodes
