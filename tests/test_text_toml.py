"""Plans as TOML: what is written comes back, and what does not fit is refused by name."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_opt.bounds import MOST, MOST_IN_BATCH, MOST_IN_MEMORY
from pipeline_opt.errors import ConfigError, FunctionError, PlanError
from pipeline_opt.functions import Function
from pipeline_opt.plan import Concatenate, Plan, Sample, Zip
from pipeline_opt.sources import (
    COMPRESSIONS,
    FILE_SOURCES,
    Csv,
    FixedLength,
    Images,
    OpaqueDataset,
    Source,
    Tensors,
    TextLines,
    TFRecords,
)
from pipeline_opt.stages import (
    AUTO,
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
from pipeline_opt.text import from_toml, load_path, loads, to_toml
from pipeline_opt.text.values import literal, read_literal

GOLDEN = Path(__file__).parent / "golden"
SOURCE = '[source]\nkind = "text"\npaths = ["a.txt"]\n'

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=5)
words = st.text("abcxyz_éß", min_size=1, max_size=4)
numbers = st.integers(1, 4096)
sizes = st.integers(1, MOST_IN_MEMORY)
batches = st.integers(1, MOST_IN_BATCH)
counts = st.integers(0, MOST)
flags = st.booleans()
maybe_flags = st.none() | flags
knobs = st.none() | st.just(AUTO) | st.integers(1, 64)
scalars = st.none() | flags | st.integers() | st.floats(allow_nan=False) | texts | st.binary(max_size=3)
plain = st.recursive(
    scalars | st.just(np.int64(7)) | st.just(np.float32(0.1)) | st.just("literal: 3") | st.just(float("inf")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts | st.integers(), inner, max_size=3)
    ),
    max_leaves=5,
)
names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
references = st.builds("{}:{}".format, names | names.map("{}.py".format), names)
functions = st.builds(Function.of, references) | st.builds(
    lambda ref, arguments: Function.of(ref, **arguments), references, st.dictionaries(names, plain, max_size=2)
)
batching: dict[str, Any] = {"batch_size": batches, "drop_remainder": flags}
padding: dict[str, Any] = {"padded_shapes": plain, "padding_values": plain}
parallel: dict[str, Any] = {"num_parallel_calls": knobs, "deterministic": maybe_flags}
maybe_numbers = st.none() | numbers
forms = st.sampled_from(
    [(), ("batched",), ("crop_window", "float_resize"), (("padded", {"padding_values": (0, b"x")}),)]
)
KNOBS: dict[type[Stage], dict[str, Any]] = {
    Interleave: {
        "map_func": st.none() | functions,
        "cycle_length": st.just(AUTO) | numbers,
        "block_length": sizes,
        **parallel,
    },
    Map: {"function": functions, "random": maybe_flags, "batched": maybe_flags, "forms": forms, **parallel},
    Filter: {"predicate": functions},
    FlatMap: {"map_func": functions},
    Cache: {"filename": texts},
    Shuffle: {"buffer_size": sizes, "seed": st.none() | st.integers(-MOST, MOST), "reshuffle_each_iteration": flags},
    Repeat: {"count": st.none() | counts},
    Batch: {**batching, **parallel},
    PaddedBatch: {**batching, **padding},
    RaggedBatch: batching,
    BucketBySequenceLength: {
        "element_length_func": functions,
        "bucket_boundaries": st.just((3, 9)),
        "bucket_batch_sizes": st.tuples(batches, batches, batches),
        **padding,
        "pad_to_bucket_boundary": flags,
        "no_padding": flags,
        "drop_remainder": flags,
    },
    Unbatch: {"dense": flags},
    Rebatch: batching,
    Take: {"count": counts},
    Skip: {"count": counts},
    Shard: {"num_shards": st.just(5), "index": st.integers(0, 4)},
    Prefetch: {"buffer_size": st.just(AUTO) | sizes},
    Snapshot: {"path": texts, "compression": st.sampled_from([None, "AUTO", "NONE", "GZIP", "SNAPPY"])},
    PrefetchToDevice: {"device": texts, "buffer_size": numbers},
    Options: {
        "private_threadpool_size": maybe_numbers,
        "max_intra_op_parallelism": maybe_numbers,
        "ram_budget": st.none() | st.integers(1, MOST),
        "others": st.sampled_from([(), (("experimental_distribute.auto_shard_policy", "AutoShardPolicy.OFF"),)]),
        **dict.fromkeys(
            ("deterministic", "slack", "autotune", "default_optimizations", "map_and_batch_fusion"), maybe_flags
        ),
    },
    OpaqueStage: {"transformation": functions},
}
stages = st.one_of([st.builds(cls, **given) for cls, given in KNOBS.items()])
# Free names, also such as look like a kind of another stage.
named = st.lists(stages | st.tuples(stages, words | st.sampled_from(["batch_2", "map", "map_x_1"])), max_size=6)
paths = st.lists(texts.filter(bool), min_size=1, max_size=3).map(tuple)
files: dict[str, Any] = {"paths": paths, "compression": st.sampled_from(COMPRESSIONS)}
SOURCES: dict[type[Source], Any] = {
    TFRecords: st.builds(TFRecords, **files, buffer_size=maybe_numbers),
    TextLines: st.builds(TextLines, **files, buffer_size=maybe_numbers),
    Csv: st.builds(Csv, **files, header=flags, delimiter=st.sampled_from(",;|\t")),
    FixedLength: st.builds(FixedLength, **files, record_bytes=numbers, header_bytes=sizes, footer_bytes=sizes),
    Images: st.builds(Images, paths=paths),
}


def make_plan(source: Source, given_stages: list[Any]) -> Plan:
    taken: set[str] = set()
    made = []
    for item in given_stages:
        stage, name = item if isinstance(item, tuple) else (item, "")
        made.append(type(stage)(**{**vars(stage), "name": "" if name in taken else name}))
        taken.add(name)
    return Plan(source, tuple(made))


simple_plans = st.builds(make_plan, st.one_of(list(SOURCES.values())), named)


def combined(inner: st.SearchStrategy[Plan]) -> st.SearchStrategy[Plan]:
    parts = st.tuples(inner, inner)
    weights = st.none() | st.tuples(st.floats(0.1, 9), st.floats(0, 1))
    mixed = st.builds(Sample, plans=parts, weights=weights, seed=st.none() | counts, stop_on_empty_dataset=flags)
    return st.builds(make_plan, st.builds(Zip, plans=parts) | st.builds(Concatenate, plans=parts) | mixed, named)


plans = st.recursive(simple_plans, combined, max_leaves=3)


def test_the_generated_plans_hold_every_stage_and_file_source() -> None:
    assert set(KNOBS) == set(STAGES)
    assert set(SOURCES) == set(FILE_SOURCES)
    for cls, given_knobs in KNOBS.items():
        assert set(given_knobs) == {f for f in cls.__dataclass_fields__ if f not in ("name", "kind", "detail", "inner")}


@settings(deadline=None, max_examples=60, database=None)
@given(plans)
def test_a_plan_comes_back_as_it_was_written(plan: Plan) -> None:
    assert from_toml(to_toml(plan)) == plan


@settings(deadline=None, max_examples=200, database=None)
@given(plain)
def test_a_literal_comes_back_with_its_types(value: Any) -> None:
    back = read_literal(literal(value, "here"))
    assert back == value
    assert repr(back) == repr(value)


def usual() -> Plan:
    return Plan(
        TFRecords(paths=("data/*.tfrecord",)),
        (
            Interleave(cycle_length=8),
            Map(name="decode", function=Function.of("records:decode", size=224, box=(0, None))),
            Map(function=Function.of("augment.py:flip"), num_parallel_calls=None, random=True),
            Cache(),
            Shuffle(buffer_size=1000),
            PaddedBatch(batch_size=32, padded_shapes=[224, 224, 3]),
            Prefetch(),
        ),
    )


def test_the_file_is_the_golden_one() -> None:
    assert to_toml(usual()) == (GOLDEN / "plan.toml").read_text()


def test_plans_inside_a_source_nest() -> None:
    plan = Plan(Zip(plans=(usual(), Plan(TextLines(paths=("b",)), (Cache(),)))), (Batch(batch_size=2),))
    assert to_toml(plan) == (GOLDEN / "nested.toml").read_text()


def test_the_order_list_is_the_users_to_change() -> None:
    lines = to_toml(usual()).replace('    "cache",\n', "").replace('    "decode",\n', '    "decode",\n    "cache",\n')
    assert [stage.name for stage in loads(lines).stages][:3] == ["interleave", "decode", "cache"]


def test_what_is_left_out_has_defaults() -> None:
    plan = loads('order = ["source", "interleave", "prefetch_2"]\n[source]\nkind = "text"\npaths = "a.txt"')
    assert plan == Plan(TextLines(paths=("a.txt",)), (Interleave(), Prefetch(name="prefetch_2")))
    assert loads(SOURCE) == Plan(TextLines(paths=("a.txt",)))


def test_a_function_that_makes_the_dataset_is_written_by_reference() -> None:
    plan = Plan(OpaqueDataset(dataset=object(), factory=Function.of("mine:make", seed=3)))
    back = loads(to_toml(plan)).source
    assert isinstance(back, OpaqueDataset)
    assert back.factory == Function.of("mine:make", seed=3)


def test_functions_one_after_another_are_a_list() -> None:
    crop, decode = Function.of("mine:crop", size=2), Function.of("mine:decode")
    chained = Function.chain(Function.chain(decode, crop), Function.of("flip.py:flip"))
    plan = Plan(TextLines(paths=("a",)), (Map(function=chained), Filter(predicate=Function.chain(decode, decode))))
    text = to_toml(plan)
    assert loads(text) == plan
    assert tomllib.loads(text)["stages"]["map"]["function"] == [
        ["mine:decode", {"function": "mine:crop", "arguments": {"size": 2}}],
        "flip.py:flip",
    ]


def test_loading_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "boom.py").write_text("raise SystemExit('imported')")
    before = set(sys.modules)
    text = f'order = ["map"]\n{SOURCE}[stages.map]\nfunction = "{tmp_path}/boom.py:function"'
    assert loads(text).stages[0].name == "map"
    assert set(sys.modules) == before


UNWRITABLE = [
    (Plan(Tensors(value=[1])), PlanError, "source: tensors in memory cannot be written as TOML"),
    (Plan(OpaqueDataset(dataset=object())), PlanError, "source: an existing dataset cannot be written.*pass the func"),
    (Plan(TextLines(paths=("a",)), (OpaqueStage(detail=1),)), PlanError, "opaque: a transformation that only"),
    (
        Plan(TextLines(paths=("a",)), (Map(function=Function.of(lambda x: x)),)),
        FunctionError,
        "map: lambda cannot be written to a file, as nothing can import it; define it at the top of a module",
    ),
    (
        Plan(TextLines(paths=("a",)), (Map(function=Function.of("a:b", table=object())),)),
        PlanError,
        "map: argument table: <object> cannot be written as text; valid: None, numbers",
    ),
    (
        Plan(Zip(plans=(Plan(TextLines(paths=("a",))), Plan(Tensors(value=[1]))))),
        PlanError,
        "in1_source: tensors in memory",
    ),
]


@pytest.mark.parametrize(("plan", "error", "message"), UNWRITABLE)
def test_a_plan_that_is_not_data_is_refused(plan: Plan, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        to_toml(plan)


def batch_with(text: str) -> str:
    return f'order = ["batch"]\n{SOURCE}[stages.batch]\n{text}'


def map_with(text: str) -> str:
    return f'order = ["decode"]\n{SOURCE}[stages.decode]\n{text}'


BAD_FILES = [
    ("order = [", r"not valid TOML: .*line 1"),
    ("[source]\nkind = 'text'\npaths = ['a'\nb = 1", "not valid TOML: .*line 4"),
    ("", r"there is no \[source\]; add one with kind = one of: tfrecords, text"),
    ("source = 3", "source=3 is not valid; write a table"),
    ("ordre = []\n" + SOURCE, "no entry is called 'ordre'; valid: source, order, stages; did you mean 'order'"),
    ("[source]\nkind = 'tfrecord'", "kind='tfrecord' is not valid; valid: tfrecords,.*did you mean 'tfrecords'"),
    ("[source]\nkind = 'tensors'", "kind='tensors' is not valid"),
    ("[source]\nkind = 'text'", "source: text needs a value for paths"),
    ("[source]\nkind = 'text'\npaths = []", r"source: paths=\[\] is out of range; valid: a path"),
    ("[source]\nkind = 'text'\npaths = [1]", r"source: paths=\[1\] is not valid; valid: a list, each item a string"),
    ("[source]\nkind = 'text'\npath = 'a'", "source: no argument is called 'path'; valid: .*did you mean 'paths'"),
    ("[source]\nkind = 'text'\npaths = 'a'\ncompression = 'LZ4'", "source: compression='LZ4' is out of range"),
    ("[source]\nkind = 'zip'\nplans = 3", r"source: plans=3 is not valid; write one \[\[source.plans\]\]"),
    ("[source]\nkind = 'zip'", r"source: plans=None is not valid; write one \[\[source.plans\]\]"),
    ("source = {kind = 'zip', plans = []}", r"source: plans=\(\) is out of range; valid: two pipelines or more"),
    ("[source]\nkind = 'zip'\n[[source.plans]]\norder = 2", r"source: plans\[0\]: there is no \[source\]"),
    (f"order = ['c-1']\n{SOURCE}[stages.c-1]\nkind = 'cache'", "the name 'c-1' cannot be used"),
    (f"order = 'batch'\n{SOURCE}", "order='batch' is not valid; write a list of stage names"),
    (f"order = ['cache', 'cache']\n{SOURCE}", "order has 'cache' twice"),
    (f"order = ['cahce']\n{SOURCE}", "cahce: no kind of stage is called 'cahce'.*did you mean 'cache'"),
    (
        f"order = ['decode']\n{SOURCE}",
        "decode: no kind of stage is called 'decode'; a stage with a name of its own need",
    ),
    (f"order = ['cahce']\n{SOURCE}[stages.cache]", "stage 'cache' has a table and is not in order.*mean 'cahce'"),
    (f"order = ['shuffle']\n{SOURCE}", "shuffle: shuffle needs a value for buffer_size"),
    (f"order = ['batch']\n{SOURCE}[stages]\nbatch = 3", "batch=3 is not valid; write a table"),
    (batch_with("batch_size = 'ten'"), "batch: batch_size='ten' is not valid; valid: a whole number"),
    (batch_with("batch_size = true"), "batch: batch_size=True is not valid"),
    (batch_with("batch_size = 0"), "batch: batch_size=0 is out of range; valid: a whole number from 1"),
    (batch_with("batch_size = 'auto'"), "batch: batch_size='auto' is not valid"),
    (batch_with("batch_size = 2\nnum_parallel_calls = 'all'"), "valid: a whole number, 'auto' or 'sequential'"),
    (batch_with("batch_size = 2\ndrop_remainder = 'yes'"), "drop_remainder='yes' is not valid; valid: true or false"),
    (batch_with("batch_sise = 2"), "batch: no argument is called 'batch_sise'; valid: batch_size.*mean 'batch_size'"),
    (batch_with("batch_size = 2\n[stages.batch.arguments]"), "batch: no argument is called 'arguments'"),
    (batch_with("batch_size = 2\nname = 'x'"), "batch: no argument is called 'name'"),
    (batch_with("kind = 'bach'"), "batch: no kind of stage is called 'bach'"),
    (map_with("kind = 'map'\nfunction = 'decode'"), "decode: function: not a function reference: 'decode'"),
    (map_with("kind = 'map'\nfunction = 3"), "function=3 is not valid; valid: a function as 'package.module:function'"),
    (map_with("kind = 'map'\nfunction = 'a:b'\narguments = 1"), "decode: arguments=1 is not valid; write a table"),
    (map_with("kind = 'map'\nfunction = 'a:b'\narguments.x = 'literal: x()'"), "argument x: not a Python literal: x()"),
    (map_with("kind = 'map'\nfunction = []"), "decode: no function is in the list; valid: one or more"),
    (map_with("kind = 'map'\nfunction = ['a:b', 'b']"), "decode: function: not a function reference: 'b'"),
    (map_with("kind = 'map'\nfunction = ['a:b', 3]"), "decode: function: not a function: 3"),
    (map_with("kind = 'map'\nfunction = [{call = 'a:b'}]"), "decode: no argument is called 'call'; valid: function"),
    (map_with("kind = 'map'\nfunction = [{arguments.x = 1}]"), "decode: function: not a function: None"),
    (map_with("kind = 'map'\nfunction = ['a:b']\narguments.x = 1"), "arguments are given for a list of functions"),
    (map_with("kind = 'interleave'\narguments.x = 1"), "arguments are given, and no function to pass them to"),
    (map_with("kind = 'interleave'\ncycle_length = 'sequential'"), "valid: a whole number, 'auto'$"),
    (map_with("kind = 'padded_batch'\nbatch_size = 2\npadded_shapes = 'literal: ['"), "not a Python literal"),
    (batch_with(f"batch_size = {'9' * 5000}"), "not valid TOML: Exceeds the limit"),
    (batch_with(f"batch_size = 0x{'f' * 5000}"), "not valid TOML: a whole number of 20,000 bits; valid: up to 1,024"),
    (batch_with("batch_size = nan"), "batch: batch_size=nan is not valid; valid: a whole number"),
    (batch_with("batch_size = 1979-05-27"), r"batch_size=datetime.date\(1979, 5, 27\) is not valid; valid: a whole"),
    (batch_with("batch_size = {}"), "batch: batch_size={} is not valid; valid: a whole number"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_a_file_that_does_not_fit_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^plan: .*{message}"):
        loads(text)


def test_a_file_is_read_and_named_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "pipe.toml"
    path.write_text(to_toml(usual()))
    assert load_path(path) == from_toml(path) == usual()
    path.write_text("order = 3\n" + SOURCE)
    with pytest.raises(ConfigError, match=r"pipe\.toml: order=3 is not valid"):
        load_path(str(path))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load_path(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_path(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="not a TOML file: byte 5 is not UTF-8"):
        load_path(tmp_path / "bytes.toml")


BAD_LITERALS = [
    "__import__('os')",
    "[x for x in y]",
    "a.b",
    "1 +",
    "np.load('x')",
    "np.int64(x())",
    "{**{}}",
    "float(3)",
    "{[1]: 2}",
    "{[1]}",
    "np.int8(9999)",
    "(" * 5000,
]


@pytest.mark.parametrize("text", BAD_LITERALS)
def test_only_literals_are_read(text: str) -> None:
    with pytest.raises(ValueError, match="not a Python literal"):
        read_literal(text)


def test_a_literal_that_python_could_not_write_again_is_refused() -> None:
    with pytest.raises(ValueError, match="a whole number of 20,000 bits; valid: up to 1,024"):
        read_literal(f"[{{1: 0x{'f' * 5000}}}]")
