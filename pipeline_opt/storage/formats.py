"""Which format a path holds: by the names of its files, and by their first bytes where names do not tell."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.errors import FormatError
from pipeline_opt.sources import IMAGE_SUFFIXES
from pipeline_opt.storage.compression import HEAD_BYTES, decompressed_head
from pipeline_opt.storage.filesystem import FileSystem, file_system
from pipeline_opt.storage.nearby import GLOB_SIGNS, missing, some
from pipeline_opt.storage.tfrecord import begins_with_record
from pipeline_opt.storage.uris import join

FORMATS: Final = ("tfrecords", "images", "text", "csv")
"""The formats that a path can be told to hold."""

SUFFIXES: Final = {
    "tfrecords": (".tfrecord", ".tfrecords", ".tfrec", ".tfr"),
    "images": IMAGE_SUFFIXES,
    "text": (".txt", ".text", ".log"),
    "csv": (".csv", ".tsv"),
    "fixed_length": (".bin", ".dat", ".raw"),
}
"""What files of a kind are usually called, compression and shard numbers left aside."""

_COMPRESSED: Final = re.compile(r"\.(gz|gzip|zlib|zz|z)$")
_SHARD: Final = re.compile(r"[-_.]?\d+(-of-\d+)?$")
_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
_HIDDEN: Final = re.compile(r"^[._]|(\.(lockfile|tmp|temp|part|partial|crc|lock|swp|bak)|~)$")
_SUFFIXES_LOOKED_AT: Final = 8
_CHOICES: Final = f"say which with --format ({', '.join(FORMATS)})"


def is_hidden(name: str) -> bool:
    """Whether a file is not data: hidden, `_SUCCESS` and its like, temporary, a lock.

    Images and class folders may begin with an underscore.
    """
    if kind_by_suffix(name) == "images":
        return name.startswith(".")
    return bool(_HIDDEN.search(name))


def suffix_of(path: str) -> str:
    """The suffix that tells the format: `.tfrecord` of `train.tfrecord-00001-of-00008.gz`."""
    stem = _COMPRESSED.sub("", os.path.basename(path).lower())
    return os.path.splitext(stem)[1] if _has_known_suffix(stem) else os.path.splitext(_SHARD.sub("", stem))[1]


def kind_by_suffix(path: str) -> str | None:
    """The kind of source that a file's name belongs to."""
    suffix = suffix_of(path)
    return next((kind for kind, suffixes in SUFFIXES.items() if suffix in suffixes), None)


def detect_format(paths: str | Sequence[str], access: Access = DEFAULT) -> str:
    """Tell the format of a file, a folder, a glob, or a list of them: one of `FORMATS`.

    Raises:
        MissingPathError: nothing is there.
        FormatError: it cannot be told; the message says why and how to name the format.
    """
    given = [paths] if isinstance(paths, str) else list(paths)
    return _only("the paths hold", {path: _detect(path, access) for path in given})


def describe(raw: bytes) -> str:
    """What some first bytes look like, for messages."""
    if _is_image(raw):
        return "an image"
    if _is_text(raw):
        return f"text: {raw[:40].decode('utf-8', 'replace')!r}"
    return f"bytes {raw[:8].hex(' ')}"


def _has_known_suffix(stem: str) -> bool:
    return any(os.path.splitext(stem)[1] in suffixes for suffixes in SUFFIXES.values())


def _detect(path: str, access: Access) -> str:
    storage, name = file_system(path, access)
    if storage.is_file(name):
        return _detect_file(storage, name)
    if storage.is_dir(name):
        return _detect_folder(storage, name)
    matches = storage.glob(name)
    if not matches:
        what = "no file matches" if any(sign in name for sign in GLOB_SIGNS) else "no such path:"
        raise missing(storage, name, f"{what} {path}")
    return _detect_matches(storage, matches, path)


def _detect_matches(storage: FileSystem, matches: Sequence[str], pattern: str) -> str:
    """The format of what a glob matched: of a file with each suffix, and of a folder. Hidden ones are not read either."""
    folders_among = storage.folders(matches)
    inside = dict.fromkeys(m for m in matches if m in folders_among)
    files = [m for m in matches if m not in inside and not is_hidden(os.path.basename(m))]
    folders = [m for m in inside if not os.path.basename(m).startswith(".")]
    by_suffix: dict[str, str] = {}
    for file in files:
        by_suffix.setdefault(suffix_of(file), file)
    found = {file: _detect_file(storage, file) for file in list(by_suffix.values())[:_SUFFIXES_LOOKED_AT]}
    if folders:
        try:
            found[folders[0]] = _detect_folder(storage, folders[0])
        except FormatError:
            if not found:
                raise
    if not found:
        raise FormatError(
            f"cannot tell the format of {pattern}: it matches only files that hold no data: {some(matches)}"
        )
    return _only(f"{pattern} matches", found)


def _only(what: str, found: Mapping[str, str]) -> str:
    """The one format of several paths."""
    firsts: dict[str, str] = {}
    for path, kind in found.items():
        firsts.setdefault(kind, path)
    if len(firsts) > 1:
        named = ", ".join(f"{path}: {kind}" for kind, path in list(firsts.items())[:2])
        raise FormatError(f"{what} several formats ({named}); name those that are meant, or {_CHOICES}")
    return next(iter(firsts))


def _detect_folder(storage: FileSystem, folder: str) -> str:
    folders, names = storage.entries(folder)
    files = [name for name in names if not is_hidden(name)]
    kinds = Counter(kind for name in files if (kind := kind_by_suffix(name)) in FORMATS)
    if kinds:
        return str(kinds.most_common(1)[0][0])
    if files:
        return _detect_file(storage, join(folder, files[0]))
    visible = [name for name in folders if not name.startswith(".")]
    for name in visible:
        _, inside = storage.entries(join(folder, name))
        if any(kind_by_suffix(file) == "images" for file in inside):
            return "images"
    held = f"only the folders {', '.join(visible[:5])}" if visible else "no files"
    raise FormatError(f"cannot tell the format of {folder}: it holds {held}; {_CHOICES}")


def _detect_file(storage: FileSystem, path: str) -> str:
    kind = kind_by_suffix(path)
    _, content = decompressed_head(storage.head(path, HEAD_BYTES))
    if begins_with_record(content):
        return "tfrecords"
    if _is_image(content):
        return "images"
    if kind in FORMATS:
        return str(kind)
    if not content:
        raise FormatError(f"cannot tell the format of {path}: the file is empty; {_CHOICES}")
    if not _is_text(content):
        raise FormatError(f"cannot tell the format of {path}: it begins with {describe(content)}; {_CHOICES}")
    return "csv" if _is_csv(content.decode("utf-8", "replace")) else "text"


def _is_image(content: bytes) -> bool:
    return content.startswith(_MAGIC[:4]) or (content.startswith(_MAGIC[4]) and b"\0" in content[:64])


def _is_text(content: bytes) -> bool:
    # Only the last few bytes may be a character cut in two.
    text = content.decode("utf-8", "replace")
    return bool(content) and "\0" not in text and "\ufffd" not in text[:-4]


def _is_csv(text: str) -> bool:
    lines = text.splitlines()[:20]
    whole = lines[:-1] if len(lines) > 2 else lines
    if len(whole) < 2 or whole[0].startswith(("{", "[")):
        return False
    return any(len({line.count(d) for line in whole}) == 1 and d in whole[0] for d in (",", "\t", ";"))
