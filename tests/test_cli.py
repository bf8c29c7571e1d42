"""The verbs: what they print, write and end with."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Shell, interruptible, run_python
from fakes import naive, no_steps, partial, pipelined, simulate

from pipeline_opt import runfile
from pipeline_opt.cli import benchmark, doctor, profile
from pipeline_opt.cli.doctor import Check
from pipeline_opt.cli.measuring import RunProgress

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("default::pipeline_opt.errors.PlanWarning")]

VERBS = ("benchmark", "profile", "report", "compare", "explain", "synth", "emulate", "doctor")
PLAIN = ("--order", "interleave,map,batch,prefetch", "--batch-size", "4")
REPORTS = {"summary.json", "overlap.png", "stages.png", "knobs.png", "report.html", "trace.json"}
PROFILE = REPORTS | {"profile.run", "pipeline.toml", "pipeline.py"}

FUNCTIONS = """
import os
from pathlib import Path
import tensorflow as tf

Path("imported").touch()

def numbers():
    return tf.data.Dataset.range(64).map(double, name="twice").batch(4)

def double(x):
    return x * 2

def pipeline():
    import pipeline_opt as po
    return po.Pipeline.from_tensors(list(range(64))).map(double, name="double").batch(4).prefetch()

def interrupted():
    def kill(x):
        if x == 20:
            os.kill(os.getpid(), 2)
        return x
    return tf.data.Dataset.range(10_000).map(lambda x: tf.py_function(kill, [x], tf.int64)).batch(2)
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    return Shell(tmp_path, monkeypatch)


@pytest.fixture
def runs(shell: Shell) -> Path:
    """A folder as `benchmark` leaves it, of made-up runs."""
    folder = shell.folder / "made"
    folder.mkdir()
    runfile.save(replace(pipelined(steps=40), fingerprint="pipelined"), folder / "pipelined.run")
    runfile.save(replace(naive(steps=40), fingerprint="naive"), folder / "naive.run")
    return folder


# Help, and what is imported for it


def test_help_names_every_verb(shell: Shell) -> None:
    text = shell("--help").stdout
    assert all(verb in text for verb in VERBS)
    assert "Exit codes:" in text


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_and_exit_codes(shell: Shell, verb: str) -> None:
    text = shell(verb, "--help").stdout
    assert text.count(f"  pipeline-opt {verb}") >= 2
    assert "130  interrupted" in text
    assert "--json FILE" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def heavy_modules(code: str, folder: Path) -> list[str]:
    """What of the heavy libraries a fresh process has imported after some code."""
    show = "print(sorted({'tensorflow', 'pandas', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    start = "import sys, contextlib\nfrom pipeline_opt.cli.app import app\n"
    program = f"{start}{code}\n{show}"
    done = run_python("-c", program, folder=folder, check=True)
    return json.loads(done.stderr.splitlines()[-1].replace("'", '"'))


def test_help_imports_no_heavy_library(tmp_path: Path) -> None:
    each = "    with contextlib.suppress(SystemExit): app([*verb, '--help'])"
    lines = [f"for verb in {[[], *([verb] for verb in VERBS)]!r}:", each]
    assert heavy_modules("\n".join(lines), tmp_path) == []


def test_report_and_compare_do_without_tensorflow(runs: Path) -> None:
    calls = [["report", str(runs)], ["compare", str(runs)]]
    lines = [f"for call in {calls!r}:", "    with contextlib.suppress(SystemExit): app(call)"]
    assert heavy_modules("\n".join(lines), runs.parent) == ["matplotlib"]
    assert (runs.parent / "runs" / "compare-made" / "compare.png").exists()


def test_version(shell: Shell) -> None:
    assert shell("--version").stdout.startswith("pipeline-opt ")


# profile


def test_profile_writes_everything(shell: Shell, images: Path) -> None:
    said = shell(
        "profile", images, *PLAIN, "--epochs", "2", "--trace", "full", "--out", "out", "--json", "numbers.json"
    )
    assert shell.files("out") == PROFILE
    numbers = json.loads((shell.folder / "numbers.json").read_text())
    assert numbers == json.loads((shell.folder / "out" / "summary.json").read_text())
    assert (numbers["schema"], numbers["elements"], numbers["steps"], numbers["partial"]) == (1, 24, 6, False)
    assert numbers["accelerator"] is None
    assert numbers["phases"]["train"]["work_s"] == 0
    assert {"decode", "interleave", "batch"} <= {stage["name"] for stage in numbers["stages"]}
    assert "Wrote out/" in said.stdout
    assert "decode" in said.stdout
    events = json.loads((shell.folder / "out" / "trace.json").read_text())["traceEvents"]
    assert any(event["name"] == "decode" for event in events)


def test_profile_on_an_accelerator_with_json_on_stdout(shell: Shell, images: Path) -> None:
    order = "interleave,map,batch,prefetch,prefetch_to_device"
    command = ("profile", images, "--order", order, "--batch-size", "4", "--accelerator", "1ms@1GB/s", "--steps", "5")
    result = shell(*command, "--in-flight", "1", "--json", "-")
    numbers = json.loads(result.stdout)
    assert numbers["accelerator"]["utilization_percent"] > 0
    assert numbers["consumer"]["in_flight"] == 1
    assert numbers["consumer"]["double_buffered"]
    assert "Wrote runs/profile-" in result.stderr


def test_profile_of_a_function_names_the_stages(shell: Shell) -> None:
    numbers = shell.json("profile", "functions.py:numbers")
    assert [stage["name"] for stage in numbers["stages"]] == ["range", "twice", "batch"]
    assert shell.files("runs") == {"profile-numbers"}


def test_profile_of_a_pipeline_from_a_module_and_of_its_toml(shell: Shell, images: Path) -> None:
    first = shell.json("profile", "functions:pipeline", "--trace", "off")
    assert first["elements"] == 64
    assert "pipeline.toml" not in shell.files("runs/profile-pipeline")
    shell("profile", images, *PLAIN, "--out", "one", "--trace", "off")
    again = shell.json(
        "profile", "--config", "one/pipeline.toml", "--out", "two", "--trace", "off", "--batch-size", "3"
    )
    assert "batch_size=3" in again["pipeline"]["text"]
    assert again["steps"] == 4


def test_own_functions_take_the_place_of_the_formats_transforms(shell: Shell, records: Path) -> None:
    (shell.folder / "parsing.py").write_text(
        "import tensorflow as tf\n"
        "def parse(r): return tf.strings.to_number(tf.strings.split(r, ':')[1])\n"
        "def noise(x): return x + tf.random.normal([])\n"
    )
    order = "interleave,parse,shuffle,noise,batch"
    maps = ("--map", "parsing.py:parse", "--random-map", "parsing:noise")
    numbers = shell.json("profile", records, *maps, "--order", order, "--shuffle-buffer", "7", "--trace", "off")
    text = numbers["pipeline"]["text"]
    assert [line.split()[0] for line in text.splitlines()] == ["tfrecords", *order.split(",")]
    assert "buffer_size=7" in text
    assert numbers["elements"] == 100


def test_records_without_a_schema_stay_as_they_are(shell: Shell, records: Path) -> None:
    result = shell("explain", records)
    assert "note: tfrecords: records are neither tf.train.Example nor images" in result.stderr
    assert "map" not in result.stdout


# Outputs


def test_a_second_run_gets_a_folder_of_its_own(shell: Shell) -> None:
    for _ in range(2):
        shell("profile", "functions.py:numbers", "--trace", "off")
    assert shell.files("runs") == {"profile-numbers", "profile-numbers-2"}


def test_outputs_are_not_overwritten_without_force(shell: Shell) -> None:
    command = ("profile", "functions.py:numbers", "--trace", "off", "--out", "out", "--json", "numbers.json")
    shell(*command)
    before = (shell.folder / "out" / "profile.run").read_bytes()
    (shell.folder / "numbers.json").unlink()
    (shell.folder / "imported").unlink()
    refused = shell(*command, code=4)
    assert "out holds profile.run" in refused.stderr
    assert "--force" in refused.stderr
    assert (shell.folder / "out" / "profile.run").read_bytes() == before
    shell(*command, "--force")
    assert "numbers.json exists" in shell("doctor", "--json", "numbers.json", code=4).stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--help",),
        ("--steps", "many"),
        ("--steps", "-1"),
        ("--accelerator", "fast"),
        ("--out", "functions.py/out"),
        ("--json", "nowhere/numbers.json"),
        ("--batch-size", "0"),
        ("--order", ","),
    ],
)
def test_no_code_of_the_users_runs_before_options_and_outputs_are_good(shell: Shell, options: tuple[str, ...]) -> None:
    code = {"--help": 0, "--out": 4, "--json": 4}.get(options[0], 2)
    shell("profile", "functions.py:numbers", *options, code=code)
    assert not (shell.folder / "imported").exists()
    assert not (shell.folder / "runs").exists()


# benchmark


def test_benchmark_runs_the_same_work_in_three_forms(shell: Shell, images: Path) -> None:
    command = ("benchmark", images, "--batch-size", "4", "--accelerator", "1ms@10GB/s", "--steps", "6")
    result = shell(*command, "--json", "numbers.json", "--out", "out")
    numbers = json.loads((shell.folder / "numbers.json").read_text())
    assert list(numbers["variants"]) == ["naive", "autotune", "pipelined"]
    assert numbers["speedup"]["naive"] == 1
    assert {variant["steps"] for variant in numbers["variants"].values()} == {6}
    traces = {"naive.trace.json", "autotune.trace.json"}
    made = REPORTS | traces | {"naive.run", "autotune.run", "pipelined.run", "pipeline.toml", "pipeline.py"}
    assert shell.files("out") == made
    assert "elements/s" in result.stdout
    assert "the throughput of naive" in result.stdout or "is the fastest" in result.stdout


def test_benchmark_without_a_path_takes_its_own_data(
    shell: Shell, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark.synth, "default_dataset", lambda progress: images, raising=False)
    numbers = shell.json("benchmark", "--steps", "3", "--variants", "pipelined,naive", "--trace", "off")
    assert list(numbers["variants"]) == ["naive", "pipelined"]
    assert numbers["variants"]["naive"]["consumer"]["label"] == "resnet50 on h100"
    assert "repeat" in numbers["variants"]["pipelined"]["pipeline"]["text"]


def test_benchmark_of_a_function_that_returns_a_pipeline(shell: Shell) -> None:
    numbers = shell.json(
        "benchmark", "functions.py:pipeline", "--accelerator", "none", "--epochs", "1", "--trace", "off"
    )
    assert {variant["elements"] for variant in numbers["variants"].values()} == {64}
    assert "cannot be written" in shell("explain", "functions.py:pipeline", "--toml", code=2).stderr


# Cut short


def test_interrupted_run_is_saved(shell: Shell, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: RunProgress, name: str, steps: int, seconds: float) -> None:
        if steps == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunProgress, "__call__", interrupt)
    result = shell("benchmark", images, *PLAIN, "--steps", "9", "--out", "out", "--json", "n.json", code=130)
    assert "interrupted after 3 steps; what was measured until then is in out/" in result.stderr
    numbers = json.loads((shell.folder / "n.json").read_text())
    assert list(numbers["variants"]) == ["naive"]
    assert numbers["variants"]["naive"]["partial"]
    assert runfile.load(shell.folder / "out" / "naive.run").partial


def test_interrupt_between_runs_keeps_those_that_ended(
    shell: Shell, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, on_record: Any, **__: Any) -> None:
        on_record("naive", naive())
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "benchmark_plans", stop)
    result = shell("benchmark", images, *PLAIN, "--out", "out", code=130)
    assert "interrupted; what was measured until then is in out/" in result.stderr
    assert "naive.run" in shell.files("out")


def test_interrupt_before_anything_was_measured(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(profile, "make_pipeline", stop)
    assert "nothing was measured" in shell("profile", "functions.py:numbers", code=130).stderr
    assert not (shell.folder / "runs").exists()


def test_signal_ends_a_real_process_with_its_run_saved_and_no_other_noise(shell: Shell) -> None:
    command = ["-m", "pipeline_opt", "profile", "functions.py:interrupted", "--trace", "off", "--out", "o"]
    # A shell that runs tests in the background has its children ignore the signal.
    done = run_python(
        *command,
        folder=shell.folder,
        preexec_fn=interruptible,
    )
    assert done.returncode == 130, done.stderr
    assert re.fullmatch(r"error: interrupted after \d+ steps?; what was measured until then is in o/\n", done.stderr)
    assert runfile.load(shell.folder / "o" / "profile.run").partial


def test_first_variant_survives_a_failure_of_the_second(
    shell: Shell, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.folder.joinpath("counting.py").write_text(
        "import tensorflow as tf\n"
        "calls = []\n"
        "def fail(x):\n"
        "    calls.append(1)\n"
        "    if len(calls) > 30: raise ValueError('thirty are enough')\n"
        "    return tf.strings.length(x)\n"
        "def count(x, label): return tf.py_function(fail, [x], tf.int32)\n"
    )
    command = ("benchmark", images, "--map", "counting.py:count", *PLAIN, "--epochs", "1", "--out", "out")
    result = shell(*command, "--accelerator", "none", "--trace", "off", code=3)
    assert "count: Python code raised ValueError: thirty are enough" in result.stderr
    assert re.search(r"the partial run \(\d steps?\) is saved: out/autotune.run", result.stderr)
    assert not runfile.load(shell.folder / "out" / "naive.run").partial
    assert "thirty are enough" in str(runfile.load(shell.folder / "out" / "autotune.run").partial_reason)


# report and compare


def test_report_from_run_files(shell: Shell, runs: Path) -> None:
    numbers = shell.json("report", runs, "--out", "again")
    assert list(numbers["variants"]) == ["naive", "pipelined"]
    assert numbers["speedup"]["pipelined"] > 1
    assert shell.files("again") == REPORTS | {"naive.trace.json"}
    assert "after" in (shell.folder / "again" / "report.html").read_text()


def test_report_of_one_run_has_the_form_of_profile(shell: Shell, runs: Path) -> None:
    numbers = shell.json("report", f"mine={runs / 'naive.run'}")
    assert numbers["stages"][0]["name"] == "interleave"
    assert "mine" in shell("report", f"mine={runs / 'naive.run'}", "--out", "again").stdout


@pytest.mark.parametrize("record", [partial(), no_steps()], ids=["partial", "no steps"])
def test_report_of_runs_that_were_cut_short(shell: Shell, record: Any) -> None:
    runfile.save(record, shell.folder / "short.run")
    shell("report", "short.run", "--out", "again")
    assert shell.files("again") == REPORTS


def test_compare_says_whether_it_is_more_than_noise(shell: Shell, runs: Path) -> None:
    result = shell("compare", runs, "--fail-below", "0.95", "--json", "numbers.json")
    assert "faster" in result.stdout
    numbers = json.loads((shell.folder / "numbers.json").read_text())
    assert (numbers["schema"], numbers["baseline"], numbers["failed"]) == (1, "naive", [])
    assert numbers["comparisons"]["pipelined"]["low"] > 1
    assert numbers["variants"]["naive"]["elements_per_s"]["value"] > 0
    assert shell.files("runs/compare-made") == {"compare.png", "compare.json"}


def test_compare_fails_where_the_second_is_clearly_slower(shell: Shell, runs: Path) -> None:
    slower = (runs / "pipelined.run", runs / "naive.run")
    assert "Slower than 0.95 of pipelined: naive." in shell("compare", *slower, "--fail-below", "0.95", code=1).stdout
    shell("compare", *slower, "--fail-below", "0.1")
    shell("compare", *slower)


def test_compare_takes_several_runs_of_a_variant(shell: Shell) -> None:
    for name, cost in (("a", 0.03), ("b", 0.02)):
        (shell.folder / name).mkdir()
        for number in range(3):
            run = simulate(steps=20, train_s=cost, jitter=0.1, seed=number)
            runfile.save(run, shell.folder / name / f"{number}.run")
    by_folder = shell.json("compare", "a", "b")
    by_name = shell.json("compare", "a=a/0.run,a/1.run,a/2.run", "b=b/0.run,b/1.run,b/2.run")
    assert by_folder == by_name
    assert by_folder["variants"]["b"]["runs"] == 3
    assert "spread between runs" in by_folder["comparisons"]["b"]["basis"]


def test_runs_of_one_name_are_called_after_their_folders(shell: Shell) -> None:
    for name in ("before", "after"):
        (shell.folder / name).mkdir()
        runfile.save(naive(), shell.folder / name / "profile.run")
    assert shell.json("compare", "before/profile.run", "after/profile.run")["baseline"] == "before"


# explain


def test_explain_shows_purity_and_what_an_order_does(shell: Shell, images: Path) -> None:
    result = shell("explain", images, "--order", "interleave,map,shuffle,cache,batch,prefetch")
    assert "pure: declared" in result.stdout
    assert "warning: cache: stands after shuffle" in result.stdout
    numbers = shell.json("explain", images)
    assert numbers["stages"][2] | {"arguments": {}} == {
        "name": "decode",
        "kind": "map",
        "arguments": {},
        "purity": "pure",
        "evidence": "declared",
    }


def test_explain_writes_code_and_toml(shell: Shell, images: Path) -> None:
    code = shell("explain", images, "--python").stdout
    compile(code, "pipeline.py", "exec")
    assert "pipeline_opt" not in code
    (shell.folder / "pipe.toml").write_text(shell("explain", images, "--toml").stdout)
    assert shell.json("explain", "pipe.toml")["stages"] == shell.json("explain", images)["stages"]
    assert "choose one" in shell("explain", images, "--toml", "--python", code=2).stderr


def test_explain_looks_into_an_existing_dataset(shell: Shell) -> None:
    assert "twice" in shell("explain", "functions.py:numbers").stdout


# synth


@pytest.mark.parametrize(
    ("kind", "options", "files"),
    [
        ("jpeg", ("--images", "6", "--shards", "2", "--size", "32x24"), 2),
        ("images", ("--images", "6", "--classes", "3", "--size", "32x24"), 6),
        ("text", ("--count", "20", "--files", "2", "--words", "5"), 2),
        ("csv", ("--count", "20", "--shards", "2", "--columns", "3"), 2),
        ("tabular", ("--count", "20", "--shards", "2", "--columns", "3"), 2),
    ],
)
def test_synth(shell: Shell, kind: str, options: tuple[str, ...], files: int) -> None:
    numbers = shell.json("synth", kind, "made", *options, "--seed", "3")
    assert (numbers["kind"], numbers["files"], numbers["seed"]) == (kind, files, 3)
    assert numbers["count"] == int(options[1])
    assert numbers["bytes"] > 0
    assert "force" in shell("synth", kind, "made", *options, code=4).stderr
    assert f"({files} files" in shell("synth", kind, "made", *options, "--force").stdout
    shell("explain", "made")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("text", "made", "--size", "3x4"), "--size does not go with text; valid: --count, --shards, --words, --seed"),
        (("jpeg", "made", "--size", "big"), "--size='big' is not valid"),
        (("jpeg", "made", "--images", "0"), "images=0 is out of range"),
        (("movies", "made"), "movies"),
    ],
)
def test_synth_refuses(shell: Shell, options: tuple[str, ...], said: str) -> None:
    assert said in shell("synth", *options, code=2).stderr
    assert not (shell.folder / "made").exists()


# doctor


def test_doctor(shell: Shell) -> None:
    numbers = shell.json("doctor")
    assert {status["scheme"] for status in numbers["schemes"]} >= {"file", "gs", "hdfs", "s3"}
    assert {check["name"]: check["works"] for check in numbers["checks"]} == {
        "a run": True,
        "traces": True,
        "model of AUTOTUNE": True,
    }
    assert numbers["machine"]["cores"] > 0
    assert all(status["opens"] or status["remedy"] for status in numbers["schemes"])


def test_doctor_fails_where_the_profiler_does(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "self_check", lambda: (Check("traces", False, "another profiler is running"),))
    result = shell("doctor", code=3)
    assert "FAILS  another profiler is running" in result.stdout


# Errors, and what leaks


def test_debug_shows_the_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(profile, "make_pipeline", broken)
    quiet = shell("profile", "functions.py:numbers", code=70)
    assert "error: a bug in pipeline-opt: KeyError: 'lost'" in quiet.stderr
    monkeypatch.setenv("PIPELINE_OPT_DEBUG", "1")
    with pytest.raises(AssertionError, match="Traceback"):
        shell("profile", "functions.py:numbers", code=70)
