"""Emulated storage of any scheme: `emulate` finds who emulates it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline_opt.errors import MissingPathError, UsageError
from pipeline_opt.storage.emulator import Emulation
from pipeline_opt.storage.hadoop import HdfsEmulation
from pipeline_opt.storage.hadoop.jars import Progress
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.shape import Shape
from pipeline_opt.storage.uris import scheme_of

_BUCKET: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,220}[a-z0-9])?")

Folder = str | Path


def emulate(
    folder: Folder | Mapping[str, Folder],
    uri: str = "",
    *,
    ttfb: str | None = None,
    stream_rate: str | None = None,
    total_rate: str | None = None,
    errors: str | None = None,
    profile: StorageProfile | Folder | None = None,
    shape: Shape | None = None,
    seed: int = 0,
    read_only: bool = False,
    log: Folder | None = None,
    progress: Progress | None = None,
) -> Emulation:
    """Serve a local folder as remote storage, to TensorFlow's unmodified client, in this process and its children.

        with po.emulate("photos", "gs://photos", ttfb="60ms±20", stream_rate="25MB/s") as store:
            run = po.profile(po.Pipeline.from_tfrecords(f"{store.uri}/train-*").batch(256))
            store.waited()["read"].seconds

    `hdfs://NAME` starts a real NameNode and DataNode and copies the folder into them; what is held back is the transfer of
    blocks. It needs Java, and fetches Hadoop the first time.

    Within the block this process' environment leads `gs://` to the emulator; `store.environ` does that for a child process.
    Blocks within blocks serve all their buckets, each by its own shape.
    Nothing leaves this machine, and nothing is left behind. Links in the folder are followed, but nothing is changed behind
    one that leads out of it. TensorFlow keeps for some seconds what it knows of a file's
    size, so files that change outside of it may look as they were.

    Args:
        folder: What is served; or several by their URIs, such as `{"gs://train": "a", "gs://eval": "b"}`.
        uri: What it is to be, such as `gs://bucket` or `hdfs://namenode/data`.
        ttfb: Time to first byte: `60ms`, or `60ms±20` drawn evenly.
        stream_rate: What one answer moves, such as `25MB/s`.
        total_rate: What all answers together move.
        errors: What fails, such as `503:1%,reset:0.5%`; see `storage.shape.FAULTS`.
        profile: A storage that was probed, or its file: takes the place of times and rates that are not given.
        shape: All of the above at once.
        seed: The same seed and order of requests meet the same times and faults.
        read_only: Refuse to change the folder; otherwise uploads to `gs://` land in it, those to `hdfs://` in the copy.
        log: A file that gets one line of JSON for every request.
        progress: Told in words what takes long.

    Raises:
        UsageError: An argument is not valid.
        MissingPathError: A folder is not there.
        SchemeError: `hdfs://` without Java, or Hadoop cannot be fetched; names the remedy.
    """
    folders = _folders(folder, uri)
    wanted = _shape(shape, profile, ttfb, stream_rate, total_rate, errors)
    noted = None if log is None else Path(log)
    if any(scheme_of(each) == "hdfs" for each in folders):
        if len(folders) > 1 or read_only:
            raise UsageError("emulate: hdfs:// is one folder, copied: no other beside it, and no read_only")
        ((place, path),) = folders.items()
        return HdfsEmulation(path, place, wanted, seed=seed, log=noted, progress=progress)
    buckets = {_bucket_of(each): path for each, path in folders.items()}
    return Emulation(buckets, wanted, seed=seed, read_only=read_only, log=noted)


def _folders(folder: Folder | Mapping[str, Folder], uri: str) -> dict[str, Path]:
    given = dict(folder) if isinstance(folder, Mapping) else {uri: folder}
    if not given or (isinstance(folder, Mapping) and uri):
        raise UsageError("emulate: give one folder and its URI, or several folders by their URIs")
    for path in given.values():
        if not Path(path).is_dir():
            raise MissingPathError(f"{path}: there is no such folder to serve")
    return {each: Path(path) for each, path in given.items()}


def _bucket_of(uri: str) -> str:
    scheme, name = scheme_of(uri), uri.partition("://")[2].rstrip("/")
    if scheme != "gs":
        raise UsageError(f"{uri!r} cannot be emulated; valid: gs://BUCKET or hdfs://NAME")
    if not _BUCKET.fullmatch(name):
        raise UsageError(f"{uri!r} is no bucket; valid: gs:// and lower-case letters, digits, '-', '_', '.', no folder")
    return name


def _shape(
    shape: Shape | None,
    profile: StorageProfile | Folder | None,
    ttfb: str | None,
    stream_rate: str | None,
    total_rate: str | None,
    errors: str | None,
) -> Shape:
    given = Shape.parse(ttfb, stream_rate, total_rate, errors)
    if shape is not None:
        if given != Shape() or profile is not None:
            raise UsageError("emulate: give a shape, or what it is made of, not both")
        return shape
    if profile is None:
        return given
    probed = profile if isinstance(profile, StorageProfile) else StorageProfile.load(profile)
    measured = Shape.of(probed)
    if ttfb is None and not measured.samples:
        raise UsageError(f"emulate: the profile of {probed.uri} has no times to first byte; say one: ttfb 60ms")
    return Shape(
        ttfb_s=given.ttfb_s if ttfb is not None else measured.ttfb_s,
        spread_s=given.spread_s if ttfb is not None else measured.spread_s,
        samples=() if ttfb is not None else measured.samples,
        stream_bytes_per_s=given.stream_bytes_per_s or measured.stream_bytes_per_s,
        total_bytes_per_s=given.total_bytes_per_s or measured.total_bytes_per_s,
        faults=given.faults,
    )
