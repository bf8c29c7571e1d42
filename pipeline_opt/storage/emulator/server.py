"""The server's process: accepts connections, and ends with the process that started it."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pipeline_opt.storage.emulator.api import Api
from pipeline_opt.storage.emulator.certificates import server_context
from pipeline_opt.storage.emulator.conditions import Conditions
from pipeline_opt.storage.emulator.connection import Connection, Site
from pipeline_opt.storage.emulator.journal import Exchange, Journal
from pipeline_opt.storage.emulator.lateness import lateness
from pipeline_opt.storage.emulator.objects import Bucket
from pipeline_opt.storage.emulator.pacing import Meter, PatientClock, be_punctual
from pipeline_opt.storage.shape import Fault, Shape

PREFIX: Final = "pipeline-opt-emulate-"
"""How the temporary folder begins that holds the certificate and uploads on their way."""

LOOK_S: Final = 1.0
"""How often it is seen whether the parent is still there, where a process that it forked holds the control socket open."""

FULL_S: Final = 0.02
"""Where there are no files or threads left for one more connection, it is looked again so soon."""


def shape_from_json(data: dict[str, Any]) -> Shape:
    """The shape that `dataclasses.asdict` made plain data."""
    faults = tuple(Fault(**fault) for fault in data["faults"])
    return Shape(**{**data, "samples": tuple(data["samples"]), "faults": faults})


class Control:
    """The line to the parent: one JSON object a line in either direction."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._buffer = b""

    def tell(self, **message: Any) -> None:
        """Send a message; if the parent is gone, there is nobody to tell."""
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            try:
                self._line.sendall(data)
            except OSError:
                return

    def hear(self, parent: int | None) -> dict[str, Any] | None:
        """The next message; None once the parent is gone."""
        while b"\n" not in self._buffer:
            if parent is not None and os.getppid() != parent:
                return None
            if not select.select([self._line], [], [], LOOK_S)[0]:
                continue
            data = self._line.recv(1 << 16)
            if not data:
                return None
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\n")
        parsed: dict[str, Any] = json.loads(message)
        return parsed


def serve(control: Control) -> None:
    """Serve what the parent's first message says, until the parent ends or says so."""
    settings = control.hear(None)
    if settings is None:
        return
    be_punctual()
    scratch = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            site = _site(settings, scratch, control)
            serving = (listener, lambda connection: Connection(connection, site).serve)
            threading.Thread(target=accept, args=serving, daemon=True).start()
            control.tell(ready={"port": listener.getsockname()[1], "bundle": str(scratch / "ca.pem")})
            obey(control, site.conditions, site.journal, settings["parent"])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _site(settings: dict[str, Any], scratch: Path, control: Control) -> Site:
    clock = PatientClock()
    late_s = lateness(clock)
    read_only = settings["read_only"]
    buckets = {name: Bucket(name, Path(path), read_only=read_only) for name, path in settings["buckets"].items()}

    def write(exchange: Exchange) -> None:
        control.tell(exchange=exchange)

    return Site(
        api=Api(buckets, scratch),
        conditions=Conditions(shape_from_json(settings["shape"]), settings["seed"], late_s),
        meter=Meter(clock),
        journal=Journal(write, late_s),
        clock=clock,
        tls=server_context(scratch / "ca.pem"),
        upstream=settings["upstream"],
    )


def accept(listener: socket.socket, handler: Callable[[socket.socket], Callable[[], None]]) -> None:
    """Serve connections, each on a thread of its own, until the listener is closed.

    Args:
        listener: Where they come.
        handler: From a connection to what serves it.
    """
    while listener.fileno() >= 0:
        try:
            connection, _ = listener.accept()
            threading.Thread(target=handler(connection), daemon=True).start()
        except (OSError, RuntimeError):
            # Too many files or threads: those who wait are served as soon as others have ended.
            time.sleep(FULL_S)


def obey(control: Control, conditions: Conditions, journal: Journal, parent: int) -> None:
    """Do what the parent says, until it ends or says that this is the end."""
    while (message := control.hear(parent)) is not None and not message.get("end"):
        if "shape" in message:
            conditions.change(shape_from_json(message["shape"]))
        journal.settle()
        control.tell(done=message["number"])
    journal.settle()
