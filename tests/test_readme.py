"""Every example of the README runs, in the order in which a reader meets them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline_opt.cli.exits import ExitCode

pytestmark = pytest.mark.tf

README = (Path(__file__).parent.parent / "README.md").read_text()

TRAIN = """
import tensorflow as tf

def halve(x):
    return x / 2

def make_dataset():
    return tf.data.Dataset.range(400).map(halve).batch(4).prefetch(2)
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data set that the first command makes, and a user's own file."""
    place = tmp_path_factory.mktemp("readme")
    (place / "train.py").write_text(TRAIN)
    run(commands()[0], place)
    return place


def commands() -> list[str]:
    return [line for block in blocks("console") for line in block.splitlines() if line]


def run(command: str, place: Path) -> str:
    program, *arguments = shlex.split(command)
    assert program == "pipeline-opt"
    # A command that runs another finds the program.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "COLUMNS": "100", "PATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline_opt", *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
    )
    # On data this small either form may be the faster one; that the comparison was made is what counts here.
    fine = {ExitCode.OK, ExitCode.SLOWER} if "--fail-below" in arguments else {ExitCode.OK}
    assert done.returncode in fine, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("command", commands()[1:], ids=lambda c: " ".join(c.split()[1:3]))
def test_commands(command: str, folder: Path) -> None:
    assert run(command, folder).strip()


@pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")
def test_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert (folder / "overlap.png").stat().st_size > 10_000
    assert (folder / "compared.png").stat().st_size > 10_000
