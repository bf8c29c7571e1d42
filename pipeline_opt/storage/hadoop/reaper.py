"""Processes and a folder that do not outlive this process, whatever ends it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_SCRIPT: Final = """
pids= killed=yes
while read -r change pid; do
  case $change in
    add) pids="$pids $pid" ;;
    drop) rest=; for each in $pids; do [ "$each" = "$pid" ] || rest="$rest $each"; done; pids=$rest ;;
    done) killed= ;;
  esac
done
[ -z "$pids" ] || kill -9 $pids 2>/dev/null
[ -z "$killed" ] || rm -rf -- "$2"
for try in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 0.2; done
"""
"""The kernel closes the pipe when its writer is gone, by SIGKILL, too; then the shell ends what it was told of."""


class Reaper:
    """A shell that waits for the end of this process, or of the block, and then clears up.

    Args:
        folder: What is removed at the end.
        shared: What is removed only where this process was killed: others of it may need it.

    It has a session of its own: Ctrl-C in a terminal reaches this process, which ends things in order.
    """

    def __init__(self, folder: Path, shared: Path) -> None:
        self._folder = folder
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "reaper", str(folder), str(shared)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def add(self, pid: int) -> None:
        """End this process, too."""
        self._tell(f"add {pid}")

    def drop(self, pid: int) -> None:
        """Forget a process: it has ended, and its number may be given to another."""
        self._tell(f"drop {pid}")

    def _tell(self, line: str) -> None:
        if self._shell.stdin is not None:
            os.write(self._shell.stdin.fileno(), f"{line}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear up now."""
        if self._shell.stdin is not None:
            with contextlib.suppress(OSError):
                self._tell("done")
                self._shell.stdin.close()
        self._shell.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
