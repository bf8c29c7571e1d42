"""The sources of recipes: numbers, tensors, generators and files."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from element_equality import Equality
from hypothesis import strategies as st
from recipe_state import Places, State
from recipe_steps import Pair

Arguments = Mapping[str, Any]
FILES: Final = 3
RECORDS: Final = 5


def write_data(folder: Path) -> Path:
    """Fill a folder with the small files that recipes read."""
    for file in range(FILES):
        rows = [(file * RECORDS + n, "ab"[n % 2] * (n + 1), n * 0.5) for n in range(RECORDS + file)]
        for end, compression in (("tfrecord", ""), ("tfrecord.gz", "GZIP")):
            with tf.io.TFRecordWriter(str(folder / f"part-{file}.{end}"), compression) as writer:
                for row in rows:
                    writer.write(_example(*row))
        lines = "".join(f"{number},{word},{value}\n" for number, word, value in rows)
        (folder / f"part-{file}.csv").write_text("number,word,value\n" + lines)
        (folder / f"part-{file}.txt").write_text(lines)
        (folder / f"part-{file}.txt.zlib").write_bytes(zlib.compress(lines.encode()))
        (folder / f"part-{file}.bin").write_bytes(b"HH" + bytes(range(4 * len(rows))) + b"F")
    tf.data.Dataset.range(7).map(lambda n: {"n": n, "t": tf.strings.as_string(n)}).save(str(folder / "saved"))
    return folder


def _example(number: int, word: str, value: float) -> bytes:
    feature = {
        "number": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
        "tokens": tf.train.Feature(int64_list=tf.train.Int64List(value=list(range(number % 4)))),
        "word": tf.train.Feature(bytes_list=tf.train.BytesList(value=[word.encode()])),
        "value": tf.train.Feature(float_list=tf.train.FloatList(value=[value, -value])),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


@dataclass(frozen=True)
class SourceKind:
    """A kind of source.

    Args:
        arguments: What it may be told.
        build: Makes the dataset.
        state: What its elements are.
    """

    arguments: Mapping[str, st.SearchStrategy[Any]]
    build: Callable[[Arguments, Places], Any]
    state: Callable[[Arguments], State]


def _scalar(dtype: Any) -> Any:
    return tf.TensorSpec((), dtype)


def _slices(form: str) -> Any:
    numbers = np.arange(6)
    words = np.array(["a", "b", "a", "c", "", "dd"])
    forms = {
        "bytes": numbers.astype(np.uint8),
        "doubles": numbers / 4,
        "truths": numbers % 2 == 0,
        "rows": numbers.reshape(3, 2).astype(np.int32),
        "pair": (numbers.astype(np.float32), words),
        "dictionary": {"word": words, "number": numbers},
        "nested": {"x": (numbers, {"y": words}), "z": numbers.astype(np.int32)},
        "named": Pair(numbers, {"w": words}),
        "rows_of_ragged": (tf.RaggedTensor.from_row_lengths(numbers, [2, 0, 3, 1]), tf.range(4)),
        "ragged": {"r": tf.ragged.constant([[[1], [2, 3]], [], [[4]]], tf.int64), "n": tf.range(3)},
        "sparse": tf.sparse.from_dense(np.arange(6).reshape(3, 2) % 2),
        "half": numbers.astype(np.float16),
    }
    return forms[form]


_FORMS: Final = (
    "bytes", "doubles", "truths", "rows", "pair", "dictionary", "nested", "named", "ragged", "rows_of_ragged",
    "sparse", "half",
)  # fmt: skip


def _slices_state(told: Arguments) -> State:
    spec = tf.nest.map_structure(lambda v: tf.type_spec_from_value(v)._unbatch(), _tensors(_slices(told["form"])))
    return State(spec, 6)


def _tensors(value: Any) -> Any:
    return tf.nest.map_structure(lambda v: v if tf.is_tensor(v) else tf.constant(v), value)


_PARSED: Final = {
    "number": _scalar(tf.int64),
    "tokens": tf.SparseTensorSpec([None], tf.int64),
    "value": tf.TensorSpec([2], tf.float32),
    "word": _scalar(tf.string),
}


def parse_record(record: Any) -> Any:
    """One record of the TFRecord files."""
    features = {
        "number": tf.io.FixedLenFeature([], tf.int64),
        "tokens": tf.io.VarLenFeature(tf.int64),
        "value": tf.io.FixedLenFeature([2], tf.float32),
        "word": tf.io.FixedLenFeature([], tf.string, default_value=""),
    }
    return tf.io.parse_single_example(record, features)


def parse_row(line: Any) -> Any:
    """One row of the CSV files."""
    number, word, value = tf.io.decode_csv(line, [tf.constant(0, tf.int64), "", 0.0])
    return {"number": number, "word": word}, value


_ROW: Final = ({"number": _scalar(tf.int64), "word": _scalar(tf.string)}, _scalar(tf.float32))
_ALL: Final = FILES * RECORDS + sum(range(FILES))


def _paths(places: Places, end: str) -> list[str]:
    return [str(places.data / f"part-{file}.{end}") for file in range(FILES)]


def _tfrecords(told: Arguments, places: Places) -> Any:
    end = "tfrecord.gz" if told["compression"] else "tfrecord"
    records = tf.data.TFRecordDataset(
        _paths(places, end), told["compression"], told["buffer"], num_parallel_reads=told["reads"]
    )
    return records.map(parse_record) if told["parse"] else records


def _text(told: Arguments, places: Places) -> Any:
    end = "txt.zlib" if told["compression"] else "txt"
    return tf.data.TextLineDataset(_paths(places, end), told["compression"] or None, told["buffer"])


def _csv(told: Arguments, places: Places) -> Any:
    if told["reader"]:
        defaults = [tf.int64, tf.string, tf.constant([0.0])]
        rows = tf.data.experimental.CsvDataset(_paths(places, "csv"), defaults, header=True)
        return rows.map(lambda number, word, value: ({"number": number, "word": word}, value))
    files = tf.data.Dataset.from_tensor_slices(_paths(places, "csv"))
    return files.flat_map(lambda file: tf.data.TextLineDataset(file).skip(1)).map(parse_row)


def _fixed(told: Arguments, places: Places) -> Any:
    return tf.data.FixedLengthRecordDataset(_paths(places, "bin"), 4, 2, 1)


def _open_csv(file: Any) -> Any:
    return tf.data.TextLineDataset(file).skip(1).map(parse_row)


def _open_records(file: Any) -> Any:
    """Stages of each file inside the interleave, one of which has a name of the user's."""
    keys = tf.lookup.KeyValueTensorInitializer(["a", "bb"], tf.constant([1, 2], tf.int64))
    table = tf.lookup.StaticHashTable(keys, 0)

    def keep(example: Any) -> Any:
        return example["number"] % 4 != 1

    def look_up(example: Any) -> Any:
        return {"n": example["number"] + table.lookup(example["word"]), "v": example["value"]}

    return tf.data.TFRecordDataset(file).map(parse_record, num_parallel_calls=2).filter(keep).map(look_up).batch(2)


_OPEN: Final[dict[str, tuple[str, Callable[[Any], Any], Callable[[], State]]]] = {
    "records": ("tfrecord", tf.data.TFRecordDataset, lambda: State(_scalar(tf.string), _ALL)),
    "rows": ("csv", _open_csv, lambda: State(_ROW, _ALL)),
    "lines": ("txt", lambda file: tf.data.TextLineDataset(file), lambda: State(_scalar(tf.string), _ALL)),
    "batches": (
        "tfrecord",
        _open_records,
        lambda: State({"n": tf.TensorSpec([None], tf.int64), "v": tf.TensorSpec([None, 2], tf.float32)}, _ALL, depth=1),
    ),
}


def _files(told: Arguments, places: Places) -> Any:
    end, opener, _ = _OPEN[told["open"]]
    files = tf.data.Dataset.list_files(str(places.data / f"part-*.{end}"), shuffle=told["shuffle"], seed=told["seed"])
    if told["take"] and _takes_the_same(told):
        files = files.take(2)
    calls = told["calls"]
    if calls == "flat_map":
        return files.flat_map(opener)
    determinism = {} if calls is None else {"num_parallel_calls": calls, "deterministic": told["deterministic"]}
    return files.interleave(opener, told["cycle"], told["block"], **determinism)


def _takes_the_same(told: Arguments) -> bool:
    """Whether the first files are the same ones in every run; files are of different sizes."""
    return not told["shuffle"] or told["seed"] is not None


def _files_state(told: Arguments) -> State:
    state = _OPEN[told["open"]][2]()
    unordered = not _takes_the_same(told) or (told["calls"] in (2, -1) and told["deterministic"] is False)
    return state.at_most(Equality.MULTISET) if unordered else state


def _generator(told: Arguments, places: Places) -> Any:
    def numbers(count: int) -> Iterator[Any]:
        for number in range(count):
            yield {"n": number, "s": [number] * (number % 3 + 1)}

    signature = {"n": _scalar(tf.int64), "s": tf.TensorSpec([None], tf.int32)}
    return tf.data.Dataset.from_generator(numbers, output_signature=signature, args=[told["count"]])


SOURCES: Final[dict[str, SourceKind]] = {
    "range": SourceKind(
        {"count": st.integers(0, 12), "dtype": st.sampled_from(["int64", "int64", "int32", "float32"])},
        lambda a, p: tf.data.Dataset.range(a["count"], output_type=tf.as_dtype(a["dtype"])),
        lambda a: State(_scalar(tf.as_dtype(a["dtype"])), a["count"]),
    ),
    "steps": SourceKind(
        {"start": st.integers(-3, 3)},
        lambda a, p: tf.data.Dataset.range(a["start"], 20, 3),
        lambda a: State(_scalar(tf.int64), 8),
    ),
    "slices": SourceKind(
        {"form": st.sampled_from(_FORMS)},
        lambda a, p: tf.data.Dataset.from_tensor_slices(_slices(a["form"])),
        _slices_state,
    ),
    "tensors": SourceKind(
        {"form": st.sampled_from(_FORMS)},
        lambda a, p: tf.data.Dataset.from_tensors(_slices(a["form"])),
        lambda a: State(tf.nest.map_structure(tf.type_spec_from_value, _tensors(_slices(a["form"]))), 1),
    ),
    "random": SourceKind(
        {"seed": st.integers(0, 5), "count": st.integers(1, 8)},
        # The op itself does not know that its numbers are scalars, which TensorFlow stumbles over in batches of batches.
        lambda a, p: tf.data.Dataset.random(a["seed"]).take(a["count"]).map(lambda number: number % 1000),
        lambda a: State(_scalar(tf.int64), a["count"]),
    ),
    "generator": SourceKind(
        {"count": st.integers(0, 7)},
        _generator,
        lambda a: State({"n": _scalar(tf.int64), "s": tf.TensorSpec([None], tf.int32)}, a["count"], python=True),
    ),
    "tfrecords": SourceKind(
        {
            "compression": st.sampled_from(["", "GZIP"]),
            "buffer": st.sampled_from([None, 100]),
            "reads": st.sampled_from([None, 2]),
            "parse": st.booleans(),
        },
        _tfrecords,
        lambda a: State(_PARSED if a["parse"] else _scalar(tf.string), _ALL),
    ),
    "text": SourceKind(
        {"compression": st.sampled_from(["", "ZLIB"]), "buffer": st.sampled_from([None, 100])},
        _text,
        lambda a: State(_scalar(tf.string), _ALL),
    ),
    "csv": SourceKind({"reader": st.booleans()}, _csv, lambda a: State(_ROW, _ALL)),
    "fixed_length": SourceKind({}, _fixed, lambda a: State(_scalar(tf.string), _ALL)),
    "files": SourceKind(
        {
            "open": st.sampled_from(sorted(_OPEN)),
            "shuffle": st.booleans(),
            "seed": st.sampled_from([None, 5]),
            "take": st.booleans(),
            "cycle": st.integers(2, 3),
            "block": st.integers(1, 3),
            "calls": st.sampled_from([None, 2, -1, "flat_map"]),
            "deterministic": st.sampled_from([None, True, False]),
        },
        _files,
        _files_state,
    ),
    "saved": SourceKind(
        {},
        lambda a, p: tf.data.Dataset.load(str(p.data / "saved")),
        lambda a: State({"n": _scalar(tf.int64), "t": _scalar(tf.string)}, 7),
    ),
}
"""The sources by their names in a recipe; recipes inside others are none."""
