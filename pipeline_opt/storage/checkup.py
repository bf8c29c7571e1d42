"""One URI from its scheme to its first byte, step by step and bounded in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.errors import EmptySourceError, PipelineOptError
from pipeline_opt.storage import gcs, preflight
from pipeline_opt.storage.filesystem import FileSystem, file_system
from pipeline_opt.storage.nearby import GLOB_SIGNS, missing
from pipeline_opt.storage.preflight import Finding, failed
from pipeline_opt.storage.preflight.network import Unreachable, within
from pipeline_opt.storage.routes import route
from pipeline_opt.storage.uris import join, scheme_of

STEP_S: Final = 20.0
"""A client that has not answered by then will not: the preflight has shown that the way there is open."""
DEPTH: Final = 3
"""So many folders down a first file is looked for."""

Clock = Callable[[], float]


class Checked(NamedTuple):
    """A URI with what was seen of it, in the order of looking, and the seconds that took."""

    uri: str
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def opens(self) -> bool:
        """Whether a byte was read."""
        return failed(self.findings) is None


def checkup(uri: str, access: Access = DEFAULT, clock: Clock = time.perf_counter) -> Checked:
    """Look at a URI as a pipeline would: client, network, credentials, store, listing, first byte. Within seconds."""
    begun = clock()
    found: list[Finding] = []
    for finding in _steps(uri, access):
        found.append(finding)
        if finding.works is False:
            break
    return Checked(uri, tuple(found), clock() - begun)


def _steps(uri: str, access: Access) -> Iterator[Finding]:
    if scheme_of(uri) == "gs":
        gcs.apply(access)
    try:
        client = route(uri, access)
    except PipelineOptError as error:
        yield Finding("client", False, str(error))
        return
    yield Finding("client", True, f"{scheme_of(uri)}:// is opened by {_NAMES.get(client, client)}")
    yield from preflight.findings(uri, client)
    files: list[str] = []
    yield _bounded("listing", lambda: _list(uri, access, files))
    if files:
        yield _bounded("first byte", lambda: _read(files[0], access))


_NAMES: Final = {"local": "the operating system", "tf": "TensorFlow", "fsspec": "fsspec"}


def _bounded(step: str, look: Callable[[], str]) -> Finding:
    begun = time.perf_counter()
    try:
        seen = within(STEP_S, look)
    except Unreachable as error:
        return Finding(step, False, error.detail, error.remedy)
    except PipelineOptError as error:
        return Finding(step, False, str(error))
    except Exception as error:  # noqa: BLE001 - clients raise what they like, and this is where it is told
        return Finding(step, False, f"{type(error).__name__}: {error}")
    return Finding(step, True, f"{seen} ({time.perf_counter() - begun:.2g} s)")


def _list(uri: str, access: Access, files: list[str]) -> str:
    """What is there; the first file goes to `files`."""
    storage, name = file_system(uri, access)
    if any(sign in name for sign in GLOB_SIGNS):
        matches = storage.glob(name)
        if not matches:
            raise missing(storage, name, f"no file matches {uri}")
        files.append(next((path for path in matches[:DEPTH] if not storage.is_dir(path)), matches[0]))
        return f"{len(matches):,} match"
    if storage.is_file(name):
        files.append(name)
        return "a file"
    if not storage.is_dir(name):
        raise missing(storage, name, f"no such path: {uri}")
    return _first_below(storage, name, files)


def _first_below(storage: FileSystem, folder: str, files: list[str]) -> str:
    seen = ""
    for _ in range(DEPTH):
        folders, names = storage.entries(folder)
        seen = seen or f"a folder of {len(names):,} files and {len(folders):,} folders"
        if names:
            files.append(join(folder, names[0]))
            return seen
        if not folders:
            raise EmptySourceError(f"{folder} holds nothing")
        folder = join(folder, folders[0])
    return seen


def _read(path: str, access: Access) -> str:
    storage, name = file_system(path, access)
    read = storage.head(name, 1)
    return f"{path}: {'read' if read else 'is empty'}"


def as_dict(checked: Checked) -> dict[str, Any]:
    """The same for JSON."""
    findings = [
        {"step": each.step, "works": each.works, "detail": each.detail, "remedy": each.remedy}
        for each in checked.findings
    ]
    return {"uri": checked.uri, "opens": checked.opens, "seconds": checked.seconds, "findings": findings}
