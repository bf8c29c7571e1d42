"""The bridge against the native client on the same files: the same elements, and the ratio of throughputs.

    python benchmarks/bridge.py URI [ROUNDS] [NAME=VALUE ...]

They read `URI` (TFRecord files) with four files at a time, in turns, ROUNDS times: the native client as it comes, the native
client with buffers of 1 MiB (tensorflow-io makes a request for every buffer, of 256 KiB), and the bridge. NAME=VALUE are
options of the fsspec file system. Prints the medians of the rates, and of bridge / native in a round with a 95 % interval.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
import warnings
from statistics import median
from typing import Any

from intervals import median_interval

from pipeline_opt.access import Access
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.storage import resolve

ROUNDS = 7
BUFFER = 1 << 20


def read(uri: str, access: Access, buffer_size: int | None = None) -> Pipeline:
    pipe = Pipeline.from_tfrecords(uri, access=access, buffer_size=buffer_size)
    return pipe.interleave(cycle_length=4, num_parallel_calls=4, deterministic=True)


def digest(pipe: Pipeline) -> str:
    found = hashlib.sha256()
    for element in pipe.build().as_numpy_iterator():
        found.update(len(element).to_bytes(8) + element)
    return found.hexdigest()


def seconds(pipe: Pipeline) -> float:
    dataset: Any = pipe.ragged_batch(64).prefetch(2).build()
    start = time.perf_counter()
    for _ in dataset:
        pass
    return time.perf_counter() - start


def main(uri: str, rounds: int, options: dict[str, Any]) -> None:
    warnings.simplefilter("ignore")
    pipes = {
        "native": read(uri, Access(via="auto")),
        "native, 1 MiB buffers": read(uri, Access(via="auto"), BUFFER),
        "bridge": read(uri, Access(via="fsspec", options=options)),
    }
    size = resolve(pipes["native"].source).bytes or 0
    # The warm-up, too.
    if len({digest(pipe) for pipe in pipes.values()}) > 1:
        sys.exit("the elements differ")
    print(f"{uri}: the same elements, {size / 1e6:.0f} MB, {rounds} rounds")
    times: dict[str, list[float]] = {name: [] for name in pipes}
    for number in range(rounds):
        for name in random.Random(number).sample(list(pipes), len(pipes)):
            times[name].append(seconds(pipes[name]))
    for name, took in times.items():
        ratio = median_interval([n / b for n, b in zip(took, times["bridge"], strict=True)])
        against = "" if name == "bridge" else f"   bridge / this {ratio}"
        print(f"{name:22}{size / 1e6 / median(took):5.0f} MB/s{against}")


if __name__ == "__main__":
    given = sys.argv[1:]
    numbers = [int(each) for each in given[1:] if each.isdigit()]
    main(given[0], (numbers or [ROUNDS])[0], dict(each.split("=", 1) for each in given[1:] if "=" in each))
