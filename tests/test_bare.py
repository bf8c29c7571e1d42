"""Bare paths as sources: how a CSV file is written, and what cannot be found out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import pipeline_opt as po
from pipeline_opt.sources import Csv, FixedLength
from pipeline_opt.storage.bare import file_source
from pipeline_opt.storage.csv_form import csv_form


@pytest.mark.parametrize(
    ("text", "delimiter", "header"),
    [
        ("a,b\n1,2\n3,4", ",", True),
        ("a\tb\n1,5\t2", "\t", True),
        ("a;b\n1,5;2,5\n3,1;4,0", ";", True),
        ("a|b\n1|2", "|", True),
        ("1,2\n3,4", ",", False),
        ("-1.5e3;.5;nan\n1;2;3", ";", False),
        ("1,a\n2,b", ",", True),
        ('a,b\n"x;y",1\n"z",2', ",", True),
        ("name\nx\ny", ",", True),
        ("5\n6", ",", False),
        ("", ",", True),
    ],
)
def test_the_form_of_a_csv_file(text: str, delimiter: str, header: bool) -> None:
    assert csv_form(text.splitlines()) == (delimiter, header)


def test_a_delimiter_that_is_given_stays() -> None:
    assert csv_form(["a;b,c", "1;2,3"], ",") == (",", True)


def test_a_bare_csv_path(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("")
    (tmp_path / "b.tsv").write_text("1\t2\n3\t4\n")
    paths = (str(tmp_path),)
    assert file_source(paths) == Csv(paths=paths, delimiter="\t", header=False)
    assert file_source(paths, header=True) == Csv(paths=paths, delimiter="\t", header=True)
    assert file_source(paths, "csv", delimiter=",", header=True) == Csv(paths=paths)


def test_values_of_any_length(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a;b\n1;" + "x" * 300_000 + "\n")
    before = csv.field_size_limit()
    assert file_source((str(tmp_path),)) == Csv(paths=(str(tmp_path),), delimiter=";")
    assert csv.field_size_limit() == before


def test_rows_that_tensorflow_does_not_split_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'a,b\r\n1,"2\r3"\r\n4\r5,6\n')
    with pytest.raises(po.FormatError, match=r"csv: line 3 of .*a\.csv holds a CR that ends no line"):
        file_source((str(tmp_path),))
    (tmp_path / "a.csv").write_bytes(b"1,2" * (6 << 20))
    with pytest.raises(po.FormatError, match=r"line 1 of .*a\.csv holds more than 16,777,216 bytes"):
        file_source((str(tmp_path),))


def test_records_of_fixed_length_need_their_length() -> None:
    assert file_source(("x.bin",), "fixed_length", record_bytes=3) == FixedLength(paths=("x.bin",), record_bytes=3)
    with pytest.raises(po.FormatError, match="fixed_length: the length of a record is not known; say it with record_b"):
        file_source(("x.bin",), "fixed_length")


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        po.KnobError, match="tfrecords: no argument is called 'delimiter'; it has: access, compression, b"
    ):
        file_source(("x",), "tfrecords", delimiter=";")
    with pytest.raises(po.KnobError, match="csv: delimiter=';;' is out of range; valid: one character"):
        Csv(paths=("x",), delimiter=";;")


@pytest.mark.tf
def test_the_values_of_a_tab_separated_file(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("x\ty\n1,5\t2\n2,5\t3\n")
    row = next(po.Pipeline.from_files(tmp_path / "a.tsv").map().prefetch().build().as_numpy_iterator())
    assert row == {"x": b"1,5", "y": 2}
