"""Reading from afar: a local disk against emulated GCS and HDFS, naive, left to AUTOTUNE, and as a probe advises.

    python benchmarks/remote.py [--rounds 5] [--seconds 10] [--only WORDS] [--json FILE]

The shape of the usual complaint: 100 ms to the first byte, 10 MB/s a stream, JPEG records in 64 shards of 1 MB or in 512 of
100 KB. Two limits: `cpu`, where the records are decoded and augmented until the cores are the limit (the local rate is what
can be reached); and `bandwidth`, where they are only read and the storage gives 20 MB/s in all. Each run is a process of its
own that takes batches for some seconds, from the first one on, since TensorFlow's GCS client takes its settings when it is
loaded. Rounds go over all runs, in an order that changes; ratios are of the same round. Advice is what `po.probe` says in a
process before, under the same shape, given the local rate as the demand where the cores are the limit. Files are repeated
below the interleave, so that no end of an epoch empties the pipeline. The emulated storage (GCS's TLS; a NameNode, a DataNode
and what holds their transfers back) has the last core to itself, and every run, the local one too, the others: a storage far
away does not work on the cores that decode.

`waits` profiles one epoch and holds extract, as the profiler has it, against what the emulator made the client wait. What an
HDFS client waits for its NameNode is in extract, and is not the emulator's. What the bridge fetches while its reader pauses,
as it does where files are interleaved, is in both; it is printed beside, as a share of the same.

What stands in the table: records a second, and the ratio to what can be reached, with a 95 % interval (bootstrap over rounds).
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import dataclasses
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from intervals import Estimate, median_interval

import pipeline_opt as po
from pipeline_opt.accounting import account
from pipeline_opt.storage import gcs
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.probe.advice import LARGEST_BLOCK, Advice, advise
from pipeline_opt.storage.probe.applying import apply
from pipeline_opt.storage.probe.measure import probe
from pipeline_opt.synth import make_jpeg_shards
from pipeline_opt.text import from_toml
from pipeline_opt.variants import naive

DATA = {"64 x 1 MB": (64, 46), "512 x 100 KB": (512, 5)}
"""Shards, and JPEGs of some 22 KB in each."""
FAR = {"ttfb": "100ms", "stream_rate": "10MB/s"}
TOTAL = {"cpu": None, "bandwidth": 20e6}
"""What the storage gives in all, bytes a second."""
BATCH = 32
SIZE = (224, 168)
VARIANTS = ("naive", "autotune", "advised")
CORES = sorted(os.sched_getaffinity(0))
STORAGE_CORES, RUN_CORES = (CORES[-1:], CORES[:-1]) if len(CORES) > 1 else (CORES, CORES)


class Case(NamedTuple):
    """What is read from where, and what is the limit."""

    data: str
    limit: str
    store: str
    via: str

    def __str__(self) -> str:
        return f"{self.data}, {self.store} via {self.via}, {self.limit}"


def decode(record: Any) -> Any:
    """A JPEG record as an image for training: some 8 ms of a core, so that the storage's own work here counts little."""
    import tensorflow as tf

    features = tf.io.parse_single_example(record, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})
    image = tf.cast(tf.io.decode_jpeg(features["image/encoded"], channels=3), tf.float32)
    image = tf.image.resize(image, [384, 384], method="bicubic", antialias=True)
    image = tf.image.random_flip_left_right(tf.image.random_crop(image, [224, 224, 3]))
    image = tf.image.random_hue(tf.image.random_saturation(image / 255.0, 0.6, 1.4), 0.1)
    return tf.image.resize(tf.image.random_contrast(image, 0.6, 1.4), [224, 224], antialias=True)


def pipeline(uri: str, via: str, limit: str) -> po.Pipeline:
    """The pipeline with every knob left to AUTOTUNE."""
    pipe = po.Pipeline.from_tfrecords(uri, access=po.Access(via=via)).repeat().interleave().shuffle(256)
    if limit == "cpu":
        pipe = pipe.map(f"{Path(__file__).resolve()}:decode", random=True)
    return pipe.batch(BATCH, drop_remainder=True).prefetch()


def form(pipe: po.Pipeline, variant: str, advice: Advice | None) -> po.Pipeline:
    """A variant of a pipeline."""
    if variant == "naive":
        return po.Pipeline.of(naive(pipe))
    if variant != "advised" or advice is None:
        return pipe
    return reached(apply(advice, pipe), advice.block_bytes)


def reached(pipe: po.Pipeline, block_bytes: int) -> po.Pipeline:
    """The pipeline with requests of a size."""
    access = dataclasses.replace(pipe.source.access, block_bytes=block_bytes)
    return dataclasses.replace(pipe, source=dataclasses.replace(pipe.source, access=access))


# What the processes do. Each prints one line of JSON.


def measure_rate(toml: str, seconds: float) -> dict[str, Any]:
    """Records a second from the first batch on, and bytes a second of what was stored of them."""
    iterator = iter(po.Pipeline.of(from_toml(toml)).build())
    next(iterator)
    batches, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        next(iterator)
        batches += 1
    return {"rate": BATCH * batches / (now - start)}


def measure_waits(toml: str, seconds: float) -> dict[str, Any]:
    """Thread-seconds of extract in one epoch, those ahead of readers, and when it began and ended by the monotonic clock.

    Listing before it and the look for silent damage after it read files, too.
    """
    called: list[float] = []
    run = po.profile(
        po.Pipeline.of(from_toml(toml)), lambda _batch: called.append(time.monotonic()), epochs=1, trace="full"
    )
    start = called[-1] - float(run.steps.train_start[-1])
    ahead = sum(stage.ahead_s for stage in run.stages)
    return {"extract": account(run).phases["extract"].work_s, "ahead": ahead, "start": start, "end": start + run.wall_s}


def measure_probe(toml: str, seconds: float) -> dict[str, Any]:
    """The profile of the storage that a pipeline reads."""
    source = po.Pipeline.of(from_toml(toml)).source
    return probe(source.paths[0], access=source.access, seconds=seconds).to_json()


JOBS = {"rate": measure_rate, "waits": measure_waits, "probe": measure_probe}


def run(job: str, pipe: po.Pipeline, seconds: float) -> dict[str, Any]:
    """A job in a process of its own, with the settings of the plan's GCS client."""
    command = [sys.executable, __file__, "--job", job, "--seconds", str(seconds), "--cores", *map(str, RUN_CORES)]
    environ = {**os.environ, **gcs.environment(pipe.source.access)}
    done = subprocess.run(command, input=pipe.to_toml(), env=environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{job} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# What is measured


class Measured(NamedTuple):
    """Records a second of each run, round by round, what could be reached, and the advice that was followed."""

    rates: dict[str, list[float]]
    reach: list[float]
    advice: Advice

    def ratio(self, variant: str) -> Estimate:
        """What a variant reaches of what can be reached."""
        return median_interval([rate / reach for rate, reach in zip(self.rates[variant], self.reach, strict=True)])

    def line(self, case: Case) -> str:
        """One line of the table."""
        cells = (f"{median(self.rates[name]):,.0f}  {self.ratio(name)}" for name in VARIANTS)
        return f"{case!s:46}{median(self.reach):>7,.0f}" + "".join(f"{cell:>30}" for cell in cells)

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        ratios = {name: self.ratio(name)._asdict() for name in VARIANTS}
        return {"rates": self.rates, "reach": self.reach, "ratios": ratios, "advice": list(self.advice.sentences())}


def measure(case: Case, folder: Path, rounds: int, seconds: float) -> Measured:
    """All variants of one case, in turns with the local run."""
    local = pipeline(str(folder), "auto", case.limit)
    total = TOTAL[case.limit]
    stored = sum(path.stat().st_size for path in folder.glob("*.tfrecord*"))
    record_bytes = stored / (DATA[case.data][0] * DATA[case.data][1])
    with po.emulate(folder, f"{case.store}://far", **FAR, total_rate=f"{total:.0f}B/s" if total else None) as store:
        far = pipeline(store.uri, case.via, case.limit)
        demand = run("rate", local, seconds)["rate"] * record_bytes if case.limit == "cpu" else None
        # In blocks that cost the client little: with its own of 64 MiB its processor time would be the storage's limit.
        profile = StorageProfile.from_json(run("probe", reached(far, LARGEST_BLOCK), 20.0))
        advice = advise(profile, demand_bytes_per_s=demand, cores=len(RUN_CORES))
        pipes = {"local": local, **{variant: form(far, variant, advice) for variant in VARIANTS}}
        rates: dict[str, list[float]] = {name: [] for name in pipes}
        for number in range(rounds):
            for name in random.Random(number).sample(list(pipes), len(pipes)):
                rates[name].append(run("rate", pipes[name], seconds)["rate"])
    reach = rates["local"] if total is None else [total / record_bytes] * rounds
    return Measured(rates, reach, advice)


class Waits(NamedTuple):
    """Extract, and what of it was fetched ahead of readers, over what the emulator made the client wait."""

    extract: Estimate
    ahead: Estimate

    def __str__(self) -> str:
        return f"{self.extract!s}, ahead {self.ahead.middle:.2f}"

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {name: estimate._asdict() for name, estimate in self._asdict().items()}


def waits(case: Case, folder: Path, rounds: int) -> dict[str, Waits]:
    """Of one file after another, and of eight interleaved.

    In blocks of 2 MiB: with its own of 64 the client of TensorFlow spends 25 ms on each file that nobody made it wait.
    """
    reads = po.Pipeline.from_tfrecords("far", access=po.Access(via=case.via, block_bytes=2 << 20))
    plans = {"naive": reads, "interleaved": reads.interleave(cycle_length=8, num_parallel_calls=8)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in plans}
    with po.emulate(folder, f"{case.store}://far", **FAR) as store:
        for name in list(plans) * rounds:
            source = dataclasses.replace(plans[name].source, paths=(store.uri,))
            pipe = dataclasses.replace(plans[name], source=source).batch(BATCH)
            told = run("waits", pipe if name == "naive" else pipe.prefetch(), 0.0)
            asked = [each for each in store.requests() if told["start"] - 0.01 < each.start_s < told["end"]]
            waited = sum(each.end_s - each.start_s for each in asked)
            found[name].append((told["extract"] / waited, told["ahead"] / waited))
    return {name: Waits(*map(median_interval, zip(*ratios, strict=True))) for name, ratios in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each run takes batches")
    parser.add_argument("--only", default="", help="cases whose line holds these words")
    parser.add_argument("--json", type=Path, help="write the numbers to a file")
    parser.add_argument("--job", choices=tuple(JOBS), help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, nargs="+", default=STORAGE_CORES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, arguments.cores)
    if arguments.job:
        warnings.simplefilter("ignore")
        print(json.dumps(JOBS[arguments.job](sys.stdin.read(), arguments.seconds)), flush=True)
        # A JVM may hang or crash where it ends.
        os._exit(0)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {data: Path(scratch) / data.replace(" ", "") for data in DATA}
        for data, (shards, images) in DATA.items():
            make_jpeg_shards(folders[data], shards * images, shards, size=SIZE)
        found = report(folders, arguments.only, arguments.rounds, arguments.seconds)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def report(folders: dict[str, Path], only: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure and print every case, then the waits."""
    found: dict[str, Any] = {}
    routes = [("gs", "tf"), ("hdfs", "fsspec"), *([("hdfs", "tf")] if "hdfs" in opened_by_tensorflow() else [])]
    print(f"{'records/s, and of what can be reached':46}{'reach':>7}" + "".join(f"{name:>30}" for name in VARIANTS))
    for store, via in routes:
        for data, limit in itertools.product(DATA, TOTAL):
            case = Case(data, limit, store, via)
            if all(word in str(case) for word in only.split()):
                measured = measure(case, folders[data], rounds, seconds)
                found[str(case)] = measured.as_json()
                print(measured.line(case), flush=True)
    print("\nextract over what the emulator made the client wait")
    for store, via in routes:
        case = Case("64 x 1 MB", "waits", store, via)
        if all(word in str(case) for word in only.split()):
            ratios = waits(case, folders[case.data], rounds)
            found[str(case)] = {name: ratio.as_json() for name, ratio in ratios.items()}
            print(f"{case!s:38}" + "".join(f"{f'{name} {ratio}':>47}" for name, ratio in ratios.items()), flush=True)
    return found


def opened_by_tensorflow() -> list[str]:
    """The schemes that TensorFlow opens here, tensorflow-io loaded where it is there."""
    code = "import tensorflow_io, tensorflow as tf; print(' '.join(tf.io.gfile.get_registered_schemes()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.split()


if __name__ == "__main__":
    main()
