"""How the storage emulator scales: so many streams against so many times one stream, shaped and unshaped.

    python benchmarks/emulator.py [--rounds 3] [--seconds 2] [--json FILE]

Streams are threads of one client process: TensorFlow's GCS client (`tf.io.read_file`, a connection a read), and a plain one
of Python's ssl module. Each reads what its rate moves in the time given. A round measures every number of streams once, in
an order drawn anew, so that other work on the machine falls on all of them; the table has the medians over rounds, and the
part of all cores that was in use.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psutil

import pipeline_opt as po
from pipeline_opt.storage.emulator import Emulation
from pipeline_opt.storage.shape import Shape

SHAPED: Final = (1, 2, 4, 8, 16, 32)
FREE: Final = (1, 2, 4, 8)
RATES: Final = (2e6, 10e6)
FREE_BYTES: Final = 256_000_000

CLIENTS: Final = {
    "TensorFlow": """
import tensorflow as tf
def read(name):
    return len(tf.io.read_file(f"gs://bucket/{name}").numpy())
""",
    "plain TLS": """
import os, socket, ssl
from urllib.parse import urlsplit
place = urlsplit(os.environ["https_proxy"])
context = ssl.create_default_context(cafile=os.environ["CURL_CA_BUNDLE"])
def read(name):
    plain = socket.create_connection((place.hostname, place.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.sendall(b"CONNECT storage.googleapis.com:443 HTTP/1.1\\r\\n\\r\\n")
    plain.recv(4096)
    buffer, count = bytearray(1 << 20), 0
    with context.wrap_socket(plain, server_hostname="storage.googleapis.com") as connection:
        connection.sendall(f"GET /bucket/{name} HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n".encode())
        while got := connection.recv_into(buffer):
            count += got
    return count
""",
}

LOOP: Final = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(64)
for line in sys.stdin:
    name, streams = json.loads(line)
    start = time.perf_counter()
    count = sum(pool.map(read, [name] * streams))
    print(json.dumps([count, time.perf_counter() - start]), flush=True)
"""


class Measured(NamedTuple):
    """One number of streams: bytes a second together, and the share of all cores in use."""

    client: str
    rate: float | None
    streams: int
    bytes_per_s: float
    cpu: float


@contextmanager
def client_process(client: str, store: Emulation) -> Iterator[subprocess.Popen[str]]:
    # Blocks below the files' sizes, so that a file is one request and no buffer of 64 MiB is filled with zeros for it.
    settings = {"GCS_READ_CACHE_BLOCK_SIZE_MB": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENTS[client] + LOOP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**store.environ, **settings},
    )
    try:
        yield process
    finally:
        process.communicate()


def read_all(process: subprocess.Popen[str], name: str, streams: int) -> tuple[float, float]:
    """Bytes a second of some streams together, and the share of all cores in use meanwhile."""
    assert process.stdin is not None
    assert process.stdout is not None
    psutil.cpu_percent()
    process.stdin.write(json.dumps([name, streams]) + "\n")
    process.stdin.flush()
    count, seconds = json.loads(process.stdout.readline())
    return count / seconds, psutil.cpu_percent() / 100


def measure(store: Emulation, folder: Path, rounds: int, seconds: float) -> list[Measured]:
    found = []
    for client in CLIENTS:
        with client_process(client, store) as process:
            for rate in (*RATES, None):
                size = FREE_BYTES if rate is None else int(rate * seconds)
                (folder / "object").write_bytes(os.urandom(1 << 20) * (size >> 20) + bytes(size % (1 << 20)))
                store.shape = Shape(stream_bytes_per_s=rate)
                read_all(process, "object", 2)
                each = FREE if rate is None else SHAPED
                numbers = [number for _ in range(rounds) for number in random.sample(each, len(each))]
                for streams in numbers:
                    found.append(Measured(client, rate, streams, *read_all(process, "object", streams)))
    return found


def table(found: list[Measured]) -> str:
    lines = [f"{'client':<12}{'rate a stream':>14}{'streams':>9}{'together':>12}{'of N x one':>12}{'cores in use':>14}"]
    one = 0.0
    for client, rate, streams in sorted({each[:3] for each in found}, key=lambda key: (key[0], key[1] or 1e12, key[2])):
        same = [each for each in found if each[:3] == (client, rate, streams)]
        together = statistics.median(each.bytes_per_s for each in same)
        one = together if streams == 1 else one
        said = "none" if rate is None else f"{rate / 1e6:g} MB/s"
        cpu = statistics.median(each.cpu for each in same)
        lines.append(
            f"{client:<12}{said:>14}{streams:>9}{together / 1e6:>7.1f} MB/s{together / streams / one:>12.2f}{cpu:>14.0%}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, po.emulate(name, "gs://bucket") as store:
        found = measure(store, Path(name), given.rounds, given.seconds)
    machine = f"{psutil.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}; load before: {load:.1f}")
    print(table(found))
    if given.json:
        given.json.write_text(json.dumps([each._asdict() for each in found], indent=1))


if __name__ == "__main__":
    main()
