"""`pipeline-opt optimize`: what it writes and says, and what it makes of bad input. No times are asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Shell

from pipeline_opt.cli import optimize

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("default::pipeline_opt.errors.PlanWarning")]

FUNCTIONS = """
import tensorflow as tf

def double(x):
    return x * 2

def numbers():
    return tf.data.Dataset.range(256).map(double).batch(8)

def pipeline():
    import pipeline_opt as po
    return po.Pipeline.from_tensors(list(range(64))).map(double).batch(4)

def saved():
    return tf.data.Dataset.range(64).map(double).snapshot("kept").batch(8)
"""
BUDGET = ("--budget", "4s")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    return Shell(tmp_path, monkeypatch)


def page_of(shell: Shell, folder: str) -> str:
    return (shell.folder / folder / "optimize.html").read_text()


def test_a_dataset_is_tuned_and_everything_is_written(shell: Shell) -> None:
    said = shell("optimize", "functions.py:numbers", *BUDGET, "--accelerator", "1ms", "--out", "out")
    assert {"explain.txt", "optimize.html"} <= shell.files("out") <= set(optimize.FILES)
    assert (shell.folder / "out" / "explain.txt").read_text().splitlines()[0] in said.stdout
    assert "written to out/: explain.txt" in said.stdout.replace("\n", " ")
    page = page_of(shell, "out")
    for part in ("Before and after", "Who worked when", "How to read it", "Changes", "Proof", "Trials"):
        assert part in page, part
    assert "accelerator utilization (AU)" in page


def test_stdout_is_kept_for_json(shell: Shell) -> None:
    said = shell("optimize", "functions.py:pipeline", *BUDGET, "--out", "out", "--json", "-")
    numbers = json.loads(said.stdout)
    assert numbers["schema"] == 1
    assert numbers["changed"] in (True, False)
    assert set(numbers["trials"]) >= {"given", "autotune"}
    files = shell.files("out")
    assert "optimize.html" in files
    # Of a function that is computed in another form it says that it cannot be written as code.
    assert "tuned.py" in files or (
        numbers["changed"] and "its function is computed in another form" in " ".join(said.stderr.split())
    )


def test_what_writes_for_good_is_not_run_for_its_lanes(shell: Shell) -> None:
    shell("optimize", "functions.py:saved", *BUDGET, "--out", "out")
    page = page_of(shell, "out")
    assert "it writes files where the user said" in page
    assert "Nothing was tried." in page
    assert not (shell.folder / "kept").exists()


def test_lanes_that_fail_leave_the_tuning_as_it_is(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ValueError("no trace <today>")

    monkeypatch.setattr(optimize, "profile_record", fails)
    said = shell("optimize", "functions.py:numbers", *BUDGET, "--out", "out", "--json", "out.json")
    assert "its run failed: no trace <today>" in said.stderr
    assert "explain.txt" in shell.files("out")
    assert "its run failed: no trace &lt;today&gt;" in page_of(shell, "out")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--budget", "0"), "--budget=0.0 is out of range; valid: seconds above 0"),
        (("--budget", "-1"), "--budget=-1.0 is out of range; valid: seconds above 0"),
        (("--budget", "nan"), "--budget=nan is out of range; valid: seconds above 0"),
        (("--budget", "soon"), "'--budget': 'soon' is not valid; valid: seconds, also as 60s or 2min"),
        (("--budget", "5smin"), "'--budget': '5smin' is not valid; valid: seconds, also as 60s or 2min"),
        (("--epochs", "0"), "--epochs=0 is out of range; valid: a whole number from 1"),
        (("--memory", "-5"), "--memory='-5' is not valid; valid: a number of bytes, also as 4GiB or 500MB"),
        (("--memory", "0"), "--memory=0 is out of range; valid: bytes from 1, or None\n"),
        (("--accelerator", "fast"), "valid: "),
    ],
)
def test_options_out_of_range_are_named_with_what_is_valid(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    assert said in shell("optimize", "functions.py:numbers", *arguments, code=2).stderr
    assert not (shell.folder / "runs").exists()


def test_what_is_not_there_is_named(shell: Shell) -> None:
    assert "no such path: missing.tfrecord" in shell("optimize", "missing.tfrecord", code=2).stderr
    assert "functions.py has no 'other'; it has: " in shell("optimize", "functions.py:other", code=2).stderr
    assert "nothing to optimize" in shell("optimize", code=2).stderr
    assert not (shell.folder / "runs").exists()


def test_what_is_there_is_not_overwritten(shell: Shell) -> None:
    (shell.folder / "out").mkdir()
    (shell.folder / "out" / "optimize.html").write_text("kept")
    assert "--force" in shell("optimize", "functions.py:numbers", "--out", "out", code=4).stderr
    assert page_of(shell, "out") == "kept"


@pytest.mark.parametrize(("text", "seconds"), [("4", 4.0), ("4s", 4.0), ("1.5min", 90.0), (60.0, 60.0)])
def test_a_budget_may_have_a_unit(text: str | float, seconds: float) -> None:
    assert optimize._seconds(text) == seconds
