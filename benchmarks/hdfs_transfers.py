"""What stands in front of the DataNode: what it costs when it holds nothing back, and how streams scale when it does.

    python benchmarks/hdfs_transfers.py [--rounds 5]

Reads with hdfs-native, several files at a time. Direct and passed-on transfers take turns; medians are printed. Then the
aggregate of 1 to 32 streams at 5 MB/s each, as the client sees it and as the emulator says that it made the client wait.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import fsspec

from pipeline_opt.storage.hadoop import Cluster, HdfsEmulation
from pipeline_opt.storage.shape import Shape

FILES = 32
SIZE = 8 << 20
RATE = 5e6


def together(files: Any, streams: int, each: int) -> float:
    """Bytes a second of so many streams, each reading so many files one after another."""

    def read(stream: int) -> None:
        for number in range(each):
            assert len(files.cat_file(f"/file-{(stream * each + number) % FILES}")) == SIZE

    threads = [threading.Thread(target=read, args=(stream,)) for stream in range(streams)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return streams * each * SIZE / (time.perf_counter() - begun)


def unshaped(rounds: int) -> None:
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds + 1):
        for name in ("direct", "passed-on"):
            for streams in (1, 4):
                rate = together(fsspec.filesystem("hdfs", host=name, skip_instance_cache=True), streams, 32 // streams)
                rates.setdefault((name, streams), []).append(rate)
    for (name, streams), seen in rates.items():
        print(f"{name:10} {streams} at a time: {statistics.median(seen[1:]) / 1e6:4.0f} MB/s, {rounds} rounds")


def scaling(emulation: HdfsEmulation) -> None:
    emulation.shape = Shape(ttfb_s=0.1, stream_bytes_per_s=RATE)
    files, one = fsspec.filesystem("hdfs", host="passed-on", skip_instance_cache=True), 0.0
    for streams in (1, 2, 4, 8, 16, 32):
        since = time.monotonic()
        rate = together(files, streams, 1)
        one = one or rate
        held = emulation.waited(since)["read"].seconds / streams
        print(f"{streams:2} streams: {rate / 1e6:5.1f} MB/s, {rate / one / streams:.2f} of N; held {held:.3f} s each")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        for number in range(FILES):
            (Path(name) / f"file-{number}").write_bytes(os.urandom(SIZE))
        begun = time.perf_counter()
        with Cluster("direct") as direct, HdfsEmulation(Path(name), "hdfs://passed-on", Shape()) as emulation:
            print(f"two clusters up and filled in {time.perf_counter() - begun:.1f} s; load {os.getloadavg()[0]:.1f}")
            direct.put(name)
            unshaped(rounds)
            scaling(emulation)


if __name__ == "__main__":
    main()
