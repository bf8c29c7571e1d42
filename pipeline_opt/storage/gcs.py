"""Settings of TensorFlow's own GCS client: environment variables that it reads once, when TensorFlow is loaded.

Names and defaults are those of TensorFlow's `gcs_file_system.cc`. A retry waits for the first delay times 2 to the power
of the retries before it, up to the longest delay, and up to a second of jitter on top; a connection that cannot be
made, 408, 429, 5xx and answers that break off are tried again, 4xx are not. Unset, that is 10 retries within some 200 s
for a single request, and connections may take two minutes each.
"""

from __future__ import annotations

import functools
import math
import os
import sys
import warnings
from collections.abc import Mapping, MutableMapping
from typing import Final

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.errors import PlanWarning

BLOCK_MB: Final = "GCS_READ_CACHE_BLOCK_SIZE_MB"
BLOCK_BYTES: Final = "GCS_READAHEAD_BUFFER_SIZE_BYTES"
"""The same in bytes; the one in MiB overrides it."""
CACHE_MB: Final = "GCS_READ_CACHE_MAX_SIZE_MB"
RETRIES: Final = "GCS_RETRY_CONFIG_MAX_RETRIES"
FIRST_DELAY: Final = "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US"
LONGEST_DELAY: Final = "GCS_RETRY_CONFIG_MAX_DELAY_TIME_US"
CONNECT_S: Final = "GCS_REQUEST_CONNECTION_TIMEOUT_SECS"
IDLE_S: Final = "GCS_REQUEST_IDLE_TIMEOUT_SECS"

STOCK: Final[Mapping[str, int]] = {
    BLOCK_BYTES: 64 << 20,
    CACHE_MB: 0,
    RETRIES: 10,
    FIRST_DELAY: 1_000_000,
    LONGEST_DELAY: 32_000_000,
    CONNECT_S: 120,
    IDLE_S: 60,
}
"""What TensorFlow's client does where nothing is set."""

PATIENCE: Final[Mapping[str, int]] = {
    RETRIES: 5,
    FIRST_DELAY: 100_000,
    LONGEST_DELAY: 2_000_000,
    CONNECT_S: 3,
    IDLE_S: 10,
}
"""What is set where neither the user nor a plan says otherwise, before TensorFlow is loaded.

Between 3 and 8 s of waiting, and 18 s of connecting at the most: a dead endpoint is told within 30 s, also where an
iterator that has failed waits for one more read of its threads. With 1 % of requests failing, six failures in a row come
once in 10^12 requests; with 10 %, once in a million.
"""

WATCHFUL: Final[Mapping[str, int]] = {"GCS_STAT_CACHE_MAX_AGE": 3600, "GCS_STAT_CACHE_MAX_ENTRIES": 100_000}
"""What the command line sets, too: sizes that were asked for once are remembered as long as a run lasts.

An answer that is shorter than its object, with a header that says so, is the end of the object to the client, and the
rest is lost without a word, unless it remembers the size (for 5 s, by itself), or has a cache (`Access.cache_bytes`). Not
for processes that watch objects change: a size that is remembered is not asked for again.
"""

_MIB: Final = 1 << 20


def environment(access: Access) -> dict[str, str]:
    """The environment variables that stand for what an `Access` says; nothing for what it leaves to the client.

    The cache is rounded up to MiB, times to seconds: the client knows no finer ones.
    """
    told: dict[str, int] = {}
    if access.block_bytes is not None:
        whole = access.block_bytes % _MIB == 0
        told[BLOCK_MB if whole else BLOCK_BYTES] = access.block_bytes // _MIB if whole else access.block_bytes
    if access.cache_bytes is not None:
        told[CACHE_MB] = math.ceil(access.cache_bytes / _MIB)
    if access.retries is not None:
        told[RETRIES] = access.retries
    if access.timeout_s is not None:
        told[CONNECT_S] = told[IDLE_S] = math.ceil(access.timeout_s)
    return {variable: str(value) for variable, value in told.items()}


def settings(access: Access = DEFAULT) -> dict[str, str]:
    """The variables that `apply` sets: what an `Access` says, and `PATIENCE` for the rest."""
    return {**{variable: str(value) for variable, value in PATIENCE.items()}, **environment(access)}


def apply(access: Access = DEFAULT, environ: MutableMapping[str, str] = os.environ, *, watchful: bool = False) -> None:
    """Set the client's variables, unless TensorFlow is loaded already; those that are set stay as they are.

    Args:
        access: What a plan says.
        environ: Where they are set.
        watchful: Set those of `WATCHFUL`, too.
    """
    if _is_loaded():
        return
    for variable, number in WATCHFUL.items() if watchful else ():
        environ.setdefault(variable, str(number))
    sizes = {BLOCK_MB, BLOCK_BYTES}
    held = {variable for variable in sizes | set(STOCK) if variable in environ}
    for variable, value in settings(access).items():
        if variable not in held and not (variable in sizes and held & sizes):
            environ[variable] = value


def differences(access: Access, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that would have to be set, or set otherwise, before TensorFlow is loaded."""
    wanted = _in_bytes(environment(access))
    there = _in_bytes(in_force() if environ is os.environ and _is_loaded() else environ)
    differ = {variable for variable, value in wanted.items() if there.get(variable, STOCK[variable]) != value}
    told = environment(access)
    return {name: told[name] for name in told if (BLOCK_BYTES if name == BLOCK_MB else name) in differ}


@functools.cache
def in_force() -> Mapping[str, str]:
    """The client's variables as they are when this is first asked: nothing says how they were when it was made."""
    return {name: os.environ[name] for name in (BLOCK_MB, *STOCK) if name in os.environ}


def block_bytes() -> int:
    """What the client asks for in one request at the most."""
    told = _in_bytes(in_force()).get(BLOCK_BYTES, 0)
    return told if told > 0 else STOCK[BLOCK_BYTES]


def warn_of_differences(access: Access, where: str) -> None:
    """Warn where a plan says what the client, made already, does not do; `where` is the stage that reads."""
    missing = differences(access) if _is_loaded() else {}
    if missing:
        assignments = " ".join(f"{name}={value}" for name, value in missing.items())
        warnings.warn(
            f"{where}: TensorFlow's GCS client takes its settings when TensorFlow is loaded, and that was before this "
            f"plan was built, so that they are not in force; set {assignments} in the environment before "
            "`import tensorflow`",
            PlanWarning,
            stacklevel=3,
        )


def longest_wait_s(environ: Mapping[str, str] = os.environ) -> float:
    """Seconds after which the client gives up on an endpoint that refuses or swallows connections, at the most."""
    number = {name: _number(environ.get(name), STOCK[name]) for name in STOCK}
    delays = (min(number[FIRST_DELAY] << k, number[LONGEST_DELAY]) + 1_000_000 for k in range(number[RETRIES]))
    waits = sum(delays) / 1e6 if number[FIRST_DELAY] else 0.0
    return waits + (number[RETRIES] + 1) * number[CONNECT_S]


def _in_bytes(variables: Mapping[str, str]) -> dict[str, int]:
    """The values as numbers, the block's size in bytes whichever variable says it."""
    known = {name: _number(value, -1) for name, value in variables.items() if name in (BLOCK_MB, *STOCK)}
    if BLOCK_MB in known:
        known[BLOCK_BYTES] = known.pop(BLOCK_MB) * _MIB
    return known


def _number(text: str | None, otherwise: int) -> int:
    """What the client reads: a number, or as if nothing were said."""
    return int(text) if text is not None and text.strip().isdecimal() else otherwise


def _is_loaded() -> bool:
    return "tensorflow" in sys.modules
