"""Terminals, locales and file names of every kind: a verb ends as it does at a usual one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Shell
from fakes import naive

import pipeline_opt
from pipeline_opt import runfile

ODD = os.fsdecode(b"b\xffd")
"""A file name that is not UTF-8."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runfile.save(naive(), tmp_path / "a.run")
    return tmp_path


def bash(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """What a shell does with a command; `PO` stands for the program."""
    program = f"{shlex.quote(sys.executable)} -m pipeline_opt"
    environment = {**os.environ, "PYTHONPATH": str(Path(pipeline_opt.__file__).parent.parent), **environment}
    script = f"set -o pipefail; {command.replace('PO', program)}"
    return subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("command", "environment", "code"),
    [
        ("PO report a.run --out page | true", {}, 0),
        ("PO report a.run --out page --json - | true", {}, 0),
        ("PO report none.run 2>&1 | true", {}, 2),
        ("PO report a.run --out page >&-", {}, 0),
        ("PO report a.run --out page --json - >&- 2>&-", {}, 0),
        ("PO report none.run 2>&-", {}, 2),
        ("PO report none.run 2>/dev/full", {}, 2),
        ("PO report a.run --out page >/dev/full", {}, 4),
        ("PO report a.run --out page", {"PYTHONIOENCODING": "ascii"}, 0),
        ("PO report a.run --out page", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 0),
        ("PO report a.run --out page", {"MPLBACKEND": "bogus"}, 0),
    ],
)
def test_a_verb_ends_as_it_does_elsewhere(command: str, environment: dict[str, str], code: int, folder: Path) -> None:
    done = bash(command, folder, **environment)
    assert done.returncode == code, done
    assert (folder / "page" / "report.html").exists() == (code == 0)
    assert b"Traceback" not in done.stderr
    assert b"a bug" not in done.stderr


def test_letters_that_an_encoding_does_not_have_are_spelled_out(folder: Path) -> None:
    said = bash("PO report µ=a.run --out page", folder, PYTHONIOENCODING="ascii").stdout.decode("ascii")
    assert "+- u -" in said
    assert "\\u" not in said


def test_json_is_ascii(folder: Path) -> None:
    said = bash("PO report é=a.run b=a.run --out page --json -", folder, PYTHONIOENCODING="ascii").stdout
    assert set(json.loads(said.decode("ascii"))["variants"]) == {"é", "b"}


def test_run_files_and_folders_whose_names_are_not_utf8(folder: Path) -> None:
    (folder / "a.run").rename(folder / f"{ODD}.run")
    runfile.save(naive(), folder / "b.run")
    done = bash("PO report b?d.run b.run --out b$'\\xff'd --json b$'\\xff'd.json", folder)
    assert done.returncode == 0, done
    assert r"b\udcffd" in json.loads((folder / f"{ODD}.json").read_text())["variants"]
    assert r"b\udcffd" in (folder / ODD / "report.html").read_text()
    assert rb"Wrote b\udcffd/" in done.stdout
    assert bash("PO compare b?d.run b.run --out compared", folder).returncode == 0


@pytest.mark.tf
def test_data_and_code_whose_names_are_not_utf8_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(folder, monkeypatch)
    (folder / ODD).mkdir()
    (folder / ODD / "a.txt").write_text("a\n")
    (folder / f"{ODD}.py").write_text("def f(): pass\n")
    said = shell("profile", ODD, code=2).stderr
    assert r"text: the file name 'b\udcffd/a.txt' is not UTF-8, and TensorFlow opens no other; rename it" in said
    said = shell("profile", f"{ODD}.py:f", code=2).stderr
    assert r"b\udcffd.py' is not UTF-8, and TensorFlow traces no code of it; rename it" in said
