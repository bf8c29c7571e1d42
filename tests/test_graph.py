"""Names and kinds of the stages of any dataset, from its own graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline_opt as po
from pipeline_opt.ingest.graph import nodes_of, python_name
from pipeline_opt.profiler.stagemap import from_nodes


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("map_decode_12", "decode"),
        ("flat_map_explode_12", "explode"),
        ("map_map_1", "map"),
        ("map_classify_20", "classify"),
        ("map_wrapped_decode_25", "wrapped_decode"),
        ("map_functools_3", "functools"),
        ("interleave_lambda_shard_9", "lambda_shard"),
        ("map_Augment.flip_47", "Augment.flip"),
        ("group_by_window_key_func_wrapper_145", ""),
        ("filter_lambda_32", ""),
        ("map_class__main__.Augment_42", ""),
        ("map_classfunctools.partial_62", ""),
    ],
)
def test_the_name_of_a_python_function(function: str, name: str) -> None:
    assert python_name(f"__inference_Dataset_{function}") == name


def test_other_functions_of_the_graph_have_no_name() -> None:
    assert python_name("__inference_load_lambda_129") == ""


def classify(x: Any) -> Any:
    return x


def explode(x: Any) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.range(x)


def counting() -> Iterator[int]:
    yield from range(30)


@pytest.mark.tf
def test_stages_are_named_after_functions(tf: Any) -> None:
    dataset = tf.data.Dataset.range(4).flat_map(explode).map(classify)
    assert [stage.name for stage in from_nodes(nodes_of(dataset)).stages] == ["range", "explode", "classify"]


@pytest.mark.tf
def test_a_generator_brings_elements_in(tf: Any) -> None:
    dataset = tf.data.Dataset.from_generator(counting, output_signature=tf.TensorSpec((), tf.int64)).batch(10)
    run = po.profile(dataset, trace="full")
    found = {stage.name: stage for stage in run.stages}
    assert (found["generator"].kind, found["generator"].phase) == ("generator", "extract")
    assert found["generator"].elements == 30
    assert found["batch"].elements == 3


@pytest.mark.tf
def test_a_saved_dataset_brings_elements_in(tf: Any, tmp_path: Path) -> None:
    tf.data.Dataset.range(4).save(str(tmp_path / "saved"))
    (stage,) = from_nodes(nodes_of(tf.data.Dataset.load(str(tmp_path / "saved")))).stages
    assert (stage.name, stage.kind, stage.phase) == ("load", "load", "extract")
