"""Which credentials TensorFlow's GCS client finds, in its own order of looking (`google_auth_provider.cc`)."""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path
from typing import Final, NamedTuple

from pipeline_opt.storage.preflight.network import Unreachable, proxy_of, within

TOKEN: Final = "GOOGLE_AUTH_TOKEN_FOR_TESTING"
FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
NO_GCE: Final = "NO_GCE_CHECK"
METADATA: Final = "metadata.google.internal"
METADATA_S: Final = 1.0
REMEDY: Final = (
    f"run `gcloud auth application-default login`, or set {FILE} to the JSON key of a service account that may read it"
)
_MEMBERS: Final = ("refresh_token", "private_key")
"""What a file has to hold one of; the client knows no other kinds, such as workload identity."""


class Credentials(NamedTuple):
    """What the client will show: `source` for people, empty for none; `problems` with files that it passes over."""

    source: str
    token: str = ""
    problems: tuple[str, ...] = ()


def credentials() -> Credentials:
    """Look where the client looks. Takes a second at the most.

    Where no metadata server answers, NO_GCE_CHECK is set for this process: the client would try one for up to minutes
    before its first request.
    """
    token = os.environ.get(TOKEN)
    if token is not None:
        return Credentials(TOKEN, token)
    problems = []
    for path in _files():
        problem = file_problem(path)
        if problem is None:
            return Credentials(str(path))
        if problem:
            problems.append(problem)
    if os.environ.get(NO_GCE, "").lower() == "true":
        return Credentials("", problems=tuple(problems))
    if metadata_answers():
        return Credentials("the metadata server of this machine", problems=tuple(problems))
    os.environ[NO_GCE] = "true"
    return Credentials("", problems=tuple(problems))


def file_problem(path: Path) -> str | None:
    """Why the client does not use a file; nothing to say ('') where there is none, None where it does."""
    named = os.environ.get(FILE) == str(path)
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return f"{FILE} names {path}, which does not exist" if named else ""
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except ValueError as error:
        return f"{path} is not JSON: {error}"
    if isinstance(content, dict) and any(member in content for member in _MEMBERS):
        return None
    kind = content.get("type", "unknown") if isinstance(content, dict) else "unknown"
    return (
        f"{path} holds credentials of the type {kind!r}, which TensorFlow's client does not know; it takes a service "
        "account's key or those of `gcloud auth application-default login`"
    )


def metadata_answers() -> bool:
    """Whether this machine has Google's metadata server, which gives machines of Google Cloud their credentials."""
    host = os.environ.get("GCE_METADATA_HOST") or METADATA
    try:
        return within(METADATA_S, lambda: _ask_metadata(host))
    except (OSError, http.client.HTTPException, Unreachable, ValueError):
        return False


def _ask_metadata(host: str) -> bool:
    """The server says its name in a header; proxies that answer for any host do not."""
    # Of the two variables curl reads only this one for http://.
    proxy = proxy_of(host, "http") if os.environ.get("http_proxy") else None
    place = host if proxy is None else f"{proxy.hostname}:{proxy.port or 1080}"
    connection = http.client.HTTPConnection(place, timeout=METADATA_S)
    try:
        path = "/computeMetadata/v1/instance/service-accounts/default/email"
        connection.request(
            "GET", path if proxy is None else f"http://{host}{path}", headers={"Metadata-Flavor": "Google"}
        )
        answer = connection.getresponse()
        return answer.status == http.client.OK and answer.getheader("Metadata-Flavor") == "Google"
    finally:
        connection.close()


def _files() -> list[Path]:
    """The file named by the user and the one that gcloud writes."""
    named = os.environ.get(FILE)
    folder = os.environ.get("CLOUDSDK_CONFIG") or os.path.expanduser("~/.config/gcloud")
    return [*([Path(named)] if named else []), Path(folder) / "application_default_credentials.json"]
