"""Listing files, telling formats, finding damage."""

from __future__ import annotations

import gzip
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline_opt.errors import (
    CorruptRecordError,
    EmptySourceError,
    FormatError,
    MissingPathError,
    SchemeError,
    SourceError,
)
from pipeline_opt.sources import Csv, FixedLength, Images, TextLines, TFRecords
from pipeline_opt.storage import listing
from pipeline_opt.storage.compression import detect_compression
from pipeline_opt.storage.damage import misfit_row
from pipeline_opt.storage.filesystem import LocalFiles, total_bytes
from pipeline_opt.storage.formats import detect_format, suffix_of
from pipeline_opt.storage.listing import remembering, resolve
from pipeline_opt.storage.routes import schemes
from pipeline_opt.storage.tfrecord import crc32c, cut_header, first_corruption, masked_crc32c, read_records
from pipeline_opt.storage.uris import local_path, rooted, scheme_of, scheme_status

JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 20


def frame(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return b"".join(
        (length, struct.pack("<I", masked_crc32c(length)), payload, struct.pack("<I", masked_crc32c(payload)))
    )


def records(*payloads: bytes) -> bytes:
    return b"".join(frame(p) for p in payloads)


def put(path: Path, data: bytes | str = b"x") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def names(files: Sequence[str]) -> list[str]:
    return [os.path.basename(f) for f in files]


# Listing


def test_folder_is_listed_sorted_without_what_is_no_data(tmp_path: Path) -> None:
    for name in ("b.tfrecord", "a.tfrecord", ".hidden", "_SUCCESS", "c.tfrecord.tmp", "notes.md"):
        put(tmp_path / name, records(b"1"))
    found = resolve(TFRecords(paths=(str(tmp_path),)))
    assert names(found.files) == ["a.tfrecord", "b.tfrecord"]
    assert found.bytes == 2 * len(records(b"1"))
    assert (found.labels, found.class_names, found.compression) == (None, (), "")


def test_shards_without_a_suffix_are_found_beside_other_kinds(tmp_path: Path) -> None:
    for name in ("train-00001-of-00002", "train-00000-of-00002", "README.txt", "info.json", "img.png"):
        put(tmp_path / name, records(b"1"))
    found = resolve(TFRecords(paths=(str(tmp_path),)))
    assert names(found.files) == ["train-00000-of-00002", "train-00001-of-00002"]


def test_paths_keep_their_order_and_a_glob_adds_no_file_twice(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        put(tmp_path / name)
    second = str(tmp_path / "b.txt")
    assert names(resolve(TextLines(paths=(second, str(tmp_path / "*.txt")))).files) == ["b.txt", "a.txt", "c.txt"]
    assert names(resolve(TextLines(paths=(second, second))).files) == ["b.txt", "b.txt"]


def test_file_uri_and_a_name_with_glob_signs_are_files(tmp_path: Path) -> None:
    odd = put(tmp_path / "odd[1].txt")
    assert resolve(TextLines(paths=(f"file://{odd}",))).files == (odd,)


def test_images_have_the_class_of_the_folder_below_the_root(tmp_path: Path) -> None:
    for name in ("dog/2.JPG", "dog/1.jpg", "cat/deep/3.png", "cat/notes.txt", "cat/.4.jpg", "dog/_5.jpg"):
        put(tmp_path / name, JPEG)
    (tmp_path / "emu").mkdir()
    found = resolve(Images(paths=(str(tmp_path),)))
    assert names(found.files) == ["3.png", "1.jpg", "2.JPG", "_5.jpg"]
    assert found.class_names == ("cat", "dog", "emu")
    assert found.labels == (0, 1, 1, 1)


@pytest.mark.parametrize("paths", [("*/*",), ("*",), ("cat", "dog"), ("dog", "cat/1.jpg")])
def test_images_by_glob_folder_or_list_have_the_same_classes(tmp_path: Path, paths: tuple[str, ...]) -> None:
    for name in ("dog/2.jpg", "cat/1.jpg", "labels.txt"):
        put(tmp_path / name, JPEG)
    found = resolve(Images(paths=tuple(str(tmp_path / p) for p in paths)))
    assert found.class_names == ("cat", "dog")
    assert {os.path.basename(f): label for f, label in zip(found.files, found.labels or (), strict=True)} == {
        "1.jpg": 0,
        "2.jpg": 1,
    }


def test_folder_of_images_without_classes_is_one_class(tmp_path: Path) -> None:
    put(tmp_path / "birds" / "1.jpg", JPEG)
    found = resolve(Images(paths=(str(tmp_path / "birds") + "/",)))
    assert (found.labels, found.class_names) == ((0,), ("birds",))


def test_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "stray.jpg", JPEG)
    put(tmp_path / "cat" / "1.jpg", JPEG)
    with pytest.raises(FormatError, match=r"stray\.jpg.*beside class folders \(cat\)"):
        resolve(Images(paths=(str(tmp_path),)))


def test_files_are_listed_once_where_that_is_remembered(tmp_path: Path) -> None:
    source = TextLines(paths=(str(tmp_path),))
    (tmp_path / "a.txt").write_text("a\n")
    with remembering():
        first = resolve(source)
        (tmp_path / "b.txt").write_text("b\n")
        assert resolve(source) is first
        assert len(resolve(TextLines(paths=(str(tmp_path), str(tmp_path / "b.txt")))).files) == 3
    assert [Path(path).name for path in resolve(source).files] == ["a.txt", "b.txt"]


def test_what_is_not_there_is_said_again_where_listing_is_remembered(tmp_path: Path) -> None:
    source = TextLines(paths=(str(tmp_path / "a.txt"),))
    with remembering():
        with pytest.raises(MissingPathError):
            resolve(source)
        (tmp_path / "a.txt").write_text("a\n")
        assert len(resolve(source).files) == 1


def test_many_files_far_away_are_asked_for_at_once_and_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = threading.Barrier(listing.AT_ONCE, timeout=20)
    names = tuple(f"gs://bucket/{number:02}.txt" for number in range(1, listing.AT_ONCE + 2))

    class Far(LocalFiles):
        def is_file(self, path: str) -> bool:
            if path != names[0]:
                at_once.wait()
            return True

    monkeypatch.setattr(listing, "file_system", lambda path, access: (Far(), path))
    monkeypatch.setattr(listing, "total_bytes", lambda paths, access: 1)
    monkeypatch.setattr(listing, "_checked_compression", lambda *_: "")
    monkeypatch.setattr(listing, "_client", lambda *_: "tf")
    assert resolve(TextLines(paths=names)).files == names


def test_missing_path_names_the_nearest_folder_and_what_is_there(tmp_path: Path) -> None:
    put(tmp_path / "train" / "a.tfrecord")
    with pytest.raises(MissingPathError) as caught:
        resolve(TFRecords(paths=(str(tmp_path / "trian" / "sub" / "a.tfrecord"),)))
    assert f"the nearest folder that exists, {tmp_path}, holds train/" in str(caught.value)
    assert f"did you mean {tmp_path}/train?" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_glob_that_matches_nothing_says_what_is_there(tmp_path: Path) -> None:
    put(tmp_path / "a.txt")
    with pytest.raises(MissingPathError, match=r"no file matches .*\*\.tfrecord; .* holds a\.txt"):
        resolve(TFRecords(paths=(str(tmp_path / "*.tfrecord"),)))
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(EmptySourceError, match="hold no data"):
        resolve(TFRecords(paths=(str(tmp_path / "_SUCC*"),)))


@pytest.mark.parametrize("make", [TFRecords, TextLines, Images])
def test_folder_without_files_of_the_kind_says_what_it_saw(tmp_path: Path, make: type[TFRecords]) -> None:
    (tmp_path / "inner").mkdir()
    with pytest.raises(EmptySourceError, match="it holds folders: inner"):
        resolve(make(paths=(str(tmp_path),)))
    put(tmp_path / "x.tfrecord" if make is not TFRecords else tmp_path / "x.png")
    with pytest.raises(EmptySourceError, match=r"1 x \.(tfrecord|png)"):
        resolve(make(paths=(str(tmp_path),)))


def test_files_that_are_all_empty_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", b"")
    with pytest.raises(EmptySourceError, match="every file is empty"):
        resolve(Csv(paths=(str(tmp_path),)))


def test_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "gone.txt")
    with pytest.raises(MissingPathError, match=r"a\.txt"):
        resolve(TextLines(paths=(str(tmp_path),)))


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("hdfs://namenode:9000", "hdfs://namenode:9000/"),
        ("gs://b/", "gs://b/"),
        ("gs://b/a", "gs://b/a"),
        ("hdfs://", "hdfs://"),
        ("a", "a"),
    ],
)
def test_a_root_has_a_slash(path: str, root: str) -> None:
    assert rooted(path) == root


def test_unknown_scheme_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SchemeError, match=r"nope:// cannot be opened here .*known schemes: .*gs"):
        resolve(TFRecords(paths=("nope://bucket/x",)))


# Format and compression


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_compression_is_told_from_the_first_file_with_content(tmp_path: Path, compression: str) -> None:
    pack = {"": bytes, "GZIP": gzip.compress, "ZLIB": zlib.compress}[compression]
    put(tmp_path / "0.tfrecord", b"")
    put(tmp_path / "1.tfrecord", pack(records(b"abc")))
    found = resolve(TFRecords(paths=(str(tmp_path),)))
    assert found.compression == compression
    assert detect_compression(found.files) == compression


def test_text_that_begins_like_zlib_is_text(tmp_path: Path) -> None:
    assert detect_compression([put(tmp_path / "a.txt", "x^2 + y^2\n")]) == ""


@pytest.mark.parametrize(
    ("said", "packed", "actual"),
    [
        ("GZIP", False, "is not compressed, where GZIP is expected"),
        ("", True, "is GZIP compressed, where no compression is expected"),
    ],
)
def test_wrong_compression_is_refused_before_reading(tmp_path: Path, said: str, packed: bool, actual: str) -> None:
    path = put(tmp_path / "a.txt", gzip.compress(b"hello") if packed else b"hello")
    with pytest.raises(FormatError, match=f"a.txt {actual} .compression='{said}'"):
        resolve(TextLines(paths=(path,), compression=said))


def test_fixed_length_records_may_look_compressed(tmp_path: Path) -> None:
    path = put(tmp_path / "a.bin", gzip.compress(b"hello"))
    assert resolve(FixedLength(paths=(path,), compression="", record_bytes=1)).compression == ""


@pytest.mark.parametrize(("data", "told"), [(JPEG, "an image"), (b"plain words", "text"), (b"\x00\x01" * 9, "00 01")])
def test_what_is_no_tfrecord_file_is_refused_with_its_looks(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(FormatError, match=rf"a\.tfrecord is not a TFRecord file.*{told}"):
        resolve(TFRecords(paths=(put(tmp_path / "a.tfrecord", data),)))


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("x.tfrecord", b"", "tfrecords"),
        ("x", records(b"1"), "tfrecords"),
        ("x.bin", gzip.compress(records(b"1")), "tfrecords"),
        ("x", JPEG, "images"),
        ("x.TXT", "a,b\nc,d\n", "text"),
        ("x.tsv.gz", gzip.compress(b"a\tb\n"), "csv"),
        ("x", "1,2\n3,4\n5,6\n", "csv"),
        ("x.jsonl", '{"a":1,"b":2}\n{"a":1,"b":2}\n', "text"),
        ("x", "Good, then.\nAll of it\n", "text"),
    ],
)
def test_format_is_told_from_name_and_bytes(tmp_path: Path, name: str, data: bytes | str, kind: str) -> None:
    path = put(tmp_path / name, data)
    assert detect_format(path) == kind
    assert detect_format([path, str(tmp_path / "*")]) == kind


def test_format_of_folders(tmp_path: Path) -> None:
    put(tmp_path / "images" / "cat" / "1.png", b"")
    put(tmp_path / "shards" / "train-00000-of-00001", records(b"1"))
    put(tmp_path / "tables" / "a.csv", "a")
    put(tmp_path / "tables" / "b.csv", "a")
    put(tmp_path / "tables" / "notes.txt", "a")
    kinds = {name: detect_format(str(tmp_path / name)) for name in ("images", "shards", "tables")}
    assert kinds == {"images": "images", "shards": "tfrecords", "tables": "csv"}


def test_format_of_a_glob_is_that_of_what_it_reads(tmp_path: Path) -> None:
    put(tmp_path / "shards" / "_manifest.json", "{}")
    put(tmp_path / "shards" / "a.tfrecord", records(b"1"))
    (tmp_path / "shards" / "empty").mkdir()
    assert detect_format(str(tmp_path / "shards" / "*")) == "tfrecords"
    for name in ("_cats/1.png", "dogs/1.png", "_manifest.json"):
        put(tmp_path / "images" / name, JPEG)
    assert detect_format(str(tmp_path / "images" / "*")) == "images"
    found = resolve(Images(paths=(str(tmp_path / "images" / "*"),)))
    assert found.class_names == ("_cats", "dogs")


def test_a_glob_of_several_formats_names_two_of_them(tmp_path: Path) -> None:
    put(tmp_path / "images" / "README.md", "Cats and dogs.")
    put(tmp_path / "images" / "cats" / "1.png", JPEG)
    with pytest.raises(FormatError, match=r"\* matches several formats \(.*README.md: text, .*cats: images\); name"):
        detect_format(str(tmp_path / "images" / "*"))
    put(tmp_path / "hidden" / "_SUCCESS", "")
    with pytest.raises(FormatError, match=r"matches only files that hold no data: .*_SUCCESS"):
        detect_format(str(tmp_path / "hidden" / "*"))


@pytest.mark.parametrize(("name", "data"), [("x", b"PK\x03\x04\x00\x00"), ("x", b""), ("x.npy", b"\x93NUMPY\x00")])
def test_format_that_cannot_be_told_names_the_choices(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(FormatError, match=r"cannot tell .*--format \(tfrecords, images, text, csv\)"):
        detect_format(put(tmp_path / name, data))


def test_formats_that_differ_or_are_not_there_are_refused(tmp_path: Path) -> None:
    paths = [put(tmp_path / "a.txt", "a"), put(tmp_path / "b.csv", "a")]
    with pytest.raises(FormatError, match="several formats"):
        detect_format(paths)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="no files"):
        detect_format(str(tmp_path / "empty"))
    with pytest.raises(MissingPathError):
        detect_format(str(tmp_path / "none*"))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.tfrecord-00000-of-00010.gz", ".tfrecord"),
        ("train-00000-of-00010", ""),
        ("a.csv.gz", ".csv"),
        ("part_3.CSV", ".csv"),
    ],
)
def test_suffix_leaves_shard_and_compression_aside(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


# Damage


def test_crc32c_has_the_published_check_value() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_whole_file_has_no_corruption(tmp_path: Path, compression: str) -> None:
    path = str(tmp_path / "a.tfrecord")
    with tf.io.TFRecordWriter(path, compression) as writer:
        for record in (b"", b"abc", os.urandom(200_000)):
            writer.write(record)
    assert first_corruption(path, compression) is None
    assert first_corruption(path, compression, at=16) is None


@pytest.mark.parametrize("at", [None, 19])
@pytest.mark.parametrize(
    ("offset", "reason"),
    [(19, "length does not fit"), (19 + 12 + 2, "record's 6 bytes does not fit"), (19 + 12 + 7, "6 bytes does not")],
)
def test_flipped_byte_is_found_at_its_record(tmp_path: Path, at: int | None, offset: int, reason: str) -> None:
    data = bytearray(records(b"abc", b"defghi", b"j"))
    data[offset] ^= 0x40
    found = first_corruption(put(tmp_path / "a", bytes(data)), at=at)
    assert found is not None
    assert found.offset == 19
    assert reason in found.reason


@pytest.mark.parametrize(
    ("left", "reason"), [(22, "3 of 12 bytes"), (32, "10 bytes announced, 1 left"), (31, "10 bytes announced, 0 left")]
)
def test_truncated_file_is_found(tmp_path: Path, left: int, reason: str) -> None:
    path = put(tmp_path / "a", records(b"abc", b"defghi")[:left])
    for at in (None, 19):
        found = first_corruption(path, at=at)
        assert found is not None
        assert (found.offset, reason in found.reason) == (19, True)


@pytest.mark.parametrize(
    "payloads",
    [
        (b"",) * 9,
        (b"abc", b"defghi"),
        (bytes(50_000),) * 3,
        (os.urandom(90_000), b"x" * 70_000),
        (b"a" * 256, b"b" * 65536),
    ],
    ids=["empty", "short", "zeros", "longer than the first look", "round lengths"],
)
@pytest.mark.parametrize("left", [1, 7, 11])
def test_file_that_ends_inside_a_header_is_found(tmp_path: Path, payloads: tuple[bytes, ...], left: int) -> None:
    whole = records(*payloads)
    assert cut_header(put(tmp_path / "a", whole)) is None
    found = cut_header(put(tmp_path / "b", whole + frame(b"the last one")[:left]))
    assert found == (len(whole), f"the file ends inside a record's header, after {left} of 12 bytes")


def test_file_that_ends_elsewhere_is_no_cut_header(tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"abc", records(b"abc") + frame(b"def")[:14], os.urandom(100_000))):
        assert cut_header(put(tmp_path / str(number), data)) is None


@pytest.mark.parametrize("at", [10, 3000])
def test_a_damaged_gzip_file_is_still_one(tmp_path: Path, at: int) -> None:
    data = bytearray(gzip.compress(os.urandom(5000).hex().encode()))
    data[at : at + 2] = bytes(byte ^ 0xFF for byte in data[at : at + 2])
    path = put(tmp_path / "a.txt.gz", bytes(data))
    assert detect_compression([path]) == "GZIP"
    assert resolve(TextLines(paths=(path,))).compression == "GZIP"


def test_place_that_is_no_record_or_a_whole_one_is_no_corruption(tmp_path: Path) -> None:
    data = bytearray(records(b"abc", b"defghi"))
    data[14] ^= 1
    path = put(tmp_path / "a", bytes(data))
    assert first_corruption(path, at=19) is None
    assert first_corruption(path, at=7) is None
    assert first_corruption(path) == (0, "the checksum of the record's 3 bytes does not fit")


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_compressed_stream_cut_short_is_found(tmp_path: Path, pack: type[bytes]) -> None:
    compression = "GZIP" if pack is gzip.compress else "ZLIB"
    path = put(tmp_path / "a", pack(records(b"abc", os.urandom(100_000)))[:-2000])
    found = first_corruption(path, compression)
    assert found is not None
    assert found.offset == 19
    assert "ends early" in found.reason


def test_members_of_a_gzip_file_are_one_stream(tmp_path: Path) -> None:
    data = gzip.compress(records(b"abc")) + gzip.compress(records(b"def")[:-1])
    found = first_corruption(put(tmp_path / "a", data), "GZIP")
    assert found is not None
    assert found.offset == 19


def test_first_records_are_read_and_damage_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a", zlib.compress(records(b"abc", b"defghi")[:-1]))
    assert read_records(path, "ZLIB") == [b"abc"]
    with pytest.raises(CorruptRecordError, match=r"a: the record at byte 19 is damaged: the file ends inside"):
        read_records(path, "ZLIB", 5)
    assert read_records(put(tmp_path / "b", records(b"")), count=5) == [b""]


# Schemes


def test_scheme_and_local_path() -> None:
    assert [scheme_of(p) for p in ("a/b", "GS://b/x", "file:///a", "C:x")] == ["file", "gs", "file", "file"]
    assert [local_path(p) for p in ("a/b", "file:///a", "file://localhost/a", "gs://b")] == ["a/b", "/a", "/a", None]


@pytest.mark.tf
def test_schemes_say_what_opens_and_why_not() -> None:
    found = {status.scheme: status for status in schemes()}
    assert found["file"].opens
    assert found["gs"].opens
    assert found["ram"].opens
    for status in found.values():
        assert status.reason
        assert status.opens or status.remedy
        assert status.via in (("local", "tf", "fsspec") if status.opens else ("",))
    assert found["hdfs"].opens
    assert scheme_status("hdfs").opens == tf.__version__.startswith("2.17")
    assert not scheme_status("ftp").opens


@pytest.mark.tf
def test_other_schemes_are_listed_through_tensorflow(tmp_path: Path) -> None:
    root = "ram://storage/train"
    for name, data in (("b.tfrecord", records(b"1")), ("a.tfrecord", records(b"22")), ("_SUCCESS", b"")):
        tf.io.gfile.makedirs(root)
        with tf.io.gfile.GFile(f"{root}/{name}", "wb") as file:
            file.write(data)
    found = resolve(TFRecords(paths=(root,)))
    assert found.files == (f"{root}/a.tfrecord", f"{root}/b.tfrecord")
    assert found.bytes == 17 + 18
    assert resolve(TFRecords(paths=(f"{root}/a*",))).files == found.files[:1]
    assert detect_format(root) == "tfrecords"
    assert first_corruption(f"{root}/a.tfrecord") is None
    with pytest.raises(MissingPathError, match=r"ram://storage/train, holds _SUCCESS"):
        resolve(TFRecords(paths=(f"{root}/none/x",)))
    assert total_bytes([f"{root}/a.tfrecord", put(tmp_path / "x", b"123")]) == 21


def test_file_that_cannot_be_read_is_a_source_error() -> None:
    with pytest.raises(SourceError, match="cannot read /proc/self/mem: Input/output error"):
        detect_format("/proc/self/mem")


def test_a_row_is_looked_for_in_long_values_and_up_to_where_a_stream_breaks_off(tmp_path: Path) -> None:
    def misfit(values: list[str]) -> bool:
        return len(values) == 1

    long, cut = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    long.write_text("1," + "x" * 200_000 + "\n1\n")
    cut.write_bytes(gzip.compress("".join(f"{n},{n * n}\n" for n in range(50_000)).encode())[:-2000])
    assert misfit_row([str(long)], "", ",", False, misfit) == (str(long), 2)
    assert misfit_row([str(cut)], "GZIP", ",", False, misfit) is None
