"""Pipelines written as in TensorFlow's guides and model code: what their plans say, and that built they are the same."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from element_equality import Equality, difference, epochs

from pipeline_opt.build.dataset import build
from pipeline_opt.errors import PlanWarning
from pipeline_opt.ingest import imported
from pipeline_opt.text import plan_text

pytestmark = pytest.mark.tf

SIZE = 16
CLASSES = ("daisy", "rose")


# ---- data -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tf: Any) -> Path:
    made = tmp_path_factory.mktemp("guides")
    random = np.random.default_rng(3)
    for name in CLASSES:
        (made / "flowers" / name).mkdir(parents=True)
        for number in range(4):
            picture = random.integers(0, 255, (20 + number, 24, 3), np.uint8)
            tf.io.write_file(str(made / "flowers" / name / f"{number}.jpg"), tf.io.encode_jpeg(picture))
    for shard in range(2):
        _write_records(tf, made / f"train-{shard}.tfrecord", shard)
        (made / f"titanic-{shard}.csv").write_text(
            "survived,sex,age,fare\n"
            + "".join(f"{n % 2},{'male' if n % 3 else 'female'},{20 + n},{n}.5\n" for n in range(7))
        )
        (made / f"verses-{shard}.txt").write_text("".join(f"verse {n} of shard {shard}\n\n" for n in range(5)))
    for name in ("neg", "pos"):
        (made / "reviews" / name).mkdir(parents=True)
        for number in range(3):
            (made / "reviews" / name / f"{number}.txt").write_text(f"a {name} review {number}")
    (made / "sounds").mkdir()
    for number in range(3):
        wave = np.sin(np.arange(400 + 40 * number) / 10).astype(np.float32)[:, None]
        tf.io.write_file(str(made / "sounds" / f"yes_{number}.wav"), tf.audio.encode_wav(wave, 8000))
    return made


def _write_records(tf: Any, path: Path, shard: int) -> None:
    train = tf.train
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(5):
            picture = np.full((18, 20, 3), 40 * number + shard, np.uint8)
            feature = {
                "image/encoded": train.Feature(bytes_list=train.BytesList(value=[tf.io.encode_jpeg(picture).numpy()])),
                "image/class/label": train.Feature(int64_list=train.Int64List(value=[number + 1])),
                "boxes": train.Feature(
                    float_list=train.FloatList(value=[0.1 * n for n in range(4 * (number % 3 + 1))])
                ),
                "input_ids": train.Feature(int64_list=train.Int64List(value=list(range(number + 2)))),
            }
            writer.write(train.Example(features=train.Features(feature=feature)).SerializeToString())


# ---- the pipelines --------------------------------------------------------------------------------------------------


def text(tf: Any, folder: Path) -> Any:
    files = [str(folder / f"verses-{shard}.txt") for shard in range(2)]

    def not_empty(line: Any) -> Any:
        return tf.strings.length(line) > 0

    def label(line: Any) -> Any:
        return line, tf.strings.regex_full_match(line, ".*3.*")

    lines = tf.data.Dataset.from_tensor_slices(files)
    lines = lines.interleave(tf.data.TextLineDataset, cycle_length=2)
    return lines.filter(not_empty).map(label).shuffle(50, seed=1, reshuffle_each_iteration=False).batch(4)


def csv(tf: Any, folder: Path) -> Any:
    return tf.data.experimental.make_csv_dataset(
        str(folder / "titanic-*.csv"), batch_size=4, label_name="survived", select_columns=["age", "fare", "survived"],
        num_epochs=1, shuffle=True, shuffle_buffer_size=10, shuffle_seed=2,
    )  # fmt: skip


def images(tf: Any, folder: Path) -> Any:
    names = tf.constant(CLASSES)

    def process_path(path: Any) -> Any:
        label = tf.argmax(tf.strings.split(path, "/")[-2] == names)
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, [SIZE, SIZE]), label

    listed = tf.data.Dataset.list_files(str(folder / "flowers" / "*" / "*"), shuffle=False)
    listed = listed.shuffle(8, seed=4, reshuffle_each_iteration=False)
    train = listed.skip(2).map(process_path, num_parallel_calls=tf.data.AUTOTUNE)
    return train.cache().shuffle(10, seed=5).batch(3).prefetch(tf.data.AUTOTUNE)


def image_folders(tf: Any, folder: Path) -> Any:
    train = tf.keras.utils.image_dataset_from_directory(
        folder / "flowers", image_size=(SIZE, SIZE), batch_size=3, seed=6, verbose=False
    )
    rescaling = tf.keras.layers.Rescaling(1 / 255)

    def normalize(images: Any, labels: Any) -> Any:
        return rescaling(images), labels

    return train.map(normalize).cache().prefetch(tf.data.AUTOTUNE)


def saved(tf: Any, folder: Path) -> Any:
    path = str(folder / "saved")
    if not Path(path).exists():
        tf.data.Dataset.range(9).map(lambda x: {"x": x, "y": x * 2}).save(path)

    def both(row: Any) -> Any:
        return row["x"] + row["y"]

    return tf.data.Dataset.load(path).map(both).window(3, shift=1, drop_remainder=True).flat_map(lambda w: w.batch(3))


def resnet(tf: Any, folder: Path) -> Any:
    """Records of ImageNet as the official models read them: parse, decode, crop at random, flip."""
    features = {
        "image/encoded": tf.io.FixedLenFeature((), tf.string, ""),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64, -1),
    }

    def parse_record(record: Any) -> Any:
        parsed = tf.io.parse_single_example(record, features)
        image = tf.io.decode_jpeg(parsed["image/encoded"], channels=3)
        image = tf.image.random_flip_left_right(tf.image.random_crop(image, [SIZE, SIZE, 3], seed=7), seed=8)
        return tf.cast(image, tf.float32) - 120.0, tf.cast(parsed["image/class/label"], tf.int32) - 1

    files = tf.data.Dataset.list_files(str(folder / "train-*"), shuffle=False).shard(1, 0)
    records = files.shuffle(2, seed=9).interleave(
        tf.data.TFRecordDataset, cycle_length=10, num_parallel_calls=tf.data.AUTOTUNE
    )
    records = records.cache().shuffle(10, seed=1).repeat(2)
    batches = records.map(parse_record).batch(4, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.experimental_optimization.map_and_batch_fusion = True
    options.threading.private_threadpool_size = 2
    return batches.with_options(options)


def efficientnet(tf: Any, folder: Path) -> Any:
    """Files opened with a larger buffer and decoded inside the interleave, labels one-hot."""

    def fetch(path: Any) -> Any:
        return tf.data.TFRecordDataset(path, buffer_size=8 << 20).map(decode, num_parallel_calls=2).prefetch(1)

    def decode(record: Any) -> Any:
        features = {
            "image/encoded": tf.io.FixedLenFeature([], tf.string),
            "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        }
        parsed = tf.io.parse_single_example(record, features)
        image = tf.io.decode_jpeg(parsed["image/encoded"], channels=3)
        return {"image": tf.image.resize(image, [SIZE, SIZE]), "label": tf.one_hot(parsed["image/class/label"], 6)}

    def mix(batch: Any) -> Any:
        return {"image": 0.7 * batch["image"] + 0.3 * batch["image"][::-1], "label": batch["label"]}

    files = tf.data.Dataset.list_files(str(folder / "train-*"), shuffle=False)
    read = files.interleave(fetch, cycle_length=2, block_length=2, num_parallel_calls=2, deterministic=True)
    return read.batch(4, drop_remainder=True).map(mix, num_parallel_calls=2)


def retinanet(tf: Any, folder: Path) -> Any:
    """Boxes of several numbers, filtered and padded."""

    def parser(record: Any) -> Any:
        features = {"boxes": tf.io.VarLenFeature(tf.float32), "image/class/label": tf.io.FixedLenFeature([], tf.int64)}
        parsed = tf.io.parse_single_example(record, features)
        return {
            "boxes": tf.reshape(tf.sparse.to_dense(parsed["boxes"]), [-1, 4]),
            "source_id": parsed["image/class/label"],
        }

    def has_boxes(example: Any) -> Any:
        return tf.shape(example["boxes"])[0] > 1

    records = tf.data.TFRecordDataset([str(folder / f"train-{shard}.tfrecord") for shard in range(2)])
    return (
        records.map(parser)
        .filter(has_boxes)
        .padded_batch(3, {"boxes": [5, 4], "source_id": []}, {"boxes": -1.0, "source_id": None})
    )


def bert(tf: Any, folder: Path) -> Any:
    """Token ids put into sequences of one length, with a mask."""

    def select(record: Any) -> Any:
        return tf.io.parse_single_example(record, {"input_ids": tf.io.RaggedFeature(tf.int64)})["input_ids"]

    def pack(ids: Any) -> Any:
        return {"input_word_ids": ids, "input_mask": tf.ones_like(ids)}

    records = tf.data.TFRecordDataset(
        [str(folder / f"train-{shard}.tfrecord") for shard in range(2)], num_parallel_reads=2
    )
    return records.map(select).unbatch().batch(8, drop_remainder=True).map(pack).batch(2).prefetch(2)


def text_folders(tf: Any, folder: Path) -> Any:
    train = tf.keras.utils.text_dataset_from_directory(
        folder / "reviews", batch_size=2, seed=1, shuffle=False, verbose=False
    )
    vectorize = tf.keras.layers.TextVectorization(
        max_tokens=20, output_sequence_length=5, vocabulary=["a", "review", "pos"]
    )
    return train.map(lambda lines, label: (vectorize(lines), label)).prefetch(1)


def series(tf: Any, folder: Path) -> Any:
    values = np.arange(30, dtype=np.float32)
    return tf.keras.utils.timeseries_dataset_from_array(values[:-5], values[5:], sequence_length=5, batch_size=4)


def windows(tf: Any, folder: Path) -> Any:
    def split(window: Any) -> Any:
        return window[:-1], window[-1:]

    steps = tf.data.Dataset.from_tensor_slices(np.arange(20, dtype=np.float32)).window(5, shift=2, drop_remainder=True)
    return steps.flat_map(lambda window: window.batch(5)).map(split).shuffle(9, seed=3).batch(4)


def audio(tf: Any, folder: Path) -> Any:
    def decode(path: Any) -> Any:
        wave, _ = tf.audio.decode_wav(tf.io.read_file(path), desired_channels=1)
        return tf.squeeze(wave, axis=-1)

    def spectrogram(wave: Any) -> Any:
        return tf.abs(tf.signal.stft(wave[:400], frame_length=64, frame_step=32))[..., tf.newaxis]

    files = tf.data.Dataset.list_files(str(folder / "sounds" / "*.wav"), shuffle=False)
    waves = files.map(decode, num_parallel_calls=2)
    return waves.map(spectrogram, num_parallel_calls=2).cache().batch(2).prefetch(tf.data.AUTOTUNE)


PLANS: dict[Callable[[Any, Path], Any], str] = {
    text: """
text paths=['DATA/verses-0.txt', 'DATA/verses-1.txt'] compression=''
interleave cycle_length=2 num_parallel_calls=sequential
not_empty (filter) predicate=not_empty
label (map) function=label num_parallel_calls=sequential
shuffle buffer_size=50 seed=1 reshuffle_each_iteration=False
batch batch_size=4 num_parallel_calls=sequential
""",
    csv: """
dataset
shuffle buffer_size=2 seed=2
legacy_parallel_interleave (opaque) transformation=legacy_parallel_interleave
shuffle_2 buffer_size=10 seed=2
batch batch_size=4 num_parallel_calls=sequential
map_fn (map) function=map_fn num_parallel_calls=sequential
prefetch buffer_size=AUTO
""",
    images: """
dataset
shuffle buffer_size=8 seed=4 reshuffle_each_iteration=False
skip count=2
process_path (map) function=process_path num_parallel_calls=AUTO
cache
shuffle_2 buffer_size=10 seed=5
batch batch_size=3 num_parallel_calls=sequential
prefetch buffer_size=AUTO
""",
    image_folders: """
zip
  - dataset
  - dataset
shuffle buffer_size=24 seed=6
map function=lambda num_parallel_calls=AUTO
batch batch_size=3 num_parallel_calls=sequential
prefetch buffer_size=AUTO
normalize (map) function=normalize num_parallel_calls=sequential
cache
prefetch_2 buffer_size=AUTO
""",
    saved: """
dataset
both (map) function=both num_parallel_calls=sequential
window (opaque) transformation=window
flat_map map_func=lambda
""",
    resnet: """
tfrecords paths=['DATA/train-0.tfrecord', 'DATA/train-1.tfrecord'] compression=''
shard num_shards=1 index=0
shuffle buffer_size=2 seed=9
interleave cycle_length=10 num_parallel_calls=AUTO
cache
shuffle_2 buffer_size=10 seed=1
repeat count=2
parse_record (map) function=parse_record num_parallel_calls=sequential
batch batch_size=4 drop_remainder=True num_parallel_calls=sequential
prefetch buffer_size=AUTO
options private_threadpool_size=2 map_and_batch_fusion=True
""",
    efficientnet: """
tfrecords paths=['DATA/train-0.tfrecord', 'DATA/train-1.tfrecord'] compression='' buffer_size=8388608
fetch (interleave) cycle_length=2 block_length=2 num_parallel_calls=2 deterministic=True
  - decode (map) function=decode num_parallel_calls=2
    prefetch buffer_size=1
batch batch_size=4 drop_remainder=True num_parallel_calls=sequential
mix (map) function=mix num_parallel_calls=2
""",
    retinanet: """
tfrecords paths=['DATA/train-0.tfrecord', 'DATA/train-1.tfrecord'] compression=''
parser (map) function=parser num_parallel_calls=sequential
has_boxes (filter) predicate=has_boxes
padded_batch batch_size=3 padded_shapes={'boxes': TensorShape([5, 4]), 'source_id': TensorShape([])} padding_values={'boxes': float32[], 'source_id': int64[]}
""",  # noqa: E501
    bert: """
dataset
legacy_parallel_interleave (opaque) transformation=legacy_parallel_interleave
select (map) function=select num_parallel_calls=sequential
unbatch
batch batch_size=8 drop_remainder=True num_parallel_calls=sequential
pack (map) function=pack num_parallel_calls=sequential
batch_2 batch_size=2 num_parallel_calls=sequential
prefetch buffer_size=2
""",
    text_folders: """
zip
  - dataset
  - dataset
map function=lambda num_parallel_calls=AUTO
batch batch_size=2 num_parallel_calls=sequential
prefetch buffer_size=AUTO
map_2 function=lambda num_parallel_calls=sequential
prefetch_2 buffer_size=1
""",
    series: """
zip
  - zip
      - dataset
        repeat
      - zip
          - dataset
          - dataset
            repeat
        map function=lambda num_parallel_calls=AUTO
    map function=lambda num_parallel_calls=AUTO
  - zip
      - dataset
        repeat
      - zip
          - dataset
          - dataset
            repeat
        map function=lambda num_parallel_calls=AUTO
    map function=lambda num_parallel_calls=AUTO
prefetch buffer_size=AUTO
batch batch_size=4 num_parallel_calls=sequential
""",
    windows: """
dataset
window (opaque) transformation=window
flat_map map_func=lambda
split (map) function=split num_parallel_calls=sequential
shuffle buffer_size=9 seed=3
batch batch_size=4 num_parallel_calls=sequential
""",
    audio: """
dataset
decode (map) function=decode num_parallel_calls=2
spectrogram (map) function=spectrogram num_parallel_calls=2
cache
batch batch_size=2 num_parallel_calls=sequential
prefetch buffer_size=AUTO
""",
}


def golden(plan_as_text: str, folder: Path) -> str:
    """A plan's text without what depends on the machine or on TensorFlow's own files."""
    shown = re.sub(r" element_spec=.*", "", plan_as_text.replace(str(folder), "DATA"))
    return re.sub(r"lambda at \S+:\d+", "lambda", shown)


@pytest.mark.parametrize("pipeline", PLANS, ids=lambda made: made.__name__)
def test_the_plan_says_what_was_written_and_gives_it_back(
    pipeline: Callable[[Any, Path], Any], tf: Any, folder: Path
) -> None:
    dataset = pipeline(tf, folder)
    plan = imported(dataset)
    assert golden(plan_text(plan), folder).splitlines() == PLANS[pipeline].strip().splitlines()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlanWarning)
        again = build(plan)
    assert again.element_spec == dataset.element_spec
    assert int(again.cardinality()) == int(dataset.cardinality())
    assert again.options() == dataset.options()
    del dataset, plan
    assert not difference(epochs(pipeline(tf, folder)), epochs(again), Equality.ORDERED)
