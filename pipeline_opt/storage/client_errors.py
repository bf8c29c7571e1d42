"""What the errors of fsspec's many clients mean: which are ours in other words, and which will pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipeline_opt.errors import MissingPathError, PipelineOptError, SourceError
from pipeline_opt.storage.preflight import require

_LASTING: Final = (
    FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError, TypeError, ValueError,
    AttributeError, ImportError, MemoryError,
)  # fmt: skip
_PASSING_STATUS: Final = frozenset({408, 425, 429, *range(500, 600)})
_DENIED: Final = frozenset({401, 403})


@contextmanager
def client_errors(path: str) -> Iterator[None]:
    """Turn what a client raises into our errors, with the path and what would help.

    A path is missing only where its store still answers.
    """
    try:
        yield
    except PipelineOptError:
        raise
    except FileNotFoundError as error:
        require(path, "fsspec", anew=True)
        raise MissingPathError(f"no such path: {path}") from error
    except Exception as error:
        if status_of(error) == 404:
            require(path, "fsspec", anew=True)
            raise MissingPathError(f"no such path: {path}") from error
        raise SourceError(f"cannot read {path}: {reason_of(error)}; {remedy_of(error)}") from error


def passes(error: BaseException) -> bool:
    """Whether asking again may help: resets, timeouts, 429 and 5xx, and whatever is not known to last."""
    status = status_of(error)
    if status is not None:
        return status in _PASSING_STATUS
    return isinstance(error, Exception) and not isinstance(error, _LASTING)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of aiohttp, gcsfs, botocore or azure holds; None if it holds none."""
    response = getattr(error, "response", None)
    held = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    for value in (held, *(getattr(error, name, None) for name in ("status", "status_code", "code"))):
        if isinstance(value, int | str) and str(value).isdigit() and 100 <= int(value) < 600:
            return int(value)
    return None


def reason_of(error: BaseException) -> str:
    """What happened, in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def remedy_of(error: BaseException) -> str:
    """What would help, by the kind of the error."""
    if isinstance(error, PermissionError) or status_of(error) in _DENIED or "redential" in str(error):
        return "check the credentials that the client finds (environment, configuration file), and their rights"
    if isinstance(error, IsADirectoryError):
        return "name the files in it, with a glob"
    if isinstance(error, TimeoutError) or "imeout" in type(error).__name__:
        return "check host, port and network; a slow storage needs a longer timeout_s, or a smaller block_bytes"
    if isinstance(error, OSError) or passes(error):
        return "check that host and port are right and that the server runs"
    return "check the path and the options of the file system"
