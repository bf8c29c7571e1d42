"""The parts of the command line, without TensorFlow and without a process."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import naive

from pipeline_opt import runfile
from pipeline_opt.cli import console, startup
from pipeline_opt.cli.console import Output, progress_bar
from pipeline_opt.cli.contest import VARIANTS, chosen
from pipeline_opt.cli.doctor import advise
from pipeline_opt.cli.exits import MEANINGS, ExitCode, InterruptedRun, exit_code
from pipeline_opt.cli.measuring import Measuring, RunProgress, accelerator_of, limits_of
from pipeline_opt.cli.options import Trace
from pipeline_opt.cli.outputs import Folder, JsonFile, derived_name
from pipeline_opt.cli.run_files import load_variants
from pipeline_opt.cli.targets import is_reference, make_pipeline, plan_options, reading_options
from pipeline_opt.errors import (
    ConfigError,
    KnobError,
    OutputError,
    OutputExistsError,
    RunFileError,
    StageError,
    UsageError,
)
from pipeline_opt.machine import Machine
from pipeline_opt.profiler.loop import Limits
from pipeline_opt.sources import TextLines
from pipeline_opt.storage import SchemeStatus


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def failed_run() -> StageError:
    error = StageError("decode: broken", "decode")
    error.record = naive()
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), ExitCode.BAD_INPUT),
        (RunFileError("x"), ExitCode.BAD_INPUT),
        (StageError("found before anything ran"), ExitCode.BAD_INPUT),
        (failed_run(), ExitCode.FAILED),
        (OutputError("x"), ExitCode.NOT_WRITTEN),
        (OutputExistsError("x"), ExitCode.NOT_WRITTEN),
        (PermissionError("x"), ExitCode.BAD_INPUT),
        (KeyError("x"), ExitCode.BUG),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (InterruptedRun("x"), ExitCode.INTERRUPTED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes(error: BaseException, code: ExitCode) -> None:
    assert exit_code(error) is code


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


@pytest.mark.parametrize(
    ("targets", "name"),
    [
        (["data/photos"], "profile-photos"),
        (["data/photos/"], "profile-photos"),
        (["data/photos/*.jpg"], "profile-photos"),
        (["train-00000.tfrecord", "b"], "profile-train-00000"),
        (["train.py:make_dataset"], "profile-make_dataset"),
        (["package.module:make"], "profile-make"),
        (["gs://bucket/some data/train-*"], "profile-some-data"),
        (["pipe.toml"], "profile-pipe"),
        (["*.jpg"], "profile"),
        ([".."], "profile"),
        ([], "profile"),
    ],
)
def test_folders_are_called_after_what_they_are_of(targets: list[str], name: str) -> None:
    assert derived_name("profile", targets) == name


def test_new_folders_are_numbered_and_empty_ones_removed() -> None:
    first = Folder(None, "a", ["x"], force=False)
    first.write("x", "1")
    second = Folder(None, "a", ["x"], force=False)
    assert (first.path, second.path) == (Path("runs/a"), Path("runs/a-2"))
    second.drop_if_empty()
    first.drop_if_empty()
    assert [path.name for path in Path("runs").iterdir()] == ["a"]
    assert Folder(None, "a", ["x"], force=True).path == Path("runs/a")


def test_folder_refuses_what_it_would_overwrite() -> None:
    Path("out").mkdir()
    Path("out/other").touch()
    Folder(Path("out"), "", ["x", "y"], force=False).write("x", b"1")
    with pytest.raises(OutputExistsError, match=r"out holds x already; .*--out.*--force"):
        Folder(Path("out"), "", ["x", "y"], force=False)
    with pytest.raises(OutputError, match="out/other"):
        Folder(Path("out/other/deeper"), "", ["x"], force=False)
    with pytest.raises(OutputError, match="cannot write out/none/x"):
        Folder(Path("out"), "", [], force=False).write("none/x", "")


def test_json_file_is_looked_at_before_it_is_written() -> None:
    Path("there.json").touch()
    with pytest.raises(OutputExistsError, match=r"there\.json exists already"):
        JsonFile("there.json", force=False)
    JsonFile("there.json", force=True).write({"a": 1})
    assert Path("there.json").read_text() == '{\n  "a": 1\n}\n'
    with pytest.raises(OutputError, match="it is a folder"):
        JsonFile(".", force=True)
    with pytest.raises(OutputError, match="No space left"):
        JsonFile("/dev/full", force=False).write({"a": 1})


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("train.py:make", True),
        ("package.module:make", True),
        ("some dir/train.py:make", True),
        ("data/photos", False),
        ("gs://bucket/data", False),
        ("C:/data", False),
        ("train.py", False),
        ("here:there", False),
    ],
)
def test_references_are_told_from_paths(target: str, expected: bool) -> None:
    Path("here:there").touch()
    assert is_reference(target) is expected


def test_hidden_files_that_a_shell_names_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("_manifest.json", "a.txt"):
        Path(name).write_text("one\ntwo\n")
    pipeline = make_pipeline(["_manifest.json", "a.txt"], plan_options())
    assert pipeline.source == TextLines(paths=("a.txt",))
    assert capsys.readouterr().err == "note: left out, as their names say that they are no data: _manifest.json\n"
    assert make_pipeline(["_manifest.json"], plan_options()).source == TextLines(paths=("_manifest.json",))


def test_plan_options_are_checked_before_anything_else() -> None:
    options = plan_options("map,batch", None, "images", ["m:parse", "m:batch", "n:parse"], ["m:flip"], 3, 5)
    assert [(each.name, each.random) for each in options.maps] == [
        ("parse", None),
        ("", None),
        ("", None),
        ("flip", True),
    ]
    assert [options.addable[kind] for kind in ("batch", "shuffle")] == [
        options.addable["batch"].__class__(batch_size=3),
        options.addable["shuffle"].__class__(buffer_size=5),
    ]
    with pytest.raises(ConfigError, match="not an order"):
        plan_options("map,,batch")
    with pytest.raises(KnobError, match="shuffle: buffer_size=0"):
        plan_options(shuffle_buffer=0)
    with pytest.raises(UsageError, match="--format fixed_length needs the length of a record: --record-bytes N"):
        plan_options(file_format="fixed_length")
    assert reading_options("tab", header=False, record_bytes=None) == {"delimiter": "\t", "header": False}


def test_limits_and_accelerators() -> None:
    assert limits_of(None, None, None, Limits(steps=3)) == Limits(steps=3)
    assert limits_of(None, 2.0, None, Limits(steps=3)) == Limits(seconds=2.0)
    assert accelerator_of("none", None) is None
    found = accelerator_of("20ms", 2)
    assert found is not None
    assert (found.step_s, found.in_flight) == (0.02, 2)
    with pytest.raises(UsageError, match="in_flight=-1"):
        accelerator_of("20ms", -1)


def test_progress_counts_the_limit_that_is_nearest() -> None:
    told: list[tuple[float, str]] = []
    measuring = Measuring(None, Limits(steps=100, seconds=10.0), Trace.AUTO)
    progress = RunProgress(lambda share, said: told.append((share, said)), measuring, ("naive", "pipelined"))
    progress("naive", 10, 5.0)
    progress("pipelined", 1000, 5.0)
    progress.reading("pipelined")
    assert told == [
        (0.25, "naive: 10 steps, 5 s"),
        (1.0, "pipelined: 1,000 steps, 5 s"),
        (-1.0, "pipelined: reading what was traced"),
    ]
    assert Measuring(None, Limits(epochs=1), Trace.AUTO).share_done(10, 5.0) == -1


def test_variants_run_in_one_order() -> None:
    assert chosen("pipelined, naive") == ("naive", "pipelined")
    assert chosen(",".join(VARIANTS)) == VARIANTS
    with pytest.raises(UsageError, match="valid: naive, autotune, pipelined"):
        chosen(",")


def test_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = io.StringIO()
    from rich.console import Console

    terminal = SimpleNamespace(Console=lambda **_: Console(file=drawn, force_terminal=True, width=60))
    monkeypatch.setattr(console, "rich_console", terminal)
    with progress_bar("Running") as advance:
        advance(0.9, "3 steps")
        advance(0.91, "4 steps")
        advance(-1.0, "reading")
    assert "Running" in drawn.getvalue()
    assert "reading" in drawn.getvalue(), "also right after a step"
    assert "4 steps" not in drawn.getvalue()
    plain = io.StringIO()
    monkeypatch.setattr(console, "rich_console", SimpleNamespace(Console=lambda **_: Console(file=plain)))
    with progress_bar("Running") as advance:
        advance(0.5, "3 steps")
    assert plain.getvalue() == ""


def test_text_keeps_what_looks_like_markup(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    output = Output()
    output.line("paths=['a'] [bold] " + "x" * 30)
    output.cropped("y" * 30)
    assert capsys.readouterr().out.splitlines() == ["paths=['a'] [bold] " + "x" * 30, "y" * 19 + "…"]


def test_noise_of_libraries_is_dropped_and_errors_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with startup._filtered_stderr():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
        os.write(2, b"E0000 00:00:1.2 3 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error\n")
        os.write(2, b"2026-01-01 01:01:01.1: E cuda_fft.cc:485] Unable to register cuFFT factory: plugin cuFFT\n")
        os.write(2, b"ImportError: libfoo.so is missing\n")
    assert capfd.readouterr().err == "ImportError: libfoo.so is missing\n"


def test_noise_filter_keeps_everything_of_a_failed_import(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(2, b"a real problem\n")
        raise ImportError

    with pytest.raises(ImportError), startup._filtered_stderr():
        fail()
    assert capfd.readouterr().err == "a real problem\n"


def test_run_files_by_name_and_folder() -> None:
    Path("kept").mkdir()
    for name in ("pipelined", "naive", "autotune"):
        runfile.save(naive(), f"kept/{name}.run")
    assert next(iter(load_variants(["kept"]))) == "naive"
    assert {name: len(found) for name, found in load_variants(["kept", "x=kept/naive.run"]).items()} == {
        "kept": 3,
        "x": 1,
    }
    with pytest.raises(UsageError, match="two runs are called 'kept'"):
        load_variants(["kept/naive.run", "kept/naive.run"])
    with pytest.raises(UsageError, match=r"not a run: '=a\.run'"):
        load_variants(["=a.run"])


def test_doctors_advice() -> None:
    here = Machine(1.0, 8, "cgroup quota", 1 << 30, 1 << 34, 1 << 29, "cpu", 3.0, 1 << 20)
    shut = (
        SchemeStatus("hdfs", False, "not there", "install it"),
        SchemeStatus("s3", False, "not there", "install it"),
    )
    advice = advise(here, (SchemeStatus("file", True, "local"), *shut), ())
    assert [text.split()[0] for text in advice] == ["With", "Other", "537", "1.05", "No", "For"]
    assert advice[-1] == "For hdfs://, s3://: install it."
    healthy = Machine(8.0, 8, "machine", 1 << 35, 1 << 35, 1 << 34, "cpu", 0.1, 1 << 40, ("GPU:0",))
    assert advise(healthy, (), ()) == ()
