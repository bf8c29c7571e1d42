"""A run as one file: a ZIP archive of `record.json` and an .npy file for each array. Reading one runs no code.

`record.json` holds `format`, `format_version` and `record`: the fields of `Record` by name, with the name of a member
in the place of an array. A field that is missing gets its default and one that is not known is passed over, so that
fields can be added under one version; anything else takes a new one.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy

from pipeline_opt.errors import OutputExistsError, RunFileError
from pipeline_opt.record import Record
from pipeline_opt.record_codec import Array, decode_record, encode_record

FORMAT: Final = "pipeline_opt run"
FORMAT_VERSION: Final = 1

MAX_BYTES: Final = 2 << 30
"""What a file may unpack to, in all: a damaged or malicious one must not fill the memory."""

MAX_JSON_BYTES: Final = 64 << 20
"""What its JSON may unpack to, which takes many times as much in memory."""

_RECORD: Final = "record.json"
_MAGIC: Final = b"PK\x03\x04"
_ANY_TIME: Final = (1980, 1, 1, 0, 0, 0)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def save(record: Record, path: str | os.PathLike[str], force: bool = False) -> Path:
    """Write a run to a file, whole or not at all: what was there before stays until the new file is on the disk.

    Returns:
        The path.

    Raises:
        OutputExistsError: the file exists, and `force` is not given.
        RunFileError: it cannot be written; on a full disk with the bytes needed and free.
    """
    target = Path(os.path.realpath(path))
    needed = 0
    try:
        if target.is_dir():
            raise RunFileError(f"cannot write the run file {path}: it is a folder; give the path of a file")
        if target.exists() and not force:
            raise OutputExistsError(f"{path} exists already; choose another path or overwrite it with force")
        data = _pack(record, path)
        needed = len(data)
        _write_whole(target, data)
    except OSError as error:
        raise RunFileError(_describe_write_error(error, path, target, needed)) from error
    return Path(path)


def load(path: str | os.PathLike[str]) -> Record:
    """Read a run from a file that `save` wrote, on whatever version of TensorFlow or NumPy.

    Raises:
        RunFileError: the file is missing, damaged, not a run, or from a newer version.
    """
    try:
        if Path(path).is_fifo() or Path(path).is_char_device():
            raise RunFileError(f"cannot read the run file {path}: it is a pipe or a device, not a file")
        with open(path, "rb") as file:
            _check_magic(file.read(4), path)
            file.seek(0)
            return _unpack(file, path)
    except RunFileError:
        raise
    except FileNotFoundError as error:
        raise RunFileError(f"no such run file: {path}") from error
    except OSError as error:
        raise RunFileError(f"cannot read the run file {path}: {error.strerror or error}") from error
    except Exception as error:
        # Damage surfaces as almost anything: zlib, struct, recursion and memory errors among them.
        said = str(error).strip() or type(error).__name__
        raise RunFileError(
            f"the run file {path} is damaged: {said}; make the run again, or copy the file anew"
        ) from error


def _pack(record: Record, path: str | os.PathLike[str]) -> bytes:
    fields, arrays = encode_record(record)
    try:
        text = json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, "record": fields})
    except (TypeError, ValueError, RecursionError) as error:
        raise RunFileError(
            f"cannot write the run file {path}: `extra` and the like hold plain values only: {error}"
        ) from error
    size = len(text) + sum(array.nbytes for array in arrays.values())
    if size > MAX_BYTES:
        raise RunFileError(
            f"cannot write the run file {path}: the run holds {size:,} bytes; valid: up to {MAX_BYTES:,}"
        )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        _add(members, _RECORD, text.encode())
        for name, array in arrays.items():
            content = io.BytesIO()
            npy.write_array(content, array, version=(1, 0), allow_pickle=False)
            _add(members, name, content.getvalue())
    return archive.getvalue()


def _add(members: zipfile.ZipFile, name: str, content: bytes) -> None:
    # A fixed time: the same run gives the same bytes. The lowest level: higher ones cost seconds and save little.
    members.writestr(zipfile.ZipInfo(name, _ANY_TIME), content, zipfile.ZIP_DEFLATED, compresslevel=1)


def _write_whole(target: Path, data: bytes) -> None:
    """Write a new file beside the target and put it in its place."""
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    with contextlib.suppress(OSError):
        # Some file systems cannot sync a folder; the rename is then as safe as they make it.
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _describe_write_error(error: OSError, path: str | os.PathLike[str], target: Path, needed: int) -> str:
    if isinstance(error, FileNotFoundError):
        return f"cannot write the run file {path}: there is no folder {target.parent}"
    if error.errno in _FULL:
        free = "unknown"
        with contextlib.suppress(OSError):
            free = f"{shutil.disk_usage(target.parent).free:,} bytes"
        return (
            f"cannot write the run file {path}: no space is left; needed: {needed:,} bytes, free: {free}; "
            "free some, or save elsewhere"
        )
    return f"cannot write the run file {path}: {error.strerror or error}"


def _check_magic(start: bytes, path: str | os.PathLike[str]) -> None:
    if start == _MAGIC:
        return
    if _MAGIC.startswith(start):
        raise RunFileError(
            f"the run file {path} is damaged: it is cut off after {len(start)} bytes; make the run again"
        )
    raise RunFileError(f"{path} is not a run file: it begins with {start!r}; valid: a file that `save` wrote")


_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What a run file's members may be packed with: with these, no more is unpacked than a member says."""


def _unpack(file: Any, path: str | os.PathLike[str]) -> Record:
    with zipfile.ZipFile(file) as members:
        odd = [info.filename for info in members.infolist() if info.compress_type not in _COMPRESSIONS]
        if odd:
            raise ValueError(f"{odd[0]} is compressed in a way that run files are not")
        sizes = {info.filename: info.file_size for info in members.infolist()}
        if sum(sizes.values()) > MAX_BYTES or len(sizes) < len(members.infolist()):
            raise ValueError(f"it would unpack to {sum(sizes.values()):,} bytes in {len(members.infolist()):,} parts")
        if _RECORD not in sizes:
            raise RunFileError(f"{path} is not a run file: it is an archive without {_RECORD}")
        if sizes[_RECORD] > MAX_JSON_BYTES:
            raise ValueError(f"{_RECORD} would unpack to {sizes[_RECORD]:,} bytes; valid: up to {MAX_JSON_BYTES:,}")
        content = json.loads(members.read(_RECORD))
        fields = _check_version(content, path)
        return decode_record(fields, cache(lambda name: _read_array(members.read(name))))


def _check_version(content: Any, path: str | os.PathLike[str]) -> Mapping[str, Any]:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunFileError(f"{path} is not a run file: its {_RECORD} does not say {FORMAT!r}")
    version = content.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"format_version={version!r} is not a whole number from 1")
    if version > FORMAT_VERSION:
        raise RunFileError(
            f"the run file {path} has format version {version}, and this pipeline_opt reads {FORMAT_VERSION}; "
            "load it with the pipeline_opt that wrote it, or a newer one"
        )
    fields = content.get("record")
    if not isinstance(fields, dict):
        raise ValueError(f"{_RECORD} holds no record")
    return fields


def _read_array(content: bytes) -> Array:
    """The array in an .npy file. Read by hand, as NumPy's own reader makes room for what the header claims."""
    file = io.BytesIO(content)
    if npy.read_magic(file) != (1, 0):
        raise ValueError("an array is of an unknown .npy version")
    shape, fortran, dtype = npy.read_array_header_1_0(file)
    if len(shape) != 1 or fortran or dtype.hasobject:
        raise ValueError(f"an array has shape {shape} and type {dtype}; valid: one dimension of plain numbers")
    data = content[file.tell() :]
    if len(data) != shape[0] * dtype.itemsize:
        raise ValueError(f"an array of {shape[0]:,} numbers has {len(data):,} bytes")
    return np.frombuffer(data, dtype).copy()
