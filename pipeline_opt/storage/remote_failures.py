"""What the clients of remote storage say when reading fails, in words, with the file, the stage and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from pipeline_opt.access import Access
from pipeline_opt.errors import CorruptRecordError, MissingPathError, PipelineOptError, SourceError, StageError
from pipeline_opt.sources import FileSource
from pipeline_opt.storage.preflight import Finding, problem_now
from pipeline_opt.storage.uris import local_path

Examine = Callable[[str], Finding | None]
"""What is wrong with the way to a path now; None if nothing is."""

_STATUS: Final = re.compile(r"HTTP response code (\d+)(?: with body '(.*?)')?(?=\s+when |\s*$)", re.DOTALL)
_CURL: Final = re.compile(r"libcurl code (\d+) meaning '(.*?)', error details: ([^\n]*)")
_WHERE: Final = re.compile(r"when (?:reading|listing)(?: metadata of| from)? (gs://\S+)")
_RETRIED: Final = re.compile(r"All (\d+) retry attempts failed")
_SHORT: Final = re.compile(r"File contents are inconsistent for file: (\S+) @ (\d+)")
_HADOOP: Final = re.compile(r"((?:hdfs|viewfs)://[^\s;'\"]+); (.*)", re.DOTALL)
_SAID: Final = re.compile(r'"message": "([^"]+)"|<Message>([^<]+)</Message>')

_DENIED: Final = (401, 403)
_GONE: Final = (404, 410)
_BREAKS: Final = (18, 52, 55, 56)
"""libcurl's codes for answers that break off: a partial file, an empty answer, a failed send, a failed receive."""
_SLOW: Final = (28, 42)
"""libcurl's codes for a time that is up, and for a request that its client gave up as it stood still."""


class Reader(NamedTuple):
    """The stage that reads a file, as far as it is known, and how the file is reached."""

    name: str | None
    access: Access | None

    def says(self, text: str) -> str:
        """A message with the stage at its beginning."""
        return f"{self.name}: {text}" if self.name else text


def explain_remote(
    kind: str, text: str, sources: Iterable[tuple[str, FileSource]], examine: Examine | None = None
) -> PipelineOptError | None:
    """What a message of TensorFlow's clients for GCS or Hadoop means; None if it is not one of theirs.

    Args:
        kind: TensorFlow's class.
        text: Its message.
        sources: What the plan reads, by the name of the stage that does.
        examine: Looks at the way to a file; the storage's preflight unless given.
    """
    look = examine or problem_now
    short = _SHORT.search(text)
    if short:
        return _short_answer(short[1], int(short[2]), _reader(sources, short[1]))
    where = _WHERE.search(text)
    path = where[1] if where else None
    reader = _reader(sources, path or "")
    status = _STATUS.search(text)
    if status:
        return _answered(int(status[1]), status[2] or "", path, reader, text, look)
    curl = _CURL.search(text)
    if curl:
        return _not_answered(int(curl[1]), curl[3] or curl[2], path, reader, text, look)
    hadoop = _HADOOP.search(text)
    if hadoop and kind not in ("DataLossError", "OutOfRangeError"):
        return _hadoop(kind, hadoop[1], hadoop[2], _reader(sources, hadoop[1]), look)
    return None


def may_read(source: FileSource, path: str) -> bool:
    """Whether a path lies where a source looks: the file need not be listed any more."""
    given = [p.removeprefix("file://").rstrip("/") for p in source.paths]
    return any(path.startswith(re.split(r"[*?\[]", p)[0]) for p in given)


def _reader(sources: Iterable[tuple[str, FileSource]], path: str) -> Reader:
    """The source that looks where the path lies; the only remote one where none is named."""
    given = list(sources)
    near = [(name, source) for name, source in given if path and may_read(source, path)]
    far = [each for each in given if any(local_path(p) is None for p in each[1].paths)]
    chosen = near[0] if near else far[0] if len(far) == 1 else None
    return Reader(chosen[0], chosen[1].access) if chosen else Reader(None, None)


def _short_answer(path: str, offset: int, reader: Reader) -> PipelineOptError:
    text = reader.says(
        f"{path}, from byte {offset}: fewer bytes came than the object has; it was overwritten while it was read, or a "
        "proxy cut the answer: run again"
    )
    return CorruptRecordError(text, reader.name)


def _answered(
    status: int, body: str, path: str | None, reader: Reader, text: str, examine: Examine
) -> PipelineOptError:
    """An answer that is no success."""
    place = path or "a request"
    found = _SAID.search(body)
    said = f"{status}: {found[1] or found[2]}" if found else str(status)
    problem = examine(path) if path and status in _GONE else None
    if problem is not None:
        return problem.error(reader.says(f"{place}: {problem}"))
    if status in _GONE:
        return MissingPathError(reader.says(f"the object is gone: {place} ({said}); list the data again"))
    if status in _DENIED:
        remedy = (
            "check that the credentials have not run out and may read it; `pipeline-opt doctor` shows which are used"
        )
        return SourceError(reader.says(f"permission denied: {place} ({said}); {remedy}"))
    remedy = "ask for less at a time (a smaller cycle_length), or be more patient (access: retries)"
    return StageError(reader.says(f"{place}: the storage answered{_times(text)} {said}; {remedy}"), reader.name)


def _not_answered(
    code: int, details: str, path: str | None, reader: Reader, text: str, examine: Examine
) -> PipelineOptError:
    """No answer at all, or one that broke off. Where the way is barred by now, that says more than libcurl does."""
    place = path or "a request"
    problem = None if code in _BREAKS else examine(path) if path else None
    if problem is not None:
        what, remedy = f"cannot be reached any more{_times(text)}: {problem.detail}", problem.remedy
    elif code in _BREAKS:
        what = f"the connection broke off{_times(text)} ({details})"
        remedy = "check the network and the proxy, or be more patient (access: retries)"
    elif code in _SLOW:
        what = f"no answer in time{_times(text)} ({details})"
        remedy = "check the network; a slow storage needs a longer time (access: timeout_s)"
    else:
        what = f"cannot be reached{_times(text)} ({details})"
        remedy = f"`pipeline-opt doctor {path}` says why" if path else "`pipeline-opt doctor URI` says why"
    return StageError(reader.says(f"{place}: {what}; {remedy}"), reader.name)


def _hadoop(kind: str, path: str, said: str, reader: Reader, examine: Examine) -> PipelineOptError:
    """An error of libhdfs, which writes Java's own exception to stderr and hands on a number."""
    problem = examine(path) if kind != "PermissionDeniedError" else None
    if problem is not None:
        return StageError(reader.says(f"{path}: {problem.detail}; {problem.remedy}"), reader.name)
    if kind == "NotFoundError":
        return MissingPathError(reader.says(f"the file is gone: {path} ({said}); list the data again"))
    if kind == "PermissionDeniedError":
        return SourceError(reader.says(f"permission denied: {path} ({said}); check HADOOP_USER_NAME or the ticket"))
    remedy = (
        f"Java's exception is on stderr; `hdfs fsck {path} -files -blocks -locations` shows blocks that are missing"
    )
    text = f"{path}: libhdfs failed ({said}) while the NameNode answers: a DataNode or a block is not there; {remedy}"
    return StageError(reader.says(text), reader.name)


def _times(text: str) -> str:
    """How often the client tried."""
    retried = _RETRIED.search(text)
    return f" in {int(retried[1]) + 1} tries" if retried else ""
