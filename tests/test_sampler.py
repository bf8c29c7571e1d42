"""Which stage a node of tf.data's model is, on hand-made models."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline_opt.profiler.sampler import elements_of, kinds_of_node, match_nodes
from pipeline_opt.profiler.stagemap import StageInfo, StageMap


def model(*names: str) -> Any:
    """A chain of nodes, the output first."""
    nodes = {i: SimpleNamespace(name=name, inputs=[i + 1], num_elements=0, ratio=1.0) for i, name in enumerate(names)}
    return SimpleNamespace(nodes=nodes, output=0)


def stages(*kinds: str) -> StageMap:
    return StageMap([StageInfo(f"{kind}_{i}", kind, f"{kind}_{i}") for i, kind in enumerate(kinds)])


def matched(nodes: Any, known: StageMap) -> dict[str, str]:
    return {known.stages[i].name: node.name for i, node in match_nodes(nodes, known)}


def test_the_chains_are_matched_from_the_end() -> None:
    known = stages("tfrecords", "interleave", "map", "map", "shuffle", "batch", "prefetch")
    found = matched(
        model("Root", "Prefetch", "BatchV2", "Shuffle", "ParallelMapV2", "Map", "ParallelInterleaveV4", "TensorSlice"),
        known,
    )
    assert found == {
        "prefetch_6": "Prefetch",
        "batch_5": "BatchV2",
        "shuffle_4": "Shuffle",
        "map_3": "ParallelMapV2",
        "map_2": "Map",
        "interleave_1": "ParallelInterleaveV4",
        "tfrecords_0": "TensorSlice",
    }


def test_an_injected_prefetch_belongs_to_nobody() -> None:
    assert matched(model("Root", "Prefetch", "ParallelMapV2", "Range"), stages("range", "map")) == {
        "map_1": "ParallelMapV2",
        "range_0": "Range",
    }


def test_a_fused_node_is_two_stages_and_counts_batches() -> None:
    known = stages("range", "map", "batch")
    assert matched(model("Root", "MapAndBatch", "Range"), known) == {
        "batch_2": "MapAndBatch",
        "map_1": "MapAndBatch",
        "range_0": "Range",
    }
    fused = SimpleNamespace(name="MapAndBatch", num_elements=10, ratio=32.0)
    assert (elements_of(fused, "map"), elements_of(fused, "batch")) == (320, 10)


def test_a_stage_without_a_node_is_passed_over() -> None:
    known = stages("range", "map", "bucket_by_sequence_length", "prefetch")
    assert "map_1" in matched(model("Root", "Prefetch", "GroupByWindow", "Map", "Range"), known)
    assert "map_1" not in matched(model("Root", "Prefetch", "Strange", "Odd"), known)


@pytest.mark.parametrize(
    ("node", "kinds"),
    [
        ("ShuffleAndRepeat", ("repeat", "shuffle")),
        ("ForeverRepeat", ("repeat",)),
        ("FiniteTake", ("take",)),
        ("MemoryCacheImpl", ("cache",)),
        ("PaddedBatchV2", ("padded_batch",)),
    ],
)
def test_kinds_of_nodes(node: str, kinds: tuple[str, ...]) -> None:
    assert kinds_of_node(node) == kinds
