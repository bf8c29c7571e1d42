"""Made-up data sets: what they hold, that they are the same for a seed, and that a broken one is never taken."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from PIL import Image

from pipeline_opt.build.defaults import infer_defaults
from pipeline_opt.errors import OutputError, OutputExistsError, UsageError
from pipeline_opt.sources import Csv, Images, TextLines, TFRecords
from pipeline_opt.storage import detect_format, resolve
from pipeline_opt.synth import (
    default_dataset,
    embedded,
    make_csv,
    make_image_folder,
    make_jpeg_shards,
    make_tabular,
    make_text,
)
from pipeline_opt.synth.folders import MANIFEST, is_whole, new_dataset
from pipeline_opt.synth.pictures import Pictures

pytestmark = pytest.mark.tf

SMALL = (32, 24)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def schema(folder: Path) -> Any:
    source = TFRecords(paths=(str(folder),))
    return dict(infer_defaults(source, resolve(source)).maps[0].function.arguments)["schema"]


def count_records(folder: Path) -> list[int]:
    files = resolve(TFRecords(paths=(str(folder),))).files
    return [sum(1 for _ in tf.data.TFRecordDataset(f)) for f in files]


# What they hold


def test_picture_of_common_size_weighs_what_a_photograph_does() -> None:
    pictures = Pictures(500, 375, 0, classes=2)
    weights = [len(pictures.encode(number)) for number in range(4)]
    assert 70_000 < sum(weights) / len(weights) < 130_000
    assert Image.open(io.BytesIO(pictures.encode(0))).size == (500, 375)
    assert [pictures.label(number) for number in range(4)] == [0, 1, 0, 1]


def test_pictures_that_are_large_have_fewer_scenes() -> None:
    assert Pictures(500, 375, 0).classes == 64
    assert Pictures(8192, 8192, 0).classes == 1


def test_jpeg_shards(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = make_jpeg_shards(tmp_path / "a", 7, 3, SMALL, 1, lambda done, total: seen.append((done, total)))
    assert count_records(folder) == [3, 2, 2]
    assert schema(folder) == {"image/class/label": "int64 exactly 1", "image/encoded": "image exactly 1"}
    assert seen == [(n, 7) for n in range(1, 8)]
    assert detect_format(str(folder)) == "tfrecords"


def test_image_folder(tmp_path: Path) -> None:
    found = resolve(Images(paths=(str(make_image_folder(tmp_path / "a", 5, 2, SMALL)),)))
    assert found.class_names == ("class_000", "class_001")
    assert found.labels == (0, 0, 0, 1, 1)
    assert all(Image.open(io.BytesIO(Path(f).read_bytes())).size == SMALL for f in found.files)


def test_text(tmp_path: Path) -> None:
    folder = make_text(tmp_path / "a", 2500, 2, words=5)
    files = resolve(TextLines(paths=(str(folder),))).files
    lines = [Path(f).read_text().splitlines() for f in files]
    assert [len(part) for part in lines] == [1250, 1250]
    lengths = [len(line.split()) for part in lines for line in part]
    assert min(lengths) >= 1
    assert 4.5 < sum(lengths) / len(lengths) < 5.5


def test_csv_and_tabular_are_read_with_their_types(tmp_path: Path) -> None:
    source = Csv(paths=(str(make_csv(tmp_path / "csv", 50, 2, columns=2)),))
    arguments = dict(infer_defaults(source, resolve(source)).maps[0].function.arguments)
    assert arguments["columns"] == ("id", "x0", "x1", "color", "label")
    assert arguments["types"] == ("int64", "float32?", "float32?", "string?", "int64")
    tabular = make_tabular(tmp_path / "tabular", 5, 2, columns=2)
    assert count_records(tabular) == [3, 2]
    assert schema(tabular) == {
        "color": "string exactly 1",
        "label": "int64 exactly 1",
        "x0": "float32 exactly 1",
        "x1": "float32 exactly 1",
    }


MAKERS: list[Callable[..., Path]] = [
    lambda folder, **a: make_jpeg_shards(folder, 5, 2, SMALL, **a),
    lambda folder, **a: make_image_folder(folder, 5, 2, SMALL, **a),
    lambda folder, **a: make_text(folder, 50, 2, **a),
    lambda folder, **a: make_csv(folder, 50, 2, **a),
    lambda folder, **a: make_tabular(folder, 50, 2, **a),
]


@pytest.mark.parametrize("make", MAKERS)
def test_same_seed_same_data(tmp_path: Path, make: Callable[..., Path]) -> None:
    first, again, other = (contents(make(tmp_path / name, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first == again
    assert all(first[name] != other[name] for name in first if name in other)
    manifest = json.loads(first.pop(MANIFEST))
    assert manifest["files"] == {name: len(data) for name, data in first.items()}


# Refusals


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"images": 0}, "images=0 is out of range; valid: a whole number from 1"),
        ({"images": True}, "images=True"),
        ({"images": 3, "shards": 4}, "shards=4 is out of range; valid: a whole number from 1 to 3"),
        ({"images": 3, "shards": 1, "size": (8, 32)}, r"size=\(8, 32\) .* from 16 to 8192"),
        ({"images": 3, "shards": 1, "size": (32, 24, 3)}, "size="),
        ({"images": 3, "shards": 1, "seed": -1}, "seed=-1"),
    ],
)
def test_argument_out_of_range_is_refused(tmp_path: Path, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_jpeg_shards(tmp_path / "a", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [make_text, make_csv, make_tabular])
def test_tables_refuse_too(tmp_path: Path, make: Callable[..., Path]) -> None:
    for arguments in ((0,), (5, 6), (5, 1, 0), (5, 1, 3, -1)):
        with pytest.raises(UsageError, match="is out of range"):
            make(tmp_path / "a", *arguments)


def test_folder_that_holds_something_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    for force in (False, True):
        with pytest.raises(OutputExistsError, match="it was not made here"):
            make_text(tmp_path, 5, 1, force=force)
    made = make_text(tmp_path / "a", 5, 1)
    before = contents(made)
    with pytest.raises(OutputExistsError, match="pass force to replace it"):
        make_text(made, 6, 1)
    assert contents(made) == before
    assert make_text(made, 6, 1, force=True) == made
    assert contents(made) != before


def test_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write the data set .*Not a directory"):
        make_text(tmp_path / "file" / "a", 5, 1)


@pytest.mark.parametrize("make", MAKERS[:3])
def test_interrupted_data_set_leaves_nothing(tmp_path: Path, make: Callable[..., Path]) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "a", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_leftover_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.partial-999999999").mkdir()
    (tmp_path / ".b.partial-999999999").mkdir()
    make_text(tmp_path / "a", 5, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.partial-999999999", "a"]


def test_full_disk_while_writing_is_said(tmp_path: Path) -> None:
    full = tf.errors.ResourceExhaustedError(None, None, "x; No space left on device")
    with pytest.raises(OutputError, match="No space left on device"), new_dataset(tmp_path / "a", "text", {}):
        raise full
    assert list(tmp_path.iterdir()) == []


# The embedded data set


@pytest.fixture
def small_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    small = {"images": 4, "shards": 2, "size": (32, 24), "seed": 0}
    monkeypatch.setattr(embedded, "_ARGUMENTS", small)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pipeline_opt" / "jpeg-200mb"


def test_default_data_set_is_made_once_in_the_users_cache(small_default: Path) -> None:
    seen: list[int] = []
    assert default_dataset(progress=lambda done, total: seen.append(done)) == small_default
    assert default_dataset(progress=lambda done, total: seen.append(done)) == small_default
    assert seen == [1, 2, 3, 4]
    assert sum(count_records(small_default)) == 4


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"cut")])
def test_default_data_set_that_is_not_whole_is_made_again(
    small_default: Path, damage: Callable[[Path], object]
) -> None:
    shard = next(default_dataset().glob("*.tfrecord"))
    whole = shard.read_bytes()
    damage(shard)
    assert default_dataset() == small_default
    assert shard.read_bytes() == whole


def test_default_data_set_of_other_arguments_is_made_again(
    small_default: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default_dataset()
    monkeypatch.setitem(embedded._ARGUMENTS, "images", 2)
    assert sum(count_records(default_dataset())) == 2


def test_folder_in_its_place_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "jpeg-200mb").mkdir()
    (tmp_path / "jpeg-200mb" / "mine").write_text("precious")
    with pytest.raises(OutputExistsError):
        default_dataset(tmp_path)


def test_manifest_that_is_no_manifest_is_none(tmp_path: Path) -> None:
    for text in ("", "[]", '{"format": 99}', '{"format": 1, "kind": "text", "arguments": {}}'):
        (tmp_path / MANIFEST).write_text(text)
        assert not is_whole(tmp_path, "text", {})
