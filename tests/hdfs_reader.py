"""A process that reads TFRecords through a pipeline by one route, and can be stopped after its first record.

As a script: one JSON object a line in (`uri`, `pause`), one or two out. A JVM may hang where it ends: the parent kills it.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pipeline_opt as po
from pipeline_opt.access import Access
from pipeline_opt.build.failures import translate
from pipeline_opt.errors import PipelineOptError
from pipeline_opt.storage.preflight import forget

BLOCK_BYTES = 64 << 10
LIMIT_S = 45.0


class Reading(NamedTuple):
    """What came: the records by their names (`shard:number`), a digest of them all, and what ended it, in how long."""

    names: list[str]
    digest: str
    error: str
    message: str
    seconds: float


class Reader:
    """Reads by one route, `tf` or `fsspec`, in a process of its own with those variables set."""

    def __init__(self, via: str, environ: Mapping[str, str]) -> None:
        settings = {**environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(Path(__file__).parent.parent)}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(
            [sys.executable, __file__, via],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, **settings},
        )

    def read(self, *uris: str, pause: bool = False, remembers: bool = False, **access: float) -> Reading:
        """Read all records, as a process would that has just started, or with `remembers`, one that has read before.

        With `pause`, the first one only: `resume` reads the rest. `access` is what else the source says of it.
        """
        self._tell({"uris": uris, "pause": pause, "remembers": remembers, "access": access})
        return self._hear()

    def resume(self) -> Reading:
        self._tell({})
        return self._hear()

    def _tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _hear(self) -> Reading:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], LIMIT_S)
        line = self._process.stdout.readline() if ready else b""
        assert line, f"nothing was heard within {LIMIT_S:g} s:\n{self._last_words()}"
        return Reading(**json.loads(line))

    def _last_words(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace")[-4000:]

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.kill()
        self._process.wait()
        self._said.close()


def _main(via: str) -> None:
    for line in sys.stdin:
        asked, seen = json.loads(line), Seen()
        if not asked["remembers"]:
            forget()
        try:
            for record in _pipeline(asked["uris"], via, asked["access"]).build().as_numpy_iterator():
                seen.add(record)
                if asked["pause"] and len(seen.names) == 1:
                    seen.tell()
                    sys.stdin.readline()
                    seen.begun = time.perf_counter()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to see it
            seen.tell(_translated(error, asked["uris"], via))
        else:
            seen.tell()


def _pipeline(uris: list[str], via: str, told: Mapping[str, Any]) -> po.Pipeline:
    """One file after another, in small requests, so that there is always something left to read."""
    bridge = {"block_bytes": BLOCK_BYTES, "read_ahead": 0} if via == "fsspec" else {}
    access = Access(via=via, **{**bridge, **told})
    source = po.Pipeline.from_tfrecords(uris, access=access, buffer_size=BLOCK_BYTES)
    return source.interleave(cycle_length=1, num_parallel_calls=None)


def _translated(error: Exception, uris: list[str], via: str) -> PipelineOptError:
    return error if isinstance(error, PipelineOptError) else translate(error, _pipeline(uris, via, {}))


class Seen:
    """What came so far."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.begun = time.perf_counter()
        self._digests: list[str] = []

    def add(self, record: bytes) -> None:
        self.names.append(record.partition(b"|")[0].decode())
        self._digests.append(hashlib.sha256(record).hexdigest())

    def tell(self, error: PipelineOptError | None = None) -> None:
        seconds = time.perf_counter() - self.begun
        kind = type(error).__name__ if error else ""
        digest = hashlib.sha256("".join(sorted(self._digests)).encode()).hexdigest()
        print(json.dumps(Reading(self.names, digest, kind, str(error or ""), seconds)._asdict()), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1])
