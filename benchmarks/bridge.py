"""The bridge against the native client on the same files: the same elements, and the ratio of throughputs.

    python benchmarks/bridge.py URI [ROUNDS] [NAME=VALUE ...]

Both read `URI` (TFRecord files) with four files at a time, in turns, ROUNDS times. NAME=VALUE are options of the fsspec
file system. Prints the mean ratio of the rates in a pair, bridge / native, with its 95 % interval.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
import warnings
from typing import Any

from pipeline_opt.access import Access
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.storage import resolve

ROUNDS = 7
WARM_UP = 1


def read(uri: str, access: Access) -> Pipeline:
    pipe = Pipeline.from_tfrecords(uri, access=access)
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
    native, bridge = read(uri, Access(via="auto")), read(uri, Access(via="fsspec", options=options))
    size = resolve(native.source).bytes or 0
    if digest(native) != digest(bridge):
        sys.exit("the elements differ")
    print(f"{uri}: the same elements, {size / 1e6:.0f} MB")
    times: list[tuple[float, float]] = []
    for number in range(rounds + WARM_UP):
        pair = [seconds(each) for each in ((native, bridge) if number % 2 else (bridge, native))]
        times.append((pair[0], pair[1]) if number % 2 else (pair[1], pair[0]))
    kept = times[WARM_UP:]
    ratios = [n / b for n, b in kept]
    spread = 1.96 * statistics.stdev(ratios) / len(ratios) ** 0.5
    mean = statistics.mean(ratios)
    rates = [size / 1e6 / statistics.median(column) for column in zip(*kept, strict=True)]
    print(f"native {rates[0]:.0f} MB/s, bridge {rates[1]:.0f} MB/s")
    print(f"bridge / native {mean:.2f} [{mean - spread:.2f}, {mean + spread:.2f}], {len(kept)} pairs in turns")


if __name__ == "__main__":
    given = sys.argv[1:]
    numbers = [int(each) for each in given[1:] if each.isdigit()]
    main(given[0], (numbers or [ROUNDS])[0], dict(each.split("=", 1) for each in given[1:] if "=" in each))
