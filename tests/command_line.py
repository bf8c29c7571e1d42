"""Running the command line inside a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import pipeline_opt
from pipeline_opt.cli.app import app


class Shell:
    """Runs verbs in a folder of its own, at a terminal of a fixed width."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setenv("COLUMNS", "100")

    def __call__(self, *arguments: str | Path, code: int = 0) -> Any:
        """Run a verb, and check how it ends; the result has `stdout` and `stderr`."""
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        self._forget_modules()
        said = f"{' '.join(map(str, arguments))}\n{result.stdout}\n{result.stderr}\n{result.exception!r}"
        assert result.exit_code == code, said
        assert "Traceback" not in result.stdout + result.stderr, said
        return result

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """Run a verb with `--json -`, and read what is on stdout."""
        return json.loads(self(*arguments, "--json", "-", code=code).stdout)

    def _forget_modules(self) -> None:
        """Let the next verb import the user's files anew, as a new process does."""
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(f"{self.folder}{os.sep}"):
                del sys.modules[name]

    def files(self, folder: str | Path) -> set[str]:
        """The names in a folder."""
        return {path.name for path in (self.folder / folder).iterdir()}


def interruptible() -> None:
    """For `preexec_fn`: SIGINT as at a terminal. What a script runs in the background ignores it, and so do its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_python(*arguments: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """A new Python process, in which this package can be imported and TensorFlow says all that it usually does."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(pipeline_opt.__file__).parent.parent)
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, **options)
