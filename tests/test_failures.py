"""Real failures of real pipelines, and what is said of them."""

from __future__ import annotations

import gzip
import inspect
import io
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from PIL import Image

from pipeline_opt.build.dataset import build
from pipeline_opt.build.failures import COUNTERPARTS, translate
from pipeline_opt.build.messages import parse_message
from pipeline_opt.build.transforms import decode_image, parse_csv, parse_example
from pipeline_opt.errors import (
    CacheError,
    CorruptRecordError,
    FormatError,
    MissingPathError,
    PipelineOptError,
    SchemeError,
    SourceError,
    StageError,
)
from pipeline_opt.functions import Function
from pipeline_opt.plan import Concatenate, Plan, Zip
from pipeline_opt.sources import Csv, FixedLength, Images, OpaqueDataset, TextLines, TFRecords
from pipeline_opt.stages import (
    Batch,
    Cache,
    Filter,
    Interleave,
    Map,
    PaddedBatch,
    Prefetch,
    Shuffle,
    Snapshot,
    Stage,
)
from pipeline_opt.storage.tfrecord import masked_crc32c

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]

PLAIN = TFRecords(paths=("/data",))


def records(*payloads: bytes) -> bytes:
    out = b""
    for payload in payloads:
        length = struct.pack("<Q", len(payload))
        out += length + struct.pack("<I", masked_crc32c(length)) + payload + struct.pack("<I", masked_crc32c(payload))
    return out


def put(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def shards(folder: Path, *contents: bytes) -> TFRecords:
    for number, content in enumerate(contents):
        put(folder / f"{number}.tfrecord", content)
    return TFRecords(paths=(str(folder),))


def mapped(function: Callable[..., Any], name: str = "work") -> Map:
    return Map(function=Function.of(function), name=name)


def failure(plan: Plan, after_build: Callable[[], object] = lambda: None) -> PipelineOptError:
    """Run a plan to its end, and translate the error that it must end with."""
    dataset = build(plan)
    after_build()
    with pytest.raises(tf.errors.OpError) as caught:
        list(dataset.as_numpy_iterator())
    translated = translate(caught.value, plan)
    assert translated.__cause__ is caught.value
    return translated


def stage_of(error: PipelineOptError) -> str | None:
    assert isinstance(error, StageError)
    return error.stage


READ_BY: list[tuple[tuple[Stage, ...], str]] = [
    ((), "tfrecords"),
    ((Interleave(name="read"), Shuffle(buffer_size=9), Batch(batch_size=2), Prefetch()), "read"),
]


# Damaged data


@pytest.mark.parametrize(("stages", "reader"), READ_BY)
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-3], "the file ends inside the record: 22 bytes announced, 19 left"),
        (lambda data: data[:-7] + b"?" + data[-6:], "the checksum of the record's 18 bytes does not fit"),
        (lambda data: data[:19] + b"?" + data[20:], "the checksum of the record's length does not fit"),
    ],
)
def test_damaged_record_is_named_with_file_and_offset(
    tmp_path: Path, stages: tuple[Stage, ...], reader: str, damage: Callable[[bytes], bytes], reason: str
) -> None:
    whole = records(b"abc", b"x" * 18)
    error = failure(Plan(shards(tmp_path, whole, damage(whole), whole), stages))
    assert isinstance(error, CorruptRecordError)
    assert str(error) == f"{reader}: {tmp_path}/1.tfrecord, byte 19: {reason}"
    assert error.stage == reader


def test_damage_in_a_compressed_file_is_found(tmp_path: Path) -> None:
    whole = gzip.compress(records(b"abc", os.urandom(100_000)))
    error = failure(Plan(shards(tmp_path, whole, whole[:-2000])))
    assert isinstance(error, CorruptRecordError)
    assert "1.tfrecord, byte 19: the compressed stream is damaged: the compressed stream ends early" in str(error)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"plain text, no records at all", "is not a TFRecord file, or damaged from its first record on; it begins"),
        (gzip.compress(records(b"a")), "is GZIP compressed, where no compression is expected"),
    ],
)
def test_file_of_another_kind_among_records_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    error = failure(Plan(shards(tmp_path, records(b"a"), content), (Interleave(),)))
    assert isinstance(error, FormatError)
    assert f"interleave: {tmp_path}/1.tfrecord {reason}" in str(error)


def test_plain_file_among_compressed_ones_is_named(tmp_path: Path) -> None:
    put(tmp_path / "0.csv", gzip.compress(b"a,b\n1,2\n"))
    put(tmp_path / "1.csv", b"a,b\n1,2\n")
    error = failure(Plan(Csv(paths=(str(tmp_path),))))
    assert isinstance(error, FormatError)
    assert f"csv: {tmp_path}/1.csv is not compressed, where GZIP is expected" in str(error)


def test_compressed_text_that_breaks_off_is_named(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(os.urandom(100_000).hex().encode()))
    data[len(data) // 2] ^= 0xFF
    data[len(data) // 2 + 1] ^= 0xFF
    put(tmp_path / "a.txt", bytes(data))
    error = failure(Plan(TextLines(paths=(str(tmp_path),))))
    assert isinstance(error, CorruptRecordError)
    assert stage_of(error) == "text"
    said = re.search(r"a\.txt, byte (\d+): the GZIP stream is damaged", str(error))
    # A decoder can notice later, but not before the damage, which is in the middle of 200,000 letters.
    assert said is not None
    assert int(said[1]) > 90_000


def test_damage_that_cannot_be_found_any_more_says_where_it_may_be(tmp_path: Path) -> None:
    plan = Plan(shards(tmp_path, records(b"a"), records(b"b")))
    error = translate(tf.errors.DataLossError(None, None, "corrupted record at 7"), plan)
    assert str(error) == "corrupted record at 7, in one of the 2 files that tfrecords reads"
    error = translate(tf.errors.DataLossError(None, None, "corrupted record at 7"), Plan(OpaqueDataset()))
    assert isinstance(error, CorruptRecordError)
    assert str(error) == "corrupted record at 7"


def test_damage_inside_a_combination_names_the_inner_reader(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    plans = (Plan(shards(good, records(b"a", b"b"))), Plan(shards(bad, records(b"a", b"b")[:-1]), (Interleave(),)))
    for source in (Zip(plans=plans), Concatenate(plans=plans)):
        error = failure(Plan(source, (mapped(lambda *both: both),)))
        assert stage_of(error) == "in1_interleave"
        assert "bad/0.tfrecord, byte 17" in str(error)


def test_fixed_length_that_does_not_divide_the_file(tmp_path: Path) -> None:
    path = put(tmp_path / "a.bin", b"12345")
    error = failure(Plan(FixedLength(paths=(path,), record_bytes=2)))
    assert isinstance(error, FormatError)
    assert path in str(error)


# Files that cannot be read


@pytest.mark.parametrize(("stages", "reader"), READ_BY)
def test_file_that_goes_away_is_named(tmp_path: Path, stages: tuple[Stage, ...], reader: str) -> None:
    plan = Plan(shards(tmp_path, records(b"a"), records(b"b")), stages)
    gone = tmp_path / "1.tfrecord"
    error = failure(plan, gone.unlink)
    assert isinstance(error, MissingPathError)
    assert str(error).startswith(f"{reader}: the file is gone: {gone}")


@pytest.mark.parametrize("given", ["data", "./data", "data/*.tfrecord"])
def test_file_that_goes_away_is_named_by_its_relative_path(
    tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shards(tmp_path / "data", records(b"a"))
    error = failure(Plan(TFRecords(paths=(given,))), (tmp_path / "data" / "0.tfrecord").unlink)
    assert isinstance(error, MissingPathError)
    assert re.match(r"tfrecords: the file is gone: (\./)?data/0\.tfrecord \(", str(error))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("5", "Expect 2 fields but have 1"),
        ("5,6,7", "Expect 2 fields but have 3"),
        ("5,x", "Field 1 is not a valid int64: x"),
    ],
)
def test_csv_row_that_does_not_parse_is_named(tmp_path: Path, row: str, said: str) -> None:
    put(tmp_path / "a.csv", b"a,b\n1,2\n")
    put(tmp_path / "b.csv", f"a,b\n1,2\n3,4\n{row}\n1,2\n".encode())
    parse = Map(function=Function.of(parse_csv, columns=["a", "b"], types=["int64", "int64"]), name="parse")
    error = failure(Plan(Csv(paths=(str(tmp_path),)), (parse,)))
    assert stage_of(error) == "parse"
    assert str(error) == f"parse: {tmp_path}/b.csv, line 4: {said}"


def test_image_that_goes_away_is_named(tmp_path: Path) -> None:
    path = Path(put(tmp_path / "cat" / "1.jpg", b"x"))
    error = failure(Plan(Images(paths=(str(tmp_path),)), (Interleave(),)), path.unlink)
    assert isinstance(error, MissingPathError)
    assert f"interleave: the file is gone: {path}" in str(error)


def test_file_that_becomes_a_folder_is_named(tmp_path: Path) -> None:
    def replace() -> None:
        (tmp_path / "0.tfrecord").unlink()
        (tmp_path / "0.tfrecord").mkdir()

    error = failure(Plan(shards(tmp_path, records(b"a"))), replace)
    assert isinstance(error, SourceError)
    assert f"tfrecords: the file cannot be read: {tmp_path}/0.tfrecord" in str(error)


def test_permission_and_scheme() -> None:
    denied = tf.errors.PermissionDeniedError(None, None, "/data/x.tfrecord; Permission denied")
    assert "tfrecords: the file may not be read: /data/x.tfrecord" in str(translate(denied, Plan(PLAIN)))
    with pytest.raises(tf.errors.OpError) as caught:
        list(tf.data.TFRecordDataset("nope://x/y"))
    assert isinstance(translate(caught.value, Plan(PLAIN)), SchemeError)


# Functions


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "looks"),
    [(b"no image", "begins with text: 'no image'"), (picture()[:100], "begins with an image"), (b"", "is empty")],
)
def test_image_that_does_not_decode_is_named(tmp_path: Path, content: bytes, looks: str) -> None:
    put(tmp_path / "cat" / "1.jpg", picture())
    put(tmp_path / "cat" / "2.jpg", content)
    stages = (Interleave(), mapped(decode_image, "decode"), Batch(batch_size=1), Prefetch())
    error = failure(Plan(Images(paths=(str(tmp_path),)), stages))
    assert stage_of(error) == "decode"
    assert f"decode: an image does not decode: {tmp_path}/cat/2.jpg {looks} (" in str(error)
    assert ("Invalid JPEG data" in str(error)) == (content == picture()[:100])


@pytest.mark.parametrize("parallel", [None, 2])
def test_image_in_a_record_that_does_not_decode(tmp_path: Path, parallel: int | None) -> None:
    stages = (
        Map(function=Function.of(tf.io.decode_jpeg), name="jpegs", num_parallel_calls=parallel),
        Batch(batch_size=1),
    )
    error = failure(Plan(shards(tmp_path, records(b"\xff\xd8\xff no more")), stages))
    assert stage_of(error) == "jpegs"
    assert "jpegs: an image does not decode" in str(error)


def test_record_that_is_no_example(tmp_path: Path) -> None:
    parse = Map(function=Function.of(parse_example, schema={"a": "int64 exactly 1"}), name="parse")
    error = failure(Plan(shards(tmp_path, records(b"abc")), (parse,)))
    assert stage_of(error) == "parse"
    assert str(error) == "parse: Could not parse example input, value: 'abc'"


class OwnError(Exception):
    pass


def raising(value: Any) -> Any:
    raise OwnError("two\nlines")


def refusing(value: Any) -> Any:
    raise ValueError("not this one")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: tf.py_function(raising, [x], tf.string), "OwnError: two\nlines"),
        (lambda x: tf.numpy_function(raising, [x], tf.string), "OwnError: two\nlines"),
        (lambda x: tf.py_function(refusing, [x], tf.string), "ValueError: not this one"),
    ],
)
@pytest.mark.parametrize("parallel", [None, 2])
def test_what_python_raises_keeps_its_type_message_and_line(
    tmp_path: Path, function: Callable[..., Any], said: str, parallel: int | None
) -> None:
    stages = (Map(function=Function.of(function), name="mine", num_parallel_calls=parallel), Batch(batch_size=1))
    error = failure(Plan(shards(tmp_path, records(b"a")), stages))
    assert stage_of(error) == "mine"
    line = inspect.getsourcelines(raising if "Own" in said else refusing)[1] + 1
    raised_in = "raising" if "Own" in said else "refusing"
    assert str(error) == f"mine: Python code raised {said} ({__file__}:{line} in {raised_in})"


def length(x: Any) -> Any:
    return tf.strings.length(x)


def divide(x: Any) -> Any:
    return 1 // (length(x) - 1)


def divide_in_a_branch(x: Any) -> Any:
    if length(x) > 0:
        return 1 // (length(x) - 1)
    return 0


@pytest.mark.parametrize("function", [divide, divide_in_a_branch, tf.function(divide)])
@pytest.mark.parametrize("stages", [(), (Batch(batch_size=1), Prefetch())])
def test_op_that_fails_in_a_map_names_the_stage(
    tmp_path: Path, function: Callable[..., Any], stages: tuple[Stage, ...]
) -> None:
    error = failure(Plan(shards(tmp_path, records(b"a")), (mapped(function), *stages)))
    assert stage_of(error) == "work"
    assert str(error) == "work: Integer division by zero"


def test_op_that_fails_in_a_filter_or_after_another_map(tmp_path: Path) -> None:
    source = shards(tmp_path, records(b"a"))
    keep = Filter(predicate=Function.of(lambda x: divide(x) > 0), name="keep")
    assert stage_of(failure(Plan(source, (mapped(tf.identity, "first"), keep)))) == "keep"
    stages = (mapped(tf.identity, "first"), mapped(divide, "second"), mapped(tf.identity, "third"))
    assert stage_of(failure(Plan(source, stages))) == "second"


def test_allocation_that_fails_is_no_memory(tmp_path: Path) -> None:
    error = failure(
        Plan(shards(tmp_path, records(b"a")), (mapped(lambda x: tf.zeros([10**6, 10**6, 1000 * length(x)])),))
    )
    assert stage_of(error) == "work"
    assert "out of memory" in str(error)


# Batches


def test_elements_that_do_not_stack(tmp_path: Path) -> None:
    split = mapped(lambda x: tf.strings.bytes_split(x), "split")
    source = shards(tmp_path, records(b"a", b"bc"))
    error = failure(Plan(source, (split, Batch(batch_size=2, name="stack"))))
    assert stage_of(error) == "stack"
    assert "use padded_batch or ragged_batch" in str(error)
    error = failure(Plan(source, (split, PaddedBatch(batch_size=2, padded_shapes=[1]))))
    assert stage_of(error) == "padded_batch"
    assert "larger than padded_shapes" in str(error)


# Caches


def cached(folder: Path, path: str) -> Plan:
    return Plan(shards(folder / "data", records(b"a")), (Cache(filename=path, name="keep"), Batch(batch_size=1)))


def test_cache_below_a_file_or_a_missing_folder(tmp_path: Path) -> None:
    below = put(tmp_path / "file", b"") + "/cache"
    error = failure(cached(tmp_path, below))
    assert isinstance(error, CacheError)
    assert f"keep: cannot use the cache path {below}" in str(error)
    error = failure(cached(tmp_path, f"{tmp_path}/no/such/cache"))
    assert f"create the folder {tmp_path}/no/such" in str(error)
    assert stage_of(error) == "keep"


def test_stale_lockfile_of_a_cache(tmp_path: Path) -> None:
    lock = put(tmp_path / "cache_0.lockfile", b"1")
    error = failure(cached(tmp_path, f"{tmp_path}/cache"))
    assert isinstance(error, CacheError)
    assert f"{lock}; if no other process writes this cache, delete that file and run again" in str(error)


def test_damaged_cache_and_full_disk() -> None:
    plan = Plan(PLAIN, (Cache(filename="/fast/cache"),))
    lost = tf.errors.DataLossError(None, None, "Checksum does not match: /fast/cache.data-00000")
    assert "delete /fast/cache*" in str(translate(lost, plan))
    full = tf.errors.ResourceExhaustedError(None, None, "/fast/cache_0.data; No space left on device")
    assert "no space for the cache at /fast/cache" in str(translate(full, plan))


def test_snapshot_path_that_cannot_be_written(tmp_path: Path) -> None:
    below = put(tmp_path / "file", b"") + "/snapshot"
    error = failure(Plan(shards(tmp_path / "data", records(b"a")), (Snapshot(path=below),)))
    assert isinstance(error, CacheError)
    assert stage_of(error) == "snapshot"


# The whole


def test_every_error_of_tensorflow_has_a_counterpart() -> None:
    known = {c.__name__: c for c in vars(tf.errors).values() if inspect.isclass(c) and issubclass(c, tf.errors.OpError)}
    assert set(known) == set(COUNTERPARTS)
    for name, kind in known.items():
        error = kind(None, None, "what happened", 2) if kind is tf.errors.OpError else kind(None, None, "what happened")
        translated = translate(error, Plan(PLAIN))
        assert type(translated) is COUNTERPARTS[name] or name == "ResourceExhaustedError"
        assert "what happened" in str(translated)


def test_other_errors_are_kept_as_cause() -> None:
    own = StageError("mine", "map")
    assert translate(own, Plan(PLAIN)) is own
    error = translate(TypeError("odd"), Plan(PLAIN))
    assert str(error) == "the pipeline failed: TypeError: odd"
    assert isinstance(error.__cause__, TypeError)


def test_message_is_taken_apart() -> None:
    text = (
        "{{function_node __wrapped__IteratorGetNext}} Error in user-defined function passed to crop transformation with "
        "iterator: Iterator::Root::ParallelMapV2: too small\n\t [[{{node crop/Slice}}]] [Op:IteratorGetNext] name: "
    )
    found = parse_message(text)
    assert (found.text, found.transformation, found.raised) == ("too small", "crop", None)
    assert found.nodes == ("__wrapped__IteratorGetNext", "crop/Slice")
