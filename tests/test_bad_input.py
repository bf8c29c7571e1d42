"""Every kind of bad input: what is said of it, the exit code, and that nothing measured is lost."""

from __future__ import annotations

import builtins
import errno
import gzip
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Shell
from fakes import naive, no_steps

import pipeline_opt as po
from pipeline_opt import runfile
from pipeline_opt.storage.tfrecord import OVERHEAD_BYTES, read_records
from pipeline_opt.synth import make_jpeg_shards
from pipeline_opt.text import toml_reader

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("default::pipeline_opt.errors.PlanWarning")]

ORDER = ("--order", "interleave,map,batch", "--batch-size", "2", "--trace", "off")

FUNCTIONS = """
import tensorflow as tf

def reject(image, label):
    def check(label):
        if label == 1: raise ValueError("no dogs")
        return label
    return tf.py_function(check, [label], tf.int64)

def assertion(image, label):
    tf.debugging.assert_less(label, tf.constant(1, tf.int64), message="cats only")
    return label

def nothing_made(image, label): pass

def untraceable(image, label):
    return image.pixels

def broken(): raise OSError("the mount is gone")
def number(): return 3
"""

CONFIG = """
order = {order}
[source]
kind = "{kind}"
paths = ["{data}"]
{source}
[stages.batch]
batch_size = 2
{stages}
"""


@dataclass(frozen=True)
class Row:
    """One kind of bad input.

    Args:
        name: What is bad.
        arrange: Makes it in a folder that holds `images` and `shards`, and gives the command's arguments.
        code: The exit code.
        words: What stderr holds.
        kept: A run file that must be there, of a partial run.
    """

    name: str
    arrange: Callable[[Path], tuple[str, ...]]
    code: int
    words: tuple[str, ...]
    kept: str | None = field(default=None)


PROFILED = "runs/profile-data/profile.run"


def wrote(path: str, content: str | bytes, *arguments: str) -> Callable[[Path], tuple[str, ...]]:
    """A file, and a command."""

    def arrange(folder: Path) -> tuple[str, ...]:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return arguments

    return arrange


def typed(*arguments: str) -> Callable[[Path], tuple[str, ...]]:
    """A command."""
    return lambda folder: arguments


def config(
    *arguments: str, order: str = '["interleave", "batch"]', data: str = "shards", stages: str = "", source: str = ""
) -> Callable[[Path], tuple[str, ...]]:
    """A pipeline as TOML, and `profile` of it."""
    text = CONFIG.format(order=order, kind="tfrecords", data=data, stages=stages, source=source)
    return wrote("data.toml", text, "profile", "--config", "data.toml", "--trace", "off", *arguments)


def empty_folder(folder: Path) -> tuple[str, ...]:
    (folder / "data").mkdir()
    return ("profile", "data")


def truncated(folder: Path) -> tuple[str, ...]:
    """The shards as `data`, the last record of the last one cut short."""
    shutil.copytree(folder / "shards", folder / "data")
    last = sorted((folder / "data").glob("*.tfrecord"))[-1]
    last.write_bytes(last.read_bytes()[:-10])
    return ("profile", "data", *ORDER)


def offset_of_last_record(folder: Path) -> int:
    """Where the last record of the last shard begins."""
    shard = sorted((folder / "shards").glob("*.tfrecord"))[-1]
    records = read_records(str(shard), count=1000)
    return sum(len(record) + OVERHEAD_BYTES for record in records[:-1])


def damaged_from_the_start(folder: Path) -> tuple[str, ...]:
    shard = sorted((folder / "shards").glob("*.tfrecord"))[0]
    content = bytearray(shard.read_bytes())
    content[100] ^= 255
    return wrote("data/a.tfrecord", bytes(content), "profile", "data", *ORDER)(folder)


def damaged_text(folder: Path) -> tuple[str, ...]:
    content = bytearray(gzip.compress(b"some words\n" * 1000))
    content[12] ^= 255
    return wrote("data/a.txt.gz", bytes(content), "profile", "data", "--trace", "off")(folder)


def bad_image(folder: Path) -> tuple[str, ...]:
    shutil.copytree(folder / "images", folder / "data")
    (folder / "data" / "dogs" / "9.jpg").write_text("not a picture")
    return ("profile", "data", *ORDER)


def late_row(folder: Path) -> tuple[str, ...]:
    return wrote("data/a.csv", "a,b\n" + "1,2\n" * 200 + "1,x\n", "profile", "data", "--trace", "off")(folder)


def own_map(name: str) -> Callable[[Path], tuple[str, ...]]:
    """The images as `data`, with a function of the user's."""

    def arrange(folder: Path) -> tuple[str, ...]:
        shutil.copytree(folder / "images", folder / "data")
        return ("profile", "data", "--map", f"functions.py:{name}", *ORDER)

    return arrange


def stale_lockfile(folder: Path) -> tuple[str, ...]:
    (folder / "cached_0.lockfile").write_text("left by a process that died")
    return config(order='["interleave", "cache", "batch"]', stages='[stages.cache]\nfilename = "cached"')(folder)


def damaged_run(folder: Path) -> tuple[str, ...]:
    runfile.save(naive(), folder / "good.run")
    content = (folder / "good.run").read_bytes()
    (folder / "bad.run").write_bytes(content[: len(content) // 2])
    return ("report", "good.run", "bad.run")


def runs_of_different_plans(folder: Path) -> tuple[str, ...]:
    for name in ("a", "b"):
        runfile.save(replace(naive(), fingerprint=name), folder / f"{name}.run")
    return ("compare", "both=a.run,b.run", "a.run")


def same_name(folder: Path) -> tuple[str, ...]:
    runfile.save(naive(), folder / "a.run")
    return ("compare", "x=a.run", "x=b.run")


def too_short(folder: Path) -> tuple[str, ...]:
    runfile.save(no_steps(), folder / "a.run")
    runfile.save(naive(), folder / "b.run")
    return ("compare", "a.run", "b.run")


def full_disk_for_json(folder: Path) -> tuple[str, ...]:
    return ("profile", "functions.py:dataset", "--json", "/dev/full", "--trace", "off")


def link_to_itself(folder: Path) -> tuple[str, ...]:
    (folder / "self").symlink_to("self")
    return ("profile", "images", "--json", "self")


LONG = "x" * 300

ROWS = (
    # The data
    Row("missing path", typed("profile", "imgaes"), 2, ("no such path: imgaes", "did you mean ./images?")),
    Row("nothing matches", typed("profile", "shards/*.gz"), 2, ("no file matches shards/*.gz", "train-00000")),
    Row("empty folder", empty_folder, 2, ("data", "no files", "--format")),
    Row("nothing of the format", typed("profile", "images", "--format", "csv"), 2, ("csv", "images", "cats")),
    Row("unknown format", typed("profile", "images", "--format", "jpg"), 2, ("'jpg'", "tfrecords, images, text, csv")),
    Row("empty file", wrote("data/a.tfrecord", "", "profile", "data"), 2, ("every file is empty", "a.tfrecord")),
    Row(
        "not a TFRecord",
        wrote("data/a.tfrecord", "hello, this is text\n", "profile", "data"),
        2,
        ("data/a.tfrecord", "is not a TFRecord file", "hello"),
    ),
    Row("truncated record", truncated, 3, ("interleave", "train-00001-of-00002.tfrecord", "ends inside"), PROFILED),
    Row("damaged first record", damaged_from_the_start, 3, ("a.tfrecord", "byte 0", "checksum"), PROFILED),
    Row(
        "wrong compression",
        config(source='compression = "GZIP"'),
        2,
        ("tfrecords", "train-00000-of-00002.tfrecord", "not compressed, where GZIP is expected"),
    ),
    Row("image that does not decode", bad_image, 3, ("decode", "dogs/9.jpg", "not a picture"), PROFILED),
    Row(
        "rows of different length",
        wrote("data/a.csv", "a,b\n1,2\n3\n", "profile", "data"),
        2,
        ("csv", "a.csv", "1 values where 2 are expected"),
    ),
    Row(
        "row that does not parse",
        late_row,
        3,
        ("parse: data/a.csv, line 202: Field 1 is not a valid int64: x",),
        PROFILED,
    ),
    Row(
        "lines that end in CR alone",
        wrote("data/a.csv", "a,b\r1,2\r3,4\r", "profile", "data"),
        2,
        ("csv: line 1 of data/a.csv holds a CR", "valid: rows that end in LF or CR LF"),
    ),
    Row(
        "truncated compressed CSV",
        wrote("data/a.csv.gz", gzip.compress(b"a,b\n1,2\n3,4\n")[:-9], "profile", "data"),
        2,
        ("csv: data/a.csv.gz: the GZIP stream is damaged", "ends early"),
    ),
    Row("damaged compressed text", damaged_text, 3, ("data/a.txt.gz, byte 0: the GZIP stream is damaged",), PROFILED),
    Row("unknown scheme", typed("profile", "gopher://x/y"), 2, ("gopher://", "no file system", "known schemes")),
    # Functions
    Row("map that raises", own_map("reject"), 3, ("reject: Python code raised ValueError: no dogs",), PROFILED),
    Row("map whose op fails", own_map("assertion"), 3, ("assertion: ", "cats only"), PROFILED),
    Row("map that cannot be traced", own_map("untraceable"), 2, ("untraceable: cannot be built", "pixels", "it takes")),
    Row("map that returns nothing", own_map("nothing_made"), 2, ("nothing_made returns None; valid: tensors",)),
    Row("missing function", own_map("nothing"), 2, ("functions.py has no 'nothing'", "it has:", "reject")),
    Row("missing module", typed("profile", "shards", "--map", "nowhere:f"), 2, ("importing 'nowhere' failed",)),
    Row("no reference", typed("profile", "shards", "--map", "reject"), 2, ("'reject'", "package.module:function")),
    Row("file that does not import", wrote("bad.py", "x = (", "profile", "bad.py:f"), 2, ("bad.py", "SyntaxError")),
    Row("function that raises", typed("profile", "functions.py:broken"), 2, ("raised OSError: the mount is gone",)),
    Row("function of something else", typed("profile", "functions.py:number"), 2, ("returned int", "Dataset")),
    Row("file without a function", typed("profile", "functions.py"), 2, ("functions.py:FUNCTION",)),
    Row("benchmark of a dataset", typed("benchmark", "functions.py:dataset"), 2, ("stages", "profile it alone")),
    # Plans
    Row("knob out of range", typed("profile", "images", "--batch-size", "0"), 2, ("batch: batch_size=0", "from 1")),
    Row(
        "knob out of range in a config",
        config(stages="[stages.interleave]\nnum_parallel_calls = 0"),
        2,
        ("data.toml", "interleave", "num_parallel_calls=0", "a whole number from 1"),
    ),
    Row(
        "unknown stage in a config",
        config(order='["interleave", "shufle", "batch"]'),
        2,
        ("data.toml", "'shufle'", "did you mean 'shuffle'?"),
    ),
    Row(
        "unreadable TOML", wrote("x.toml", "order = [\n", "profile", "x.toml"), 2, ("x.toml", "not valid TOML", "line")
    ),
    Row("missing config", typed("benchmark", "--config", "none.toml"), 2, ("none.toml", "cannot be read")),
    Row(
        "unknown stage in an order",
        typed("profile", "images", "--order", "interleave,mapp,batch"),
        2,
        ("'mapp'", "valid: ", "did you mean 'map'?"),
    ),
    Row(
        "order that cannot be built",
        typed("profile", "images", "--order", "prefetch,interleave,map,batch"),
        2,
        ("prefetch stands before interleave", "nearest legal order: interleave,prefetch,decode,batch"),
    ),
    Row(
        "size without a stage",
        typed("profile", "images", "--order", "map", "--batch-size", "2"),
        2,
        ("no stage for it",),
    ),
    Row("map beside a config", config("--map", "functions.py:reject"), 2, ("--map", "a path to data")),
    # Measuring
    Row("absurd accelerator", typed("profile", "images", "--accelerator", "7 parsecs"), 2, ("'7 parsecs'", "20ms")),
    Row("endless steps", typed("profile", "images", "--accelerator", "1e300s"), 2, ("step_s=1e+300", "1e-9 to 3600")),
    Row(
        "steps of no time", typed("profile", "images", "--accelerator", "1e-30ms"), 2, ("step_s=1e-33", "1e-9 to 3600")
    ),
    Row(
        "link of no speed",
        typed("profile", "images", "--accelerator", "1ms@1e-9KB/s"),
        2,
        ("link_bytes_per_s=1", "from 1 to"),
    ),
    Row("negative step time", typed("profile", "images", "--accelerator", "-1ms"), 2, ("'-1ms'", "20ms")),
    Row(
        "unknown preset",
        typed("profile", "images", "--accelerator", "h100-resnet"),
        2,
        ("did you mean 'h100-resnet50'?",),
    ),
    Row("steps out of range", typed("profile", "images", "--steps", "-1"), 2, ("steps=-1", "from 0")),
    Row("seconds that are no number", typed("profile", "images", "--seconds", "soon"), 2, ("--seconds", "valid")),
    Row("in flight without accelerator", typed("profile", "images", "--in-flight", "2"), 2, ("--accelerator",)),
    Row("unknown variant", typed("benchmark", "images", "--variants", "fast"), 2, ("'fast'", "naive, autotune")),
    # Caches
    Row(
        "cache path not writable",
        config(order='["interleave", "cache", "batch"]', stages='[stages.cache]\nfilename = "none/cached"'),
        3,
        ("cache", "none/cached", "create the folder none"),
        PROFILED,
    ),
    Row(
        "cache of an unknown scheme",
        config(order='["interleave", "cache", "batch"]', stages='[stages.cache]\nfilename = "gopher://x/y"'),
        2,
        ("cache: gopher:// cannot be opened here (gopher://x/y)", "known schemes"),
    ),
    Row("stale cache lockfile", stale_lockfile, 3, ("cache", "cached_0.lockfile", "delete that file"), PROFILED),
    # Outputs
    Row("no folder for the JSON", typed("profile", "images", "--json", "none/x.json"), 4, ("none/x.json", "no folder")),
    Row(
        "folder below a file for the JSON",
        typed("profile", "images", "--json", "data.txt/x"),
        4,
        ("data.txt/x", "no f"),
    ),
    Row("JSON in a folder that takes none", typed("profile", "images", "--json", "/proc/x.json"), 4, ("/proc/x.json",)),
    Row("name too long for the JSON", typed("profile", "images", "--json", LONG), 4, (LONG, "File name too long")),
    Row("name too long for a folder", typed("profile", "images", "--out", LONG), 4, (LONG, "File name too long")),
    Row("name too long for data", typed("synth", "csv", LONG), 4, (LONG, "File name too long")),
    Row("name too long for a run file", typed("report", LONG), 2, (LONG, "File name too long")),
    Row("link to itself for the JSON", link_to_itself, 4, ("self", "Too many levels of symbolic links")),
    Row("folder that cannot be made", typed("profile", "images", "--out", "data.txt/out"), 4, ("data.txt/out",)),
    Row(
        "JSON on a full disk", full_disk_for_json, 4, ("/dev/full", "No space left"), "runs/profile-dataset/profile.run"
    ),
    Row(
        "data set that cannot be made", typed("synth", "csv", "data.txt/made"), 4, ("data.txt/made", "Not a directory")
    ),
    # Runs
    Row("damaged run file", damaged_run, 2, ("bad.run", "damaged", "make the run again"), "good.run"),
    Row("not a run file", typed("report", "functions.py"), 2, ("functions.py is not a run file",)),
    Row("missing run file", typed("compare", "a.run", "b.run"), 2, ("no such run file: a.run",)),
    Row("folder without runs", typed("report", "images"), 2, ("no run file (*.run) in the folder images",)),
    Row("different plans as one", runs_of_different_plans, 2, ("'both'", "different pipelines", "a.run, b.run")),
    Row("one name for two", same_name, 2, ("the name 'x' is given twice", "write x=a.run,b.run")),
    Row("run without steps", too_short, 2, ("0 steps", "at least 2 steps")),
    Row("threshold out of range", typed("compare", "a", "b", "--fail-below", "0"), 2, ("--fail-below=0", "0.95")),
    # Usage
    Row("no target", typed("profile"), 2, ("nothing to profile", "--config")),
    Row("unknown verb", typed("profil"), 2, ("'profil'", "profile")),
    Row("unknown option", typed("profile", "images", "--step", "2"), 2, ("--step",)),
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of 50 small pictures each: more than are looked at to find out what they hold."""
    return make_jpeg_shards(tmp_path_factory.mktemp("bad") / "shards", 100, 2, (16, 16))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Path, shards: Path) -> Shell:
    (tmp_path / "images").symlink_to(images)
    (tmp_path / "shards").symlink_to(shards)
    (tmp_path / "data.txt").write_text("a file\n")
    (tmp_path / "functions.py").write_text(FUNCTIONS + "\ndef dataset(): return tf.data.Dataset.range(20).batch(2)\n")
    return Shell(tmp_path, monkeypatch)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input(shell: Shell, row: Row) -> None:
    arguments = row.arrange(shell.folder)
    said = shell(*arguments, code=row.code).stderr
    for word in row.words:
        assert word in said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    if row.kept is None:
        assert not (shell.folder / "runs").exists(), "nothing ran, so nothing is left behind"
        return
    kept = runfile.load(shell.folder / row.kept)
    if row.code == 3:
        assert kept.partial
        assert f"is saved: {row.kept}" in said
        assert (shell.folder / row.kept).with_name("report.html").exists()


def test_truncated_record_is_named_with_its_offset(shell: Shell) -> None:
    said = shell(*truncated(shell.folder), code=3).stderr
    assert f"byte {offset_of_last_record(shell.folder)}: " in said
    assert len(runfile.load(shell.folder / PROFILED).steps) > 20


def test_disk_full_on_save_still_shows_the_run(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runfile.os, "fsync", full)
    result = shell("profile", "functions.py:dataset", "--trace", "off", code=4)
    assert "no space is left" in result.stderr
    assert "needed: " in result.stderr
    assert "elements/s" in result.stdout
    assert not list(shell.folder.glob("runs/*/*.run"))


def test_disk_full_for_a_figure_leaves_the_run(shell: Shell) -> None:
    (shell.folder / "out").mkdir()
    (shell.folder / "out" / "overlap.png").write_text("an older one")
    (shell.folder / "out" / ".overlap.png.part").symlink_to("/dev/full")
    command = ("profile", "functions.py:dataset", "--trace", "off", "--out", "out", "--force")
    result = shell(*command, code=4)
    assert "error: cannot write out/overlap.png: No space left on device" in result.stderr
    assert len(runfile.load(shell.folder / "out" / "profile.run").steps) == 10
    assert "summary.json" in result.stdout
    assert (shell.folder / "out" / "overlap.png").read_text() == "an older one"


def test_partial_run_that_cannot_be_saved_is_said_so(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = own_map("reject")(shell.folder)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runfile.os, "fsync", full)
    said = shell(*arguments, code=3).stderr
    assert "no dogs" in said
    assert "is not saved: cannot write the run file" in said


@pytest.mark.parametrize("raised", ["KeyError", "NameError", "ZeroDivisionError", "SystemExit"])
def test_a_map_can_raise_anything_while_it_is_traced(raised: str) -> None:
    def broken(x: Any) -> Any:
        raise getattr(builtins, raised)("no such field")

    with pytest.raises(po.FunctionError, match=f"broken: cannot be built: .*{raised}"):
        po.Pipeline.from_tensors([1, 2]).map(broken, name="broken").build()


def test_an_interleave_that_tensorflow_refuses_names_its_stage(records: Path) -> None:
    pipe = po.Pipeline.from_tfrecords(records).interleave(cycle_length=2, num_parallel_calls=4)
    with pytest.raises(po.PipelineOptError, match="interleave"):
        pipe.build()


def test_a_module_that_exits_is_a_function_that_cannot_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "leaves.py"
    file.write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(po.FunctionError, match=r"importing .*leaves.py failed: SystemExit"):
        po.Pipeline.from_tensors([1]).map(f"{file}:f").build()


def test_a_name_of_a_run_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path, monkeypatch)
    runfile.save(naive(), tmp_path / "a.run")
    said = shell("report", "../../escape=a.run", code=2).stderr
    assert "the name '../../escape' cannot be used" in said
    assert not (tmp_path.parent.parent / "escape.trace.json").exists()


def test_a_run_file_is_not_unpacked_without_bound(tmp_path: Path) -> None:
    file = tmp_path / "bomb.run"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as members:
        members.writestr("record.json", " " * 1000)
    with pytest.raises(po.RunFileError, match=r"record.json is compressed in a way that run files are not"):
        po.load(file)


def test_the_json_file_is_none_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path, monkeypatch)
    runfile.save(naive(), tmp_path / "a.run")
    (tmp_path / "page").mkdir()
    said = shell("report", "a.run", "--out", "page", "--json", "page/overlap.png", code=4).stderr
    assert "the JSON file page/overlap.png is another of the files that will be written" in said


def test_a_pipe_is_no_run_and_no_plan(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(po.RunFileError, match="it is a pipe or a device"):
        runfile.load(tmp_path / "pipe")
    with pytest.raises(po.ConfigError, match="valid: a file of up to"):
        po.Pipeline.from_config(tmp_path / "pipe")


def test_text_nested_without_end_is_no_plan() -> None:
    with pytest.raises(po.ConfigError, match="not valid TOML"):
        toml_reader.loads("x = " + "[" * 20_000)


def test_json_is_not_unpacked_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runfile.save(naive(), tmp_path / "a.run")
    monkeypatch.setattr(runfile, "MAX_JSON_BYTES", 100)
    with pytest.raises(po.RunFileError, match=r"record.json would unpack to .* bytes; valid: up to 100"):
        runfile.load(tmp_path / "a.run")
