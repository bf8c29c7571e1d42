"""What the words in tables, figures and pages mean."""

from __future__ import annotations

from typing import Final

MEANINGS: Final = {
    "extract": "waiting for data to be opened, read and decompressed",
    "transform": "waiting for work on the host: parsing, decoding, augmenting, shuffling, batching",
    "load": "waiting for the copy to the accelerator, of a batch that was made in time",
    "fill": "the first batches: the pipeline starts empty",
    "refill": "a new epoch: the pipeline starts empty again",
    "teardown": "ending one iterator before the next one can begin: TensorFlow's tuning thread can hold it up",
    "overhead": "none of these: hand-over between threads, and the loop itself",
    "unattributed": "not known: no trace was open while the consumer waited",
}
"""What an idle second is charged to: one line for each cause."""

GLOSSARY: Final = {
    "extract": "Opening, reading and decompressing from storage, wherever it happens: a read inside a map is extract.",
    "transform": "Host work between reading and handing over: map, filter, parse, decode, shuffle, batch.",
    "load": "Handing a finished batch to the accelerator: the copy and its wait.",
    "train": "What the consumer does with a batch: a real training step, or an emulated accelerator's.",
    "work": "Thread-seconds in a phase, waiting for storage included: two threads for a second are two seconds of work.",
    "cpu": "The part of work in which a thread was on a core.",
    "busy": "Seconds in which at least one thread was in the phase.",
    "idle": "Wall time minus busy. The accelerator's idle time is the one that is paid for.",
    "wall": "From the first request for an element to the end of the last step.",
    "AU": "Accelerator utilization as in MLPerf Storage: compute time in percent of running time, without the first step.",
    "stall": "Time in which the consumer waits, charged to what it waits for.",
    "sequential time": "The sum of all phases when nothing overlaps.",
    "pipelined bound": "Filling the pipeline plus its longest phase: perfect overlap with the same resources.",
    "overlap efficiency": "Pipelined bound / measured wall: 100 % is perfect software pipelining.",
    "parallelism": "How many elements a stage works on at a time; with auto, tf.data chooses while the pipeline runs.",
    "trace window": "A span in which every thread was watched; extract and transform are known there only.",
}
"""Every word that a page uses in a sense of its own."""
