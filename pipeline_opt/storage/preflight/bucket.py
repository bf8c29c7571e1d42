"""A GCS bucket: whether it can be reached, exists, and may be read, asked as TensorFlow's client will ask."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from pipeline_opt.errors import MissingPathError, SourceError
from pipeline_opt.storage.preflight.credentials import REMEDY, TOKEN, Credentials, credentials
from pipeline_opt.storage.preflight.finding import Finding
from pipeline_opt.storage.preflight.network import Answer, Undecided, Unreachable, https_get, within

HOST: Final = "www.googleapis.com"
LIMIT_S: Final = 8.0
ATTEMPTS: Final = 3
PAUSE_S: Final = 0.3
_DENIED: Final = (401, 403)
_GLOB_SIGNS: Final = "*?["


def bucket_findings(uri: str) -> Iterator[Finding]:
    """What a `gs://` URI needs: the network, credentials, the bucket, the right to read; ends at what fails."""
    bucket, _, name = uri.split("://", 1)[1].partition("/")
    if not bucket:
        yield Finding("bucket", False, f"{uri} names no bucket", "write gs://BUCKET/PATH")
        return
    shown = credentials()
    headers = {"Authorization": f"Bearer {shown.token}"} if shown.token else {}
    try:
        listed = within(LIMIT_S, lambda: _ask(_list_path(bucket, name), headers))
    except Unreachable as error:
        yield Finding("network", False, f"{HOST}: {error.detail}", error.remedy)
        return
    except Undecided as error:
        yield Finding("network", None, f"{HOST} was reached, but the answer broke off ({error})")
        yield _credentials_finding(shown)
        return
    yield Finding("network", True, f"{HOST} answers")
    yield _credentials_finding(shown)
    yield _verdict(bucket, name, listed, shown, headers)


def _ask(path: str, headers: dict[str, str]) -> Answer:
    """The answer; one that says no has to say so twice, and a connection that is refused gets another chance."""
    answer = None
    for attempt in range(ATTEMPTS):
        last = attempt == ATTEMPTS - 1
        try:
            again = https_get(HOST, path, headers)
        except (Unreachable, Undecided):
            if last:
                raise
            time.sleep(PAUSE_S)
            continue
        if again.status < 400 or (answer is not None and answer.status == again.status) or last:
            return again
        answer = again
    raise AssertionError("the last attempt returns or raises")


def _list_path(bucket: str, name: str) -> str:
    return f"/storage/v1/b/{quote(bucket, safe='')}/o?maxResults=1&prefix={quote(_literal(name), safe='')}"


def _literal(name: str) -> str:
    """The part of a pattern before its first sign."""
    return name[: min((name.find(sign) for sign in _GLOB_SIGNS if sign in name), default=len(name))]


def _credentials_finding(shown: Credentials) -> Finding:
    """None is no failure yet: the bucket may be open to all."""
    problems = "; ".join(shown.problems)
    if shown.source:
        return Finding("credentials", True, f"{shown.source}{f' ({problems})' if problems else ''}")
    return Finding("credentials", None, problems or "none are found: only what is open to all can be read")


def _verdict(bucket: str, name: str, listed: Answer, shown: Credentials, headers: dict[str, str]) -> Finding:
    """What the answer to the listing says of the bucket."""
    if listed.status == 404:
        return Finding(
            "bucket",
            False,
            f"the bucket gs://{bucket} does not exist ({_message(listed)})",
            "check its spelling, and `gcloud storage ls` for the buckets there are",
            MissingPathError,
        )
    if listed.status not in _DENIED:
        works = True if listed.status < 400 else None
        return Finding("bucket", works, f"gs://{bucket} {'answers' if works else f'answers {listed.status}'}")
    if shown.source and not shown.token:
        return Finding("bucket", None, f"gs://{bucket} exists and asks for credentials")
    if name and name == _literal(name) and _may_get(bucket, name, headers):
        return Finding("bucket", True, f"gs://{bucket} may not be listed, but gs://{bucket}/{name} may be read")
    return _denied(bucket, listed, shown)


def _may_get(bucket: str, name: str, headers: dict[str, str]) -> bool:
    """Whether one object may be read: that can be allowed where listing is not. Yes, where it cannot be known."""
    path = f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}?fields=size%2Cgeneration%2Cupdated"
    try:
        return within(LIMIT_S, lambda: _ask(path, headers)).status not in (*_DENIED, 404)
    except (Unreachable, Undecided):
        return True


def _denied(bucket: str, listed: Answer, shown: Credentials) -> Finding:
    said = f"gs://{bucket}: permission denied ({listed.status}: {_message(listed)})"
    if shown.token:
        return Finding("bucket", False, said, f"the token of {TOKEN} may not list it; unset it, or use another")
    problems = "".join(f"; {problem}" for problem in shown.problems)
    return Finding("bucket", False, f"{said}, and no credentials were found{problems}", REMEDY, SourceError)


def _message(answer: Answer) -> str:
    """What the server says in words."""
    try:
        said = json.loads(answer.body)["error"]
        text = str(said["message"] if isinstance(said, dict) else said)
    except (ValueError, KeyError, TypeError):
        text = answer.body.decode(errors="replace")
    return " ".join(text.split())[:200] or f"status {answer.status}"
