"""The environment variables that lead a GCS client to the emulator."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_OURS: Final = re.compile(r"http://127\.0\.0\.1:(\d+)")
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def variables(port: int, bundle: Path) -> dict[str, str]:
    """What to set, so that clients talk to the emulator.

    TensorFlow's client looks at `https_proxy` and `CURL_CA_BUNDLE` at each request, so they also work where TensorFlow is
    loaded already. It looks for the token until it has one, and keeps it as long as the process lives: a process that has
    read from an emulator will not get at private buckets of Google's any more. Others (gcsfs, google-cloud-storage) take
    the address in `STORAGE_EMULATOR_HOST`.
    """
    proxy = f"http://127.0.0.1:{port}"
    direct = ",".join(_direct_hosts())
    return {
        "https_proxy": proxy,
        "HTTPS_PROXY": proxy,
        "no_proxy": direct,
        "NO_PROXY": direct,
        "CURL_CA_BUNDLE": str(bundle),
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "emulated",
        "STORAGE_EMULATOR_HOST": proxy,
    }


def upstream_port() -> int | None:
    """The port of an emulator that this process' environment leads to already: it is asked for other buckets."""
    proxy = os.environ.get("https_proxy", "")
    found = _OURS.fullmatch(proxy)
    return int(found[1]) if found and proxy == os.environ.get("STORAGE_EMULATOR_HOST") else None


class Environment:
    """Variables set in this process until they are restored."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._before = {name: os.environ.get(name) for name in values}
        os.environ.update(values)

    def restore(self) -> None:
        """Put back what was there before."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _direct_hosts() -> list[str]:
    """Hosts that are reached without a proxy: this machine, and those that were before, Google's aside."""
    before = os.environ.get("no_proxy", os.environ.get("NO_PROXY", "")).split(",")
    kept = [host.strip() for host in before if host.strip() not in ("", "*") and "googleapis.com" not in host]
    return list(dict.fromkeys([*LOOPBACK, *kept]))
