"""Running another program in the foreground: signals at awkward moments. Whole commands are in `test_emulator_process.py`."""

from __future__ import annotations

import os
import signal

import pytest

from pipeline_opt.cli.foreground import Foreground


def test_a_signal_that_comes_as_the_program_has_just_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = os.waitpid

    def wait_and_hear(child: int, options: int) -> tuple[int, int]:
        ended = wait(child, options)
        os.kill(os.getpid(), signal.SIGTERM)
        return ended

    monkeypatch.setattr(os, "waitpid", wait_and_hear)
    with Foreground() as front:
        assert front.run(["sh", "-c", "exit 3"], os.environ) == 3
    assert front.heard == [signal.SIGTERM]
