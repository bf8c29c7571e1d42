"""The process that passes transfers on; it ends with the one that started it."""

from __future__ import annotations

import socket
import threading
from typing import Any

from pipeline_opt.storage.emulator.conditions import Conditions
from pipeline_opt.storage.emulator.journal import Exchange, Journal
from pipeline_opt.storage.emulator.lateness import lateness
from pipeline_opt.storage.emulator.pacing import Meter, PatientClock, be_punctual
from pipeline_opt.storage.emulator.server import Control, accept, obey, shape_from_json
from pipeline_opt.storage.hadoop.transfers.relay import Relay, Site


def serve(control: Control) -> None:
    """Pass on what the parent's first message says, until the parent ends or says so."""
    settings = control.hear(None)
    if settings is None:
        return
    be_punctual()
    with socket.create_server((settings["host"], settings["port"]), backlog=1024) as listener:
        site = _site(settings, control)
        serving = (listener, lambda client: Relay(client, site).serve)
        threading.Thread(target=accept, args=serving, daemon=True).start()
        control.tell(ready={"port": settings["port"]})
        obey(control, site.conditions, site.journal, settings["parent"])


def _site(settings: dict[str, Any], control: Control) -> Site:
    clock = PatientClock()
    late_s = lateness(clock)

    def write(exchange: Exchange) -> None:
        control.tell(exchange=exchange)

    return Site(
        behind=(settings["behind"], settings["port"]),
        uri=settings["uri"],
        conditions=Conditions(shape_from_json(settings["shape"]), settings["seed"], late_s),
        meter=Meter(clock),
        journal=Journal(write, late_s),
        clock=clock,
    )
