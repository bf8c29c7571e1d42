"""From the paths of a source to its files: sorted, checked, with classes where they are images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from pipeline_opt.errors import EmptySourceError, FormatError, SourceError
from pipeline_opt.names import is_utf8
from pipeline_opt.sources import CompressedSource, FileSource, FixedLength, Images, ResolvedSource, TFRecords
from pipeline_opt.storage.compression import detect_compression, head
from pipeline_opt.storage.damage import mismatch
from pipeline_opt.storage.filesystem import FileSystem, file_system, total_bytes
from pipeline_opt.storage.formats import SUFFIXES, is_hidden, kind_by_suffix, suffix_of
from pipeline_opt.storage.nearby import GLOB_SIGNS, missing, some
from pipeline_opt.storage.routes import route
from pipeline_opt.storage.uris import join

MANY: Final = 4
AT_ONCE: Final = 16
"""Questions that a storage far away is asked at a time, where there are many."""

_AUXILIARY: Final = (".json", ".md", ".yaml", ".yml", ".toml", ".py", ".idx", ".index", ".xml", ".html")


@dataclass(frozen=True)
class _Found:
    """A file with the name of its class (images only)."""

    path: str
    class_name: str = ""


_known: ContextVar[dict[FileSource, ResolvedSource] | None] = ContextVar("listed", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Within it files are listed once: where many plans over the same files are built, and each look is a round trip."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def resolve(source: FileSource) -> ResolvedSource:
    """List the files of a source, in the order of its paths and sorted within each.

    A file named twice is read twice, as tf.data would; one that a glob or a folder gives again is read once.

    Raises:
        MissingPathError: a path does not exist, or a glob matches nothing; says what is there instead.
        EmptySourceError: a folder holds no file of the source's kind, or every file is empty.
        FormatError: the first file is not of the format or compression that the source says.
        SchemeError: the path's scheme cannot be opened on this machine.
        SourceError: a folder or file cannot be read.
    """
    known = _known.get()
    if known is None:
        return _resolved(source)
    if source not in known:
        known[source] = _resolved(source)
    return known[source]


def _resolved(source: FileSource) -> ResolvedSource:
    found: list[_Found] = []
    class_names: set[str] = set()
    for name, files, classes in _all_expanded(source):
        literal = len(files) == 1 and files[0].path == name
        known = {f.path for f in found}
        found += [f for f in files if literal or f.path not in known]
        class_names |= classes
    paths = tuple(f.path for f in found)
    odd = next((path for path in paths if not is_utf8(path)), None)
    if odd is not None:
        raise SourceError(
            f"{source.kind}: the file name {odd!r} is not UTF-8, and TensorFlow opens no other; rename it"
        )
    total = total_bytes(paths, source.access)
    if total == 0:
        raise EmptySourceError(f"{source.kind}: every file is empty: {some(paths)}")
    names = tuple(sorted(class_names))
    numbers = {name: number for number, name in enumerate(names)}
    labels = tuple(numbers[f.class_name] for f in found) if isinstance(source, Images) else None
    return ResolvedSource(paths, labels, names, total, _checked_compression(source, paths), _client(source, paths))


def _all_expanded(source: FileSource) -> list[tuple[str, list[_Found], set[str]]]:
    """Every path's name, files and classes. Many far away are asked for at a time, as each answer takes a round trip."""

    def expanded(path: str) -> tuple[str, list[_Found], set[str]]:
        storage, name = file_system(path, source.access)
        return (name, *_expand(source, storage, name, path))

    first, *others = source.paths
    found = [expanded(first)]
    if len(others) < MANY or not any("://" in path for path in others):
        return found + [expanded(path) for path in others]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return found + list(pool.map(expanded, others))


def _client(source: FileSource, paths: Sequence[str]) -> str:
    """Which client reads the files; the bridge takes all of them if it has to take some."""
    one_of_each_scheme = {path.partition("://")[0] if "://" in path else "": path for path in paths}.values()
    clients = {route(path, source.access) for path in one_of_each_scheme}
    return next((client for client in ("fsspec", "tf") if client in clients), "local")


def _expand(source: FileSource, storage: FileSystem, name: str, path: str) -> tuple[list[_Found], set[str]]:
    """The files that one path of a source stands for, and the names of their classes."""
    if storage.is_file(name):
        return _as_found(source, [name])
    if storage.is_dir(name):
        return _expand_folder(source, storage, name)
    if not any(sign in name for sign in GLOB_SIGNS):
        raise missing(storage, name, f"no such path: {path}")
    matches = storage.glob(name)
    if not matches:
        raise missing(storage, name, f"no file matches {path}")
    return _expand_matches(source, storage, matches, path)


def _as_found(source: FileSource, files: Sequence[str]) -> tuple[list[_Found], set[str]]:
    """Files named one by one: an image's class is the folder that holds it."""
    found = [_Found(path, _parent(path)) for path in files]
    return found, {f.class_name for f in found} if isinstance(source, Images) else set()


def _expand_matches(
    source: FileSource, storage: FileSystem, matches: Sequence[str], pattern: str
) -> tuple[list[_Found], set[str]]:
    """What a glob matched: its files, else the files in its folders."""
    folders = storage.folders(matches)
    files = [m for m in matches if m not in folders and not is_hidden(_base(m))]
    if isinstance(source, Images):
        images = [m for m in files if _is_image_name(_base(m))]
        files = images or ([] if folders else files)
    if files:
        return _as_found(source, files)
    parts = [_expand_folder(source, storage, folder) for folder in sorted(folders)]
    if not parts:
        raise EmptySourceError(f"{source.kind}: {pattern} matches only files that hold no data: {some(matches)}")
    return [f for found, _ in parts for f in found], set().union(*(classes for _, classes in parts))


def _expand_folder(source: FileSource, storage: FileSystem, folder: str) -> tuple[list[_Found], set[str]]:
    if isinstance(source, Images):
        return _class_folders(storage, folder)
    folders, names = storage.entries(folder)
    visible = [name for name in names if not is_hidden(name)]
    chosen = [n for n in visible if kind_by_suffix(n) == source.kind] or [n for n in visible if _may_be(source.kind, n)]
    if not chosen:
        raise EmptySourceError(f"{source.kind}: no file of this kind in {folder}; {_holds(visible, folders)}")
    return [_Found(join(folder, name)) for name in chosen], set()


def _may_be(kind: str, name: str) -> bool:
    """Whether a file without one of the kind's own suffixes can be of the kind: its name speaks for no other."""
    other = kind_by_suffix(name)
    if kind == "text":
        return other not in ("tfrecords", "images")
    return other is None and suffix_of(name) not in _AUXILIARY


def _class_folders(storage: FileSystem, folder: str) -> tuple[list[_Found], set[str]]:
    """Images by class: the sub-folders of `folder`, or `folder` itself where it holds the images directly."""
    folders, names = storage.entries(folder)
    classes = [name for name in folders if not name.startswith(".")]
    direct = [join(folder, name) for name in names if _is_image_name(name)]
    below = [_Found(path, name) for name in classes for path in _images_below(storage, join(folder, name))]
    if direct and below:
        raise FormatError(
            f"images: {folder} holds images of its own ({some(direct)}) beside class folders ({some(classes)}), so "
            f"their class is unknown; move them, or pass a glob such as {join(folder, '*/*')}"
        )
    if below:
        return below, set(classes)
    if not direct:
        raise EmptySourceError(
            f"images: no image ({', '.join(SUFFIXES['images'])}) in {folder}; {_holds(names, folders)}"
        )
    name = _base(folder.rstrip("/"))
    return [_Found(path, name) for path in direct], {name}


def _images_below(storage: FileSystem, folder: str) -> Iterator[str]:
    folders, names = storage.entries(folder)
    yield from (join(folder, name) for name in names if _is_image_name(name))
    for name in folders:
        if not name.startswith("."):
            yield from _images_below(storage, join(folder, name))


def _is_image_name(name: str) -> bool:
    return not is_hidden(name) and kind_by_suffix(name) == "images"


def _checked_compression(source: FileSource, paths: Sequence[str]) -> str:
    """The compression of the files, after a look at the first one that is not empty."""
    if not isinstance(source, CompressedSource):
        return ""
    said = source.compression
    # Fixed-length records may hold anything, so that bytes which look compressed can be the data itself.
    if isinstance(source, FixedLength) and said == "":
        return ""
    path = next((path for path in paths if head(path, source.access)), paths[0])
    compression = detect_compression([path], source.access) if said == "auto" else said
    reason = mismatch(path, compression, records=isinstance(source, TFRecords), access=source.access)
    if reason:
        raise FormatError(f"{source.kind}: {path} {reason} (compression={said!r})")
    return compression


def _holds(files: Sequence[str], folders: Sequence[str]) -> str:
    suffixes = Counter(os.path.splitext(name)[1] or "no suffix" for name in files)
    seen = ", ".join(f"{count} x {suffix}" for suffix, count in suffixes.most_common(5))
    inside = f"folders: {some(folders)}" if folders else ""
    return "it holds " + ("; ".join(part for part in (seen, inside) if part) or "nothing")


def _base(path: str) -> str:
    return os.path.basename(path)


def _parent(path: str) -> str:
    return os.path.basename(os.path.dirname(os.path.abspath(path) if "://" not in path else path))
