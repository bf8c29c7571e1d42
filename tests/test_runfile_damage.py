"""Run files that are damaged: nothing but RunFileError comes out of one, and it says what is wrong."""

from __future__ import annotations

import dataclasses
import io
import json
import typing
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import pipelined, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_opt import runfile
from pipeline_opt.errors import RunFileError
from pipeline_opt.record import Epochs, Floats, Ints, Record
from pipeline_opt.record_checks import BOUNDS

slowly = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.run"


def number_fields(cls: type) -> Iterator[tuple[type, str]]:
    """Every field of a record, and of what it is made of, that holds numbers."""
    for name, hint in typing.get_type_hints(cls).items():
        parts = {hint, *typing.get_args(hint)}
        for part in parts:
            if dataclasses.is_dataclass(part) and isinstance(part, type):
                yield from number_fields(part)
        if parts & {int, float, Floats, Ints}:
            yield cls, name


def test_every_number_of_a_record_has_bounds() -> None:
    without = [(cls.__name__, name) for cls, name in number_fields(Record) if name not in BOUNDS[cls]]
    assert not without


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "a.run"
    runfile.save(pipelined(), path)
    return path.read_bytes()


def refuse(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(RunFileError) as caught:
        runfile.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_run_files(path: Path, good: bytes) -> None:
    assert "is cut off after 0 bytes" in refuse(path, b"")
    assert "is cut off after 2 bytes" in refuse(path, good[:2])
    assert "is not a run file: it begins with b'\\x89PNG'" in refuse(path, b"\x89PNG\r\n")
    assert "is damaged" in refuse(path, good[:-1])
    assert "is damaged" in refuse(path, good[: len(good) // 2])
    assert "is not a run file: it is an archive without record.json" in refuse(path, archive({"a.txt": b"hello"}))


def test_a_file_that_is_missing_or_a_folder(path: Path) -> None:
    with pytest.raises(RunFileError, match=r"no such run file: .*a\.run"):
        runfile.load(path)
    with pytest.raises(RunFileError, match=r"cannot read the run file .*: Is a directory"):
        runfile.load(path.parent)


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return file.getvalue()


def changed(good: bytes, change: Callable[[dict[str, Any], dict[str, bytes]], object]) -> bytes:
    """A well-formed archive whose record, or another member, is changed."""
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    content = json.loads(members["record.json"])
    change(content, members)
    members["record.json"] = json.dumps(content).encode()
    return archive(members)


def npy(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def test_unknown_fields_are_passed_over_and_missing_ones_get_their_default(path: Path, good: bytes) -> None:
    def change(content: dict[str, Any], _: dict[str, bytes]) -> None:
        content["record"]["new_in_2040"] = [1]
        content["record"]["steps"]["colour"] = "blue"
        del content["record"]["notes"], content["record"]["epochs"]

    path.write_bytes(changed(good, change))
    it = runfile.load(path)
    assert same(it, dataclasses.replace(pipelined(), notes=(), epochs=Epochs.empty()))


def test_a_newer_version_says_what_to_do(path: Path, good: bytes) -> None:
    said = refuse(path, changed(good, lambda content, _: content.update(format_version=2)))
    assert "has format version 2, and this pipeline_opt reads 1; load it with" in said


def change_array(members: dict[str, bytes], name: str, value: float) -> None:
    """Put a value in the place of the fourth number of an array."""
    array = np.load(io.BytesIO(members[f"{name}.npy"]))
    array[3] = value
    members[f"{name}.npy"] = npy(array)


DAMAGES: dict[str, tuple[Callable[[dict[str, Any], dict[str, bytes]], object], str]] = {
    "format": (lambda c, m: c.update(format="other"), "is not a run file: its record.json does not say"),
    "version": (lambda c, m: c.update(format_version="1"), "format_version='1' is not a whole number from 1"),
    "old version": (lambda c, m: c.update(format_version=0), "format_version=0 is not"),
    "no record": (lambda c, m: c.update(record=[]), "record.json holds no record"),
    "lacks field": (lambda c, m: c["record"].pop("created"), "record lacks a field: .*created"),
    "wrong type": (lambda c, m: c["record"].update(wall_s="long"), "record.wall_s='long' is of the wrong type"),
    "bool for int": (lambda c, m: c["record"].update(warmup=True), "record.warmup=True is of the wrong type"),
    "null for text": (lambda c, m: c["record"].update(created=None), "record.created=None is of the wrong type"),
    "no list": (lambda c, m: c["record"].update(windows=3), "record.windows=3 is of the wrong type"),
    "no fields": (lambda c, m: c["record"].update(steps=3), "record.steps is not a set of fields: 3"),
    "no stage": (lambda c, m: c["record"]["stages"].append("x"), r"record.stages\[4\] is not a set of fields"),
    "epoch outside": (lambda c, m: c["record"].update(epoch_starts=[99]), "lie outside of 8 steps"),
    "no array name": (lambda c, m: c["record"]["steps"].update(bytes=[1]), "record.steps.bytes names no array"),
    "no array": (lambda c, m: m.pop("steps/bytes.npy"), "no item named 'steps/bytes.npy'"),
    "other array": (lambda c, m: c["record"]["steps"].update(bytes="../x"), "no item named"),
    "short array": (lambda c, m: m.update({"steps/bytes.npy": npy(np.arange(3))}), "have different lengths"),
    "wrong dtype": (lambda c, m: m.update({"steps/bytes.npy": npy(np.ones(8))}), "is of type float64; valid: int64"),
    "two dimensions": (lambda c, m: m.update({"steps/bytes.npy": npy(np.ones((8, 1), int))}), r"has shape \(8, 1\)"),
    "cut array": (lambda c, m: m.update({"steps/bytes.npy": m["steps/bytes.npy"][:-1]}), "of 8 numbers has 63 bytes"),
    "no npy": (lambda c, m: m.update({"steps/bytes.npy": b"hello, hello"}), "magic string is not correct"),
    "newer npy": (
        lambda c, m: m.update({"steps/bytes.npy": npy(np.arange(8), version=(2, 0))}),
        "unknown .npy version",
    ),
    "no stage of that number": (
        lambda c, m: m.update({"intervals/stage.npy": npy(np.full(len(pipelined().intervals), 9))}),
        "name stages that do not exist; stages: 4",
    ),
    "absurd time": (
        lambda c, m: change_array(m, "steps/wait_start", 1e308),
        r"steps.wait_start\[3\]=1e\+308 is out of",
    ),
    "time that is none": (
        lambda c, m: change_array(m, "steps/train_end", np.nan),
        r"steps.train_end\[3\]=nan is out of",
    ),
    "endless": (
        lambda c, m: change_array(m, "intervals/end", np.inf),
        r"intervals.end\[3\]=inf is out of range; valid: s",
    ),
    "end before start": (
        lambda c, m: change_array(m, "steps/load_end", 0.01),
        r"record.steps.load_end\[3\]=0.01 is before load_start; valid: a time not before it",
    ),
    "backwards": (
        lambda c, m: [change_array(m, f"steps/wait_{end}", 0.0) for end in ("start", "end")],
        r"record.steps.wait_start\[3\]=0.0 is less than the one before; valid: in ascending order",
    ),
    "negative count": (
        lambda c, m: change_array(m, "steps/elements", -4),
        r"elements\[3\]=-4 is out of range; valid: a nu",
    ),
    "no phase": (
        lambda c, m: change_array(m, "intervals/phase", 2),
        r"intervals.phase\[3\]=2 is out of range; valid: 0 o",
    ),
    "no knob": (
        lambda c, m: change_array(m, "knobs/0/value", -np.inf),
        r"record.knobs\[0\].value\[3\]=-inf is out of range",
    ),
    "negative duration": (
        lambda c, m: c["record"].update(wall_s=-1),
        r"record.wall_s=-1.0 is out of range; valid: seconds from 0 to 1e9",
    ),
    "no number": (
        lambda c, m: c["record"].update(first_batch_s=float("nan")),
        "record.first_batch_s=nan is out of range",
    ),
    "count with a fraction": (lambda c, m: c["record"].update(warmup=1.0), "record.warmup=1.0 is of the wrong type"),
    "absurd count": (
        lambda c, m: c["record"]["source"].update(files=10**40),
        "record.source.files=1000000000.* is out of",
    ),
    "work in a phase": (
        lambda c, m: c["record"]["stages"][1]["phase_work_s"].update(extract=-1.0),
        r"record.stages\[1\].phase_work_s\['extract'\]=-1.0 is out of range; valid: seconds",
    ),
    "no cores": (
        lambda c, m: c["record"]["environment"].update(cores=0),
        "environment.cores=0.0 is out of range; valid",
    ),
    "window": (lambda c, m: c["record"]["windows"][0].update(end_s=-1.0), r"windows\[0\].end_s=-1.0 is before start_s"),
    "epochs without end": (lambda c, m: c["record"].update(epoch_starts=[2, 1]), r"epoch_starts\[1\]=1 is less than"),
    "epochs of others": (
        lambda c, m: c["record"].update(
            epoch_starts=[0, 1],
            epochs=dict.fromkeys(c["record"]["epochs"], "one.npy"),
            **m.update({"one.npy": npy(np.ones(1))}) or {},
        ),
        "record.epochs has 1 iterators; valid: 0, or 2 as epoch_starts",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_within_a_well_formed_archive(damage: str, path: Path, good: bytes) -> None:
    change, said = DAMAGES[damage]
    path.write_bytes(changed(good, change))
    with pytest.raises(RunFileError, match=said):
        runfile.load(path)


def test_an_array_that_claims_to_be_huge_takes_no_memory(path: Path, good: bytes) -> None:
    def change(_: dict[str, Any], members: dict[str, bytes]) -> None:
        members["steps/bytes.npy"] = members["steps/bytes.npy"].replace(b"(8,), }" + b" " * 12, b"(8000000000000,), }")

    assert "of 8,000,000,000,000 numbers has 64 bytes" in refuse(path, changed(good, change))


def test_a_bomb_is_not_unpacked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runfile, "MAX_BYTES", 1 << 20)
    content = archive({"record.json": b" " * (1 << 21)}, zipfile.ZIP_DEFLATED)
    assert len(content) < 1 << 13
    assert "it would unpack to 2,097,152 bytes" in refuse(path, content)


def test_text_nested_without_end(path: Path) -> None:
    assert "is damaged" in refuse(path, archive({"record.json": b"[" * 200_000}))


def test_a_pickle_in_place_of_an_array_is_not_run(path: Path, good: bytes) -> None:
    ran: list[int] = []

    class Evil:
        def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
            return ran.append, (1,)

    evil = npy(np.array([Evil()] * 8, object), allow_pickle=True)
    said = refuse(path, changed(good, lambda c, m: m.update({"steps/bytes.npy": evil})))
    assert "has shape (8,) and type object" in said
    assert not ran


@slowly
@given(st.data())
def test_whatever_the_damage_only_a_run_file_error_comes_out(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, data: st.DataObject
) -> None:
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        # The directory at the end is where damage does most; half of the hits go there.
        low = data.draw(st.sampled_from([0, max(0, len(content) - 2500)]))
        at = data.draw(st.integers(min(low, max(0, len(content) - 1)), max(0, len(content) - 1)))
        match data.draw(st.sampled_from(["flip", "cut", "zero", "insert"])):
            case "flip" if content:
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del content[at:]
            case "zero":
                content[at : at + 16] = bytes(len(content[at : at + 16]))
            case _:
                content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    path = tmp_path_factory.mktemp("bad") / "a.run"
    path.write_bytes(bytes(content))
    try:
        it = runfile.load(path)
    except RunFileError:
        return
    # Harmless damage, such as a time stamp's, leaves every number as it was.
    assert same(it, pipelined())
