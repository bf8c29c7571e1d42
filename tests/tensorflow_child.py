"""A process with TensorFlow in it that runs snippets: its GCS client takes settings only when it is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LOOP = """
import json, os, sys, traceback
import tensorflow as tf
for line in sys.stdin:
    message = json.loads(line)
    os.environ.update(message["variables"])
    names = {"tf": tf, "os": os, **message["names"]}
    try:
        exec(message["code"], names)
        reply = {"result": names.get("result")}
    except BaseException as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    sys.__stdout__.write(json.dumps(reply) + "\\n")
    sys.__stdout__.flush()
"""


class ChildError(Exception):
    """A snippet failed; the message is the error's."""


class TensorFlowChild:
    """Runs snippets one after another; retries come at once, and nothing is remembered of files."""

    def __init__(self, **settings: str) -> None:
        quick = {
            # With any delay above zero the client adds up to a second at random.
            "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US": "0",
            "GCS_STAT_CACHE_MAX_AGE": "0",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **quick, **settings},
        )

    def __call__(self, code: str, variables: Mapping[str, str] | None = None, **names: Any) -> Any:
        """What the snippet leaves in `result`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        message = {"code": code, "variables": dict(variables or {}), "names": names}
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        if "error" in reply:
            raise ChildError(reply["error"])
        return reply["result"]

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
