"""The code that a plan becomes, run where pipeline_opt does not exist, gives the elements that building the plan gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plan_functions as f
import pytest

from pipeline_opt.build import transforms
from pipeline_opt.build.dataset import build
from pipeline_opt.errors import PlanWarning
from pipeline_opt.functions import Function
from pipeline_opt.lazy import lazy_module
from pipeline_opt.plan import Concatenate, Plan, Sample, Zip
from pipeline_opt.sources import Csv, FixedLength, Images, OpaqueDataset, Tensors, TextLines, TFRecords
from pipeline_opt.stages import (
    STAGES,
    Batch,
    BucketBySequenceLength,
    Cache,
    Filter,
    FlatMap,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    PaddedBatch,
    Prefetch,
    PrefetchToDevice,
    RaggedBatch,
    Rebatch,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Snapshot,
    Stage,
    Take,
    Unbatch,
)
from pipeline_opt.storage.listing import resolve
from pipeline_opt.text import to_python

tf = lazy_module("tensorflow")
pytestmark = pytest.mark.tf

MOST = 40
"""Elements compared, so that plans may be endless."""

# Stands in the child process as well; runs every script and writes the elements of each.
CANONICAL = '''
def canonical(value):
    """Types, shapes and contents, as text."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in sorted(value.items())}
    if isinstance(value, tuple):
        return [canonical(item) for item in value]
    if type(value).__name__ == "RaggedTensor":
        return ["ragged", repr(value.to_list())]
    array = value.numpy()
    return [str(value.dtype.name), list(value.shape), repr(getattr(array, "tolist", lambda: array)())]
'''
CHILD = f"""
import contextlib, io, json, runpy, sys
from pathlib import Path
sys.modules["pipeline_opt"] = None
{CANONICAL}
found = {{}}
for path in sorted(Path(sys.argv[1]).glob("script_*.py")):
    dataset = runpy.run_path(str(path))["make_dataset"]()
    found[path.stem] = [canonical(element) for element in dataset.take({MOST})]
with contextlib.redirect_stdout(io.StringIO()) as printed:
    runpy.run_path(str(path), run_name="__main__")
found["printed"] = printed.getvalue()
Path(sys.argv[1], "found.json").write_text(json.dumps(found))
"""
exec(CANONICAL)
canonical: Callable[[Any], Any] = globals()["canonical"]


def memory(*stages: Stage) -> Plan:
    return Plan(Tensors(value=list(range(1, 13))), stages)


def mapped(function: Any, **knobs: Any) -> Map:
    return Map(function=Function.of(function), **knobs)


FACTOR = 5


def helped(number: Any) -> Any:
    return number * FACTOR + bonus(number)


def bonus(number: Any) -> Any:
    if number > 3:
        return 100
    return 0


def grown(size: int) -> Any:
    dtype = tf.int32

    def grow(number: Any, *, more: int = size) -> Any:
        return number * tf.cast(size, dtype) + more

    return grow


BIG = np.random.default_rng(1).normal(size=(20, 30)).astype(np.float32)

MEMORY = {
    "map": memory(mapped(f.double), mapped(f.Steps.negate, num_parallel_calls=None, deterministic=True)),
    "arguments": memory(Map(function=Function.of(f.scale, factor=3), num_parallel_calls=2, deterministic=True)),
    "lambda": memory(mapped(lambda number: number * FACTOR), mapped(lambda n, m=FACTOR: n + m)),
    "written out": memory(mapped(helped)),
    "closures": memory(mapped(grown(2)), mapped(grown(3))),
    "one after another": memory(
        Map(
            function=Function.chain(
                Function.of(lambda number: (number, -number)),
                Function.of(lambda a, b: a - b),
                Function.of(f.scale, factor=3),
            )
        ),
        Filter(predicate=Function.chain(Function.of(f.double), Function.of(f.is_even))),
    ),
    "filter": memory(Filter(predicate=Function.of(f.is_even))),
    "flat_map": memory(mapped(lambda n: tf.cast(n, tf.int64)), FlatMap(map_func=Function.of(f.up_to))),
    "interleave": memory(
        mapped(lambda n: tf.cast(n, tf.int64)),
        Interleave(map_func=Function.of(f.up_to), cycle_length=3, block_length=2, num_parallel_calls=None),
    ),
    "cache": memory(Cache(), Repeat(count=2)),
    "shuffle": memory(Shuffle(buffer_size=5, seed=3), Shuffle(buffer_size=4, seed=1, reshuffle_each_iteration=False)),
    "repeat": memory(Repeat()),
    "batch": memory(Batch(batch_size=5), mapped(f.double, batched=True)),
    "parallel batch": memory(Batch(batch_size=5, drop_remainder=True, num_parallel_calls=2, deterministic=True)),
    "unbatch": memory(Batch(batch_size=5), Unbatch()),
    "unbatch to tensors": memory(Batch(batch_size=5), Unbatch(dense=True)),
    "unbatch to tuples of one": memory(mapped(lambda number: (number,)), Batch(batch_size=5), Unbatch(dense=True)),
    "unbatch to pairs": memory(mapped(lambda number: (number, -number)), Batch(batch_size=5), Unbatch(dense=True)),
    "unbatch to dictionaries": memory(mapped(lambda n: {"a": n, "b": -n}), Batch(batch_size=5), Unbatch(dense=True)),
    "rebatch": memory(Batch(batch_size=5), Rebatch(batch_size=3, drop_remainder=True)),
    "take and skip": memory(Take(count=7), Skip(count=2)),
    "shard": memory(Shard(num_shards=3, index=1)),
    "prefetch": memory(Prefetch(), Prefetch(buffer_size=2)),
    "to device": memory(PrefetchToDevice(device="/cpu:0"), Options(slack=False)),
    "options": memory(
        mapped(f.double),
        Options(
            private_threadpool_size=2,
            max_intra_op_parallelism=1,
            deterministic=True,
            slack=True,
            autotune=True,
            default_optimizations=False,
            map_and_batch_fusion=False,
            ram_budget=2**20,
        ),
        Prefetch(),
    ),
    "opaque": memory(
        OpaqueStage(transformation=Function.of(f.first_five)), OpaqueStage(transformation=Function.of(f.first_five))
    ),
    "opaque lambda": memory(OpaqueStage(transformation=Function.of(lambda dataset: dataset.take(2)))),
    "dataset": Plan(OpaqueDataset(factory=Function.of(f.make_numbers, count=4)), (Take(count=3),)),
    "structures": Plan(Tensors(value=({"x": np.arange(3, dtype=np.int16), "y": BIG[:3]}, [1.5, 2.5, 3.5]))),
    "strings": Plan(
        Tensors(value=(np.array(["a", "é", "c"]), [b"x", b"\xff", b"z"], np.array([b"a", b"", b"b"], object)))
    ),
    "large": Plan(Tensors(value=(BIG, np.arange(20))), (Batch(batch_size=8),)),
    "tensor": Plan(Tensors(value=np.array([[True], [False]]))),
}


def numbers() -> Any:
    return tf.data.Dataset.from_tensor_slices(list(range(1, 13)))


def doubled() -> Any:
    return numbers().map(f.double)


# Plans that meet, each with the dataset that it stands for.
COMBINED: dict[str, tuple[Plan, Callable[[], Any]]] = {
    "zip": (
        Plan(Zip(plans=(memory(Take(count=4)), memory(mapped(f.double)))), (Batch(batch_size=3),)),
        lambda: tf.data.Dataset.zip(numbers().take(4), doubled()).batch(3),
    ),
    "concatenate": (
        Plan(Concatenate(plans=(memory(Take(count=2)), memory(Skip(count=9)), memory()))),
        lambda: numbers().take(2).concatenate(numbers().skip(9)).concatenate(numbers()),
    ),
    "sample": (
        Plan(Sample(plans=(memory(), memory(mapped(f.double))), weights=(0.25, 0.75), seed=4)),
        lambda: tf.data.Dataset.sample_from_datasets([numbers(), doubled()], [0.25, 0.75], 4),
    ),
    "sample ends": (
        Plan(Sample(plans=(memory(Repeat()), memory()), seed=4, stop_on_empty_dataset=True)),
        lambda: tf.data.Dataset.sample_from_datasets([numbers().repeat(), numbers()], None, 4, True),
    ),
    "nested": (
        Plan(Zip(plans=(Plan(Zip(plans=(memory(), memory(Skip(count=1))))), memory())), (Skip(count=1),)),
        lambda: tf.data.Dataset.zip(tf.data.Dataset.zip(numbers(), numbers().skip(1)), numbers()).skip(1),
    ),
}


WITH_PO = """
import pipeline_opt as po

def square(x):
    return x * x

def make_pipeline():
    return po.Pipeline.from_tensors([1, 2, 3]).map(square)
"""
"""A user's module that imports the package."""


def write_data(folder: Path) -> None:
    for number in range(3):
        for suffix, kind in (("tfrecord", ""), ("gz", "GZIP")):
            with tf.io.TFRecordWriter(str(folder / f"part-{number}.{suffix}"), kind) as writer:
                for record in range(4):
                    value = tf.train.Int64List(value=[number * 10 + record])
                    features = tf.train.Features(feature={"x": tf.train.Feature(int64_list=value)})
                    writer.write(tf.train.Example(features=features).SerializeToString())
        (folder / f"lines-{number}.txt").write_text("".join(f"line {number} {n}\n" * (n + 1) for n in range(3)))
        (folder / f"rows-{number}.csv").write_text("a,b\n" + "".join(f"{number},{n}.5\n" for n in range(3)))
        (folder / f"fixed-{number}.bin").write_bytes(b"hh" + b"abcdefghij"[: 3 * (number + 1)] + b"f")
        (folder / "own.py").write_text("import tensorflow as tf\n\ndef shout(x):\n    return tf.strings.upper(x)\n")
        (folder / "with_po.py").write_text(WITH_PO)
        image = tf.io.encode_png(tf.fill([4, 5, 3], tf.cast(number * 9, tf.uint8)))
        for name in ("cats", "dogs"):
            (folder / "images" / name).mkdir(parents=True, exist_ok=True)
            (folder / "images" / name / f"{number}.png").write_bytes(image.numpy())


def file_plans(data: Path) -> dict[str, Plan]:
    records = TFRecords(paths=(f"{data}/part-*.tfrecord",), buffer_size=1000)
    zipped = TFRecords(paths=tuple(f"{data}/part-{n}.gz" for n in (2, 0)))
    lines = TextLines(paths=(f"{data}/lines-*.txt",))
    rows = Csv(paths=(f"{data}/rows-*.csv",))
    fixed = FixedLength(paths=(f"{data}/fixed-*.bin",), record_bytes=3, header_bytes=2, footer_bytes=1)
    images = Images(paths=(f"{data}/images",))
    read = Interleave(cycle_length=2)
    tokens = mapped(f.letters)
    parse = Map(function=Function.of(transforms.parse_example, schema={"x": "int64 exactly 1"}))
    columns = Map(function=Function.of(transforms.parse_csv, columns=("a", "b"), types=("int64", "float32?")))
    image = Map(function=Function.of(transforms.decode_image, height=2, width=2))
    buckets = BucketBySequenceLength(
        element_length_func=Function.of(f.letter_count),
        bucket_boundaries=(7, 9),
        bucket_batch_sizes=(2, 2, 1),
        padding_values="?",
        drop_remainder=True,
    )
    loaded = Function.of(f"{data}/own.py:shout")
    return {
        "records": Plan(records, (read, parse)),
        "records in order": Plan(zipped, (parse, Batch(batch_size=3))),
        "files shuffled": Plan(records, (Shuffle(buffer_size=3, seed=5), Shard(num_shards=2, index=0), read, parse)),
        "sequential read": Plan(records, (Interleave(num_parallel_calls=None, block_length=2), parse)),
        "lines": Plan(lines, (read, Map(function=loaded))),
        "by reference": Plan(Tensors(value=[1, 2]), (Map(function=Function.of(f"{data}/with_po.py:square")),)),
        "plan by reference": Plan(
            OpaqueDataset(factory=Function.of(f"{data}/with_po.py:make_pipeline")), (mapped(f.double),)
        ),
        "lines in order": Plan(lines, (Map(function=Function.of(transforms.split_and_hash, max_tokens=4)),)),
        "rows": Plan(rows, (read, columns)),
        "rows in order": Plan(rows, (columns,)),
        "bare rows": Plan(Csv(paths=rows.paths, header=False), (read,)),
        "fixed": Plan(fixed, (read,)),
        "fixed in order": Plan(fixed),
        "images": Plan(images, (image, Batch(batch_size=4))),
        "images in parallel": Plan(images, (Shuffle(buffer_size=9, seed=2), Interleave(cycle_length=2), image)),
        "images read by one": Plan(images, (Interleave(num_parallel_calls=None, deterministic=True),)),
        "padded": Plan(lines, (tokens, PaddedBatch(batch_size=2, padded_shapes=[None], padding_values="-"))),
        "ragged": Plan(lines, (tokens, RaggedBatch(batch_size=2, drop_remainder=True))),
        "rows of ragged": Plan(lines, (tokens, RaggedBatch(batch_size=2), Unbatch(dense=True))),
        "buckets": Plan(lines, (tokens, buckets)),
        "snapshot": Plan(lines, (Snapshot(path=f"{data}/snapshot", compression="GZIP"),)),
        "cached in files": Plan(lines, (Cache(filename=f"{data}/cache"), Take(count=0))),
    }


def scripts_of(plans: dict[str, Plan], folder: Path) -> dict[str, Any]:
    """The elements that the scripts of all plans give in a process of their own."""
    for number, plan in enumerate(plans.values()):
        (folder / f"script_{number:02}.py").write_text(to_python(plan, resolve))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    ran = subprocess.run([sys.executable, "-c", CHILD, str(folder)], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout == ""
    found = json.loads((folder / "found.json").read_text())
    titled = {title: found[f"script_{number:02}"] for number, title in enumerate(plans)}
    return {**titled, "printed": found["printed"]}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """For every plan: the elements of its script, and those of the dataset built from it."""
    folder = tmp_path_factory.mktemp("scripts")
    write_data(folder)
    plans = MEMORY | file_plans(folder)
    combined = {title: plan for title, (plan, _) in COMBINED.items()}
    found = scripts_of(plans | combined, folder)
    result = {f"{title} by hand": (found[title], elements_of(make())) for title, (_, make) in COMBINED.items()}
    result["printed"] = (found["printed"], None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlanWarning)
        for title, plan in (plans | combined).items():
            result[title] = (found[title], elements_of(build(plan)))
    return result


def elements_of(dataset: Any) -> Any:
    return json.loads(json.dumps([canonical(element) for element in dataset.take(MOST)]))


@pytest.mark.parametrize("title", [*MEMORY, *COMBINED, *(f"{title} by hand" for title in COMBINED)])
def test_the_script_gives_the_same_elements(title: str, compared: dict[str, tuple[Any, Any]]) -> None:
    script, built = compared[title]
    assert script == built
    assert script


@pytest.mark.parametrize("title", file_plans(Path("data")))
def test_the_script_over_files_gives_the_same_elements(title: str, compared: dict[str, tuple[Any, Any]]) -> None:
    script, built = compared[title]
    assert script == built
    assert script or title == "cached in files"


def test_running_a_script_prints_the_number_of_elements(compared: dict[str, tuple[Any, Any]]) -> None:
    last = list(COMBINED)[-1]
    assert compared["printed"][0] == f"{len(compared[last][1])}\n"


def test_every_kind_of_stage_is_among_the_plans() -> None:
    plans = [*MEMORY.values(), *file_plans(Path("data")).values()]
    assert {type(stage) for plan in plans for stage in plan.stages} == set(STAGES)
