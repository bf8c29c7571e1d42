"""Default transforms, and the schema that they get from the data."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline_opt.build.defaults import Defaults, infer_defaults
from pipeline_opt.build.transforms import decode_image, parse_csv, parse_example, split_and_hash
from pipeline_opt.errors import CorruptRecordError, FormatError
from pipeline_opt.sources import Csv, FileSource, FixedLength, Images, TextLines, TFRecords
from pipeline_opt.storage import resolve

pytestmark = pytest.mark.tf


def picture(kind: str = "JPEG", shade: int = 255, size: tuple[int, int] = (20, 10)) -> bytes:
    out = io.BytesIO()
    Image.new("L", size, shade).convert("RGB" if kind != "GIF" else "P").save(out, kind)
    return out.getvalue()


def example(**features: Any) -> bytes:
    def feature(value: Any) -> tf.train.Feature:
        if isinstance(value, tf.train.Feature):
            return value
        values = list(value) if isinstance(value, list | tuple) else [value]
        kind = type(values[0]) if values else float
        if kind is bytes:
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if kind is int:
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    named = {name: feature(value) for name, value in features.items()}
    return bytes(tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString())


def shards(folder: Path, *files: Sequence[bytes]) -> TFRecords:
    for number, records in enumerate(files):
        with tf.io.TFRecordWriter(str(folder / f"{number:03}.tfrecord")) as writer:
            for record in records:
                writer.write(record)
    return TFRecords(paths=(str(folder),))


def infer(source: FileSource) -> Defaults:
    return infer_defaults(source, resolve(source))


def schema_of(source: FileSource) -> dict[str, str]:
    (stage,) = infer(source).maps
    found = dict(stage.function.arguments)["schema"]
    assert isinstance(found, dict)
    return found


def elements(source: FileSource, dataset: Any) -> list[Any]:
    """What the default map of a source makes of a dataset's elements."""
    (stage,) = infer(source).maps
    return list(dataset.map(stage.function.load()).as_numpy_iterator())


def read(source: TFRecords) -> Any:
    return tf.data.TFRecordDataset(list(resolve(source).files))


# Images


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
def test_image_of_any_format_is_decoded_resized_and_scaled(kind: str) -> None:
    dataset = tf.data.Dataset.from_tensors(picture(kind)).map(lambda e: decode_image(e, height=4, width=6))
    assert dataset.element_spec == tf.TensorSpec((4, 6, 3), tf.float32)
    (image,) = dataset.as_numpy_iterator()
    np.testing.assert_allclose(image, 1.0)


def test_image_keeps_its_label(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(picture("PNG", 51))
    source = Images(paths=(str(tmp_path),))
    ((image, label),) = elements(source, tf.data.Dataset.from_tensors((picture("PNG", 51), 3)))
    assert (image.shape, label) == ((224, 224, 3), 3)
    np.testing.assert_allclose(image, 0.2)


def test_image_that_does_not_decode_fails() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(tf.constant(b"no image"))


# TFRecords


def test_schema_of_examples_parses_them(tmp_path: Path) -> None:
    record = example(image=picture(), label=7, box=[0.5, 1.5], name=b"cat", words=[b"a", b"b"])
    source = shards(tmp_path, [record, record])
    assert schema_of(source) == {
        "box": "float32 exactly 2",
        "image": "image exactly 1",
        "label": "int64 exactly 1",
        "name": "string exactly 1",
        "words": "string exactly 2",
    }
    parsed = elements(source, read(source).batch(2).unbatch())[1]
    assert parsed["image"].shape == (224, 224, 3)
    assert (parsed["label"], parsed["name"], parsed["words"].tolist()) == (7, b"cat", [b"a", b"b"])
    assert parsed["box"].tolist() == [0.5, 1.5]
    assert infer(source).notes == ()


def test_features_that_vary_or_are_missing_get_a_rule_and_a_note(tmp_path: Path) -> None:
    none = tf.train.Feature(int64_list=tf.train.Int64List())
    source = shards(
        tmp_path, [example(ids=[1, 2, 3], extra=9, no=none), example(ids=none, no=none)], [example(extra=8)]
    )
    assert schema_of(source) == {"extra": "int64 optional 1", "ids": "int64 at_most 3", "no": "int64 at_most 1"}
    assert infer(source).notes == (
        "tfrecords: feature 'extra' is missing in 1 of 3 records; zeros there",
        "tfrecords: feature 'ids' varies in length; cut or filled up to 3 values",
        "tfrecords: feature 'no' varies in length; cut or filled up to 1 values",
    )
    assert [parsed["ids"].tolist() for parsed in elements(source, read(source))] == [[1, 2, 3], [0, 0, 0], [0, 0, 0]]


def test_varying_length_is_filled_up_and_cut() -> None:
    schema = {"ids": "int64 at_most 2", "tags": "string at_most 2", "w": "float32 optional 2"}
    records = [example(ids=[1, 2, 3], tags=[b"x"], w=[0.5, 0.25]), example(ids=[4])]
    dataset = tf.data.Dataset.from_tensor_slices(records).map(lambda r: parse_example(r, schema=schema)).batch(2)
    assert dataset.element_spec["ids"].shape.as_list() == [None, 2]
    (batch,) = dataset.as_numpy_iterator()
    assert batch["ids"].tolist() == [[1, 2], [4, 0]]
    assert batch["tags"].tolist() == [[b"x", b""], [b"", b""]]
    assert batch["w"].tolist() == [[0.5, 0.25], [0.0, 0.0]]


def test_later_files_are_looked_at_too(tmp_path: Path) -> None:
    source = shards(tmp_path, *[[example(ids=[1])] * 20] * 3, [example(ids=[1, 2])] * 20)
    assert schema_of(source) == {"ids": "int64 at_most 2"}
    assert infer(source).notes == ("tfrecords: feature 'ids' varies in length; cut or filled up to 2 values",)


def test_feature_of_two_types_is_left_out(tmp_path: Path) -> None:
    source = shards(tmp_path, [example(a=1, b=1), example(a=0.5, b=1)])
    assert schema_of(source) == {"b": "int64 exactly 1"}
    assert infer(source).notes == ("tfrecords: feature 'a' is left out, its type varies: float32, int64",)


def test_records_that_are_images_are_decoded(tmp_path: Path) -> None:
    source = shards(tmp_path, [picture(), picture("PNG")])
    assert [image.shape for image in elements(source, read(source))] == [(224, 224, 3)] * 2


def sequence() -> bytes:
    lists = tf.train.FeatureLists(feature_list={"a": tf.train.FeatureList(feature=[tf.train.Feature()])})
    context = tf.train.Features(feature={"a": tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))})
    return bytes(tf.train.SequenceExample(context=context, feature_lists=lists).SerializeToString())


@pytest.mark.parametrize(
    ("record", "note"),
    [
        (b"\xff\x00 raw", "neither tf.train.Example nor images"),
        (b"", "neither tf.train.Example nor images"),
        (sequence(), "tf.train.SequenceExample"),
        (example(), "neither"),
    ],
)
def test_records_that_are_neither_stay_raw_with_a_note(tmp_path: Path, record: bytes, note: str) -> None:
    found = infer(shards(tmp_path, [record]))
    assert found.maps == ()
    assert note in found.notes[0]


def test_record_cut_short_is_named(tmp_path: Path) -> None:
    source = shards(tmp_path, [example(a=1), example(a=2)])
    path = tmp_path / "000.tfrecord"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CorruptRecordError, match=r"000\.tfrecord: the record at byte \d+ is damaged"):
        infer(source)


# Text


def test_words_become_ids_of_a_fixed_length(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x\n")
    source = TextLines(paths=(str(tmp_path),))
    lines = tf.data.Dataset.from_tensor_slices(["to be or not  to be", "", "to " * 500])
    first, empty, long = elements(source, lines)
    assert first.dtype == np.int64
    assert first[0] == first[4] != first[1]
    assert (first[:6] > 0).all()
    assert not first[6:].any()
    assert not empty.any()
    assert (long == first[0]).all()
    assert len({len(first), len(empty), len(long)}) == 1


def test_ids_stay_below_the_number_of_buckets() -> None:
    words = " ".join(str(n) for n in range(1000))
    ids = split_and_hash(tf.constant(words), buckets=8, max_tokens=1000).numpy()
    assert sorted(set(ids.tolist())) == list(range(1, 8))


# CSV


def csv_source(folder: Path, *texts: str, **arguments: Any) -> Csv:
    for number, text in enumerate(texts):
        (folder / f"{number}.csv").write_text(text)
    return Csv(paths=(str(folder),), **arguments)


def columns_of(source: Csv) -> dict[str, str]:
    arguments = dict(infer(source).maps[0].function.arguments)
    return dict(zip(arguments["columns"], arguments["types"], strict=True))


def test_columns_get_the_types_of_their_values(tmp_path: Path) -> None:
    source = csv_source(
        tmp_path, 'id,price,name,gap,all\n1,2,"a, b",3,\n', "id,price,name,gap,all\n-2,0.5,c,,\n3,1e3,,4,\n"
    )
    assert columns_of(source) == {
        "id": "int64",
        "price": "float32?",
        "name": "string?",
        "gap": "float32?",
        "all": "string?",
    }
    row = elements(source, tf.data.Dataset.from_tensors('7,,"x, y",,z'))[0]
    assert (row["id"], row["name"], row["all"]) == (7, b"x, y", b"z")
    assert np.isnan(row["price"])


def test_columns_without_a_header_and_with_another_delimiter(tmp_path: Path) -> None:
    source = csv_source(tmp_path, "1;a\n2;b\n", header=False, delimiter=";")
    assert columns_of(source) == {"column_0": "int64", "column_1": "string?"}
    assert elements(source, tf.data.Dataset.from_tensors("5;q"))[0] == {"column_0": 5, "column_1": b"q"}


def test_column_names_are_made_unique(tmp_path: Path) -> None:
    source = csv_source(tmp_path, "\ufeffa,a,\n1,2,3\n")
    assert list(columns_of(source)) == ["a", "a_1", "column_2"]


def test_compressed_csv_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert columns_of(Csv(paths=(str(tmp_path),))) == {"a": "int64", "b": "int64"}


def test_numbers_too_large_for_int64_stay_text(tmp_path: Path) -> None:
    assert columns_of(csv_source(tmp_path, f"a,b\n{2**63},1_0\n")) == {"a": "string?", "b": "string?"}


def test_rows_of_several_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"data row 2 of .*0\.csv has 3 values where 2 are expected"):
        infer(csv_source(tmp_path, "a,b\n1,2\n1,2,3\n"))


def test_one_column_or_no_rows_are_noted(tmp_path: Path) -> None:
    assert "is ',' the delimiter?" in infer(csv_source(tmp_path, "a\tb\n1\t2\n")).notes[0]
    assert infer(csv_source(tmp_path, "a,b\n")) == Defaults(
        (), ("csv: the files looked at hold no rows; elements are lines",)
    )


def test_missing_value_of_a_whole_number_fails() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="Field 0 is required"):
        parse_csv(tf.constant(",1"), columns=["a", "b"], types=["int64", "int64"])


# Others


def test_fixed_length_records_have_no_default(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"1234")
    found = infer(FixedLength(paths=(str(tmp_path),), record_bytes=2))
    assert found == Defaults((), ("fixed_length: no default transform; elements are raw bytes",))


def test_default_maps_are_references_with_plain_values(tmp_path: Path) -> None:
    (stage,) = infer(shards(tmp_path, [example(a=1)])).maps
    assert stage.function.ref == "pipeline_opt.build.transforms:parse_example"
    assert stage.function.arguments == (("schema", {"a": "int64 exactly 1"}),)
    assert (stage.name, stage.random, stage.batched) == ("parse", False, False)
