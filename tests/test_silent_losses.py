"""Data that TensorFlow leaves out without an error is named in the record, with file and byte."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from command_line import Shell

import pipeline_opt as po
from pipeline_opt.build.reading import silent_losses
from pipeline_opt.plan import Plan, Zip
from pipeline_opt.sources import TextLines, TFRecords

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]


@pytest.fixture
def cut(tmp_path: Path, records: Path) -> tuple[Path, int]:
    """A copy of the files, the last of which ends inside a header, and where."""
    folder = Path(shutil.copytree(records, tmp_path / "data"))
    last = sorted(folder.glob("*.tfrecord"))[-1]
    size = last.stat().st_size
    last.write_bytes(last.read_bytes() + b"\x05\0\0\0\0\0\0\0")
    return last, size


def test_a_header_that_a_file_ends_inside_is_in_the_record(cut: tuple[Path, int]) -> None:
    path, at = cut
    run = po.profile(po.Pipeline.from_tfrecords(path.parent).interleave().batch(4).prefetch(), trace="off")
    (note,) = (note for note in run.notes if str(path) in note)
    assert note.startswith(
        f"interleave: {path}, byte {at}: the file ends inside a record's header, after 8 of 12 bytes"
    )
    assert note.endswith("is lost.")


def test_it_is_said_on_the_terminal(cut: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    path, at = cut
    shell = Shell(path.parent.parent, monkeypatch)
    said = shell("profile", "data", "--order", "interleave,batch,prefetch", "--trace", "off").stdout
    assert f"{path.name}, byte {at}: " in said
    assert "the file ends inside a record's header" in " ".join(said.replace("│", "").split())


def test_a_compressed_file_that_breaks_off_is_named_and_plans_in_a_plan_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(gzip.compress(b"some words\n" * 100)[:-9])
    text = Plan(TextLines(paths=(str(tmp_path),)))
    found = silent_losses(Plan(Zip(plans=(text, text))))
    assert [loss.partition(":")[0] for loss in found] == ["in0_text", "in1_text"]
    assert f"{tmp_path}/a.txt, byte 0: the GZIP stream is damaged: the compressed stream ends early" in found[0]


def test_what_cannot_be_listed_or_read_is_no_loss(tmp_path: Path) -> None:
    assert silent_losses(Plan(TFRecords(paths=(str(tmp_path / "none"),)))) == ()
